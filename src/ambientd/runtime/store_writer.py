"""The store for coroutines: one thread owns it, and one sync serves all who wait.

A sync takes as long for one write as for a hundred. So the thread takes every batch that has
queued up meanwhile and writes them as one transaction; each caller continues once its own batch
is durable. Batches are applied in the order in which `write` was called.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, TypeVar

import trio

from ambientd.errors import StoreError
from ambientd.ports.store import Put, Store, Write, checked

T = TypeVar("T")

GROUP_WRITES_MAX = 4096
GROUP_BYTES_MAX = 8 * 1024 * 1024
WAITING_MAX = 4096


@dataclass(slots=True, eq=False)
class _Request:
    """One caller's batch, or a function to run on the thread."""

    batch: Sequence[Write] = ()
    action: Callable[[Store], Any] | None = None
    done: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: BaseException | None = None

    @property
    def size_bytes(self) -> int:
        return sum(len(write.value) for write in self.batch if isinstance(write, Put))


class StoreWriter:
    """`async with StoreWriter(store) as writer:`; the store is closed at the end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._room = trio.Semaphore(WAITING_MAX)
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._token: trio.lowlevel.TrioToken
        self._open = False
        self._one_at_a_time = threading.Lock()
        self.groups = 0
        """How many transactions were written, for metrics."""

    async def __aenter__(self) -> "StoreWriter":
        """Start the thread."""
        self._token = trio.lowlevel.current_trio_token()
        self._open = True
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is queued, then close the store."""
        self._open = False
        self._queue.put(None)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)

    async def write(self, batch: Sequence[Write]) -> None:
        """Return when the whole batch is durable; raise StoreError when nothing of it is.

        A cancelled caller does not know which: the batch may still be written.
        """
        await self._finish(_Request(batch=tuple(checked(batch))))

    async def call(self, action: Callable[[Store], T]) -> T:
        """Run a function with the store, after all writes called before; for reads."""
        value: T = await self._finish(_Request(action=action))
        return value

    def read_now(self, action: Callable[[Store], T]) -> T:
        """Run a short look-up at once, in the caller's thread, between two transactions."""
        with self._one_at_a_time:
            return action(self._store)

    async def _finish(self, request: _Request) -> Any:  # noqa: ANN401
        async with self._room:
            if not self._open:
                msg = "the store is closed: the daemon is stopping"
                raise StoreError(msg)
            self._queue.put(request)
            await request.done.wait()
        if request.error is not None:
            raise request.error
        return request.value

    def _work(self) -> None:
        """Serve requests until None comes; runs in the thread."""
        stopping = False
        while not stopping:
            request = self._queue.get()
            if request is None:
                break
            group, following = [request], None
            writes, size_bytes = len(request.batch), request.size_bytes
            while request.action is None and writes < GROUP_WRITES_MAX:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                    break
                if following.action is not None:
                    break
                group.append(following)
                writes += len(following.batch)
                size_bytes += following.size_bytes
                following = None
                if size_bytes > GROUP_BYTES_MAX:
                    break
            self._serve(group)
            if following is not None:
                self._serve([following])
        self._store.close()

    def _serve(self, group: list[_Request]) -> None:
        action = group[0].action
        if action is not None:
            try:
                with self._one_at_a_time:
                    group[0].value = action(self._store)
            except Exception as error:  # noqa: BLE001 - the caller gets it; the thread lives on
                group[0].error = error
        else:
            self._commit(group)
        try:
            self._token.run_sync_soon(_wake, group)
        except trio.RunFinishedError:
            # Nobody is left to be told; what was written is written.
            return

    def _commit(self, group: list[_Request]) -> None:
        self.groups += 1
        try:
            with self._one_at_a_time:
                self._store.write([write for request in group for write in request.batch])
        except Exception as error:  # noqa: BLE001 - the callers get it; the thread lives on
            if len(group) == 1:
                group[0].error = error
                return
            # One batch may be too large for the disk where the others still fit.
            for request in group:
                self._commit([request])


def _wake(group: list[_Request]) -> None:
    for request in group:
        request.done.set()
