"""The store for coroutines without a thread: what `runtime.store_writer` does, in virtual time.

A sync takes a while, and serves all who have come meanwhile, as it does there. A crash before the
end of a sync leaves nothing of it; what was durable is told before anyone who waits goes on.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import trio

from ambientd.errors import StoreError
from ambientd.ports.store import Store, Write, checked
from sim.disk import DiskFault

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Request:
    """One caller's batch, or a function to run on the store."""

    batch: Sequence[Write] = ()
    action: Callable[[Store], Any] | None = None
    is_durable: Callable[[], None] = lambda: None
    done: trio.Event = field(default_factory=trio.Event)
    value: Any = None
    error: BaseException | None = None


class ThreadlessWriter:
    """See `ambientd.ports.store.Writer`; made by `open_threadless`."""

    def __init__(self, store: Store, sync_ms: Callable[[], int]) -> None:
        self._store = store
        self._sync_ms = sync_ms
        self._queue: deque[_Request] = deque()
        self._news = trio.Event()
        self._open = True
        self._next_is_durable: Callable[[], None] = lambda: None

    def tell_when_durable(self, told: Callable[[], None]) -> None:
        """Call this at the very moment at which the next batch is durable."""
        self._next_is_durable = told

    async def write(self, batch: Sequence[Write]) -> None:
        """Return when the whole batch is durable; raise StoreError when nothing of it is."""
        told, self._next_is_durable = self._next_is_durable, lambda: None
        await self._finish(_Request(tuple(checked(batch)), is_durable=told))

    async def call(self, action: Callable[[Store], T]) -> T:
        """Run a function with the store, after all writes called before; for reads."""
        value: T = await self._finish(_Request(action=action))
        return value

    def read_now(self, action: Callable[[Store], T]) -> T:
        """Run a short look-up at once, between two transactions."""
        return action(self._store)

    def stop(self) -> None:
        """Write nothing any more: the node has crashed."""
        self._queue.clear()
        self._open = False

    async def _finish(self, request: _Request) -> Any:  # noqa: ANN401  # what the action gives
        if not self._open:
            msg = "the store is closed: the daemon is stopping"
            raise StoreError(msg)
        self._queue.append(request)
        self._news.set()
        await request.done.wait()
        if request.error is not None:
            raise request.error
        return request.value

    async def serve(self) -> None:
        """Sync for ever, one group after the other."""
        while True:
            if not self._queue:
                self._news = trio.Event()
                await self._news.wait()
            await trio.sleep(self._sync_ms() / 1000)
            self.flush()

    def flush(self) -> None:
        """Carry out all that waits, in order; writes next to each other share a transaction."""
        while self._queue:
            request = self._queue.popleft()
            if request.action is not None:
                self._call(request)
                continue
            group = [request]
            while self._queue and self._queue[0].action is None:
                group.append(self._queue.popleft())
            self._commit(group)

    def _call(self, request: _Request) -> None:
        assert request.action is not None
        try:
            request.value = request.action(self._store)
        except Exception as error:  # noqa: BLE001  # the caller gets it
            request.error = error
        request.done.set()

    def _commit(self, group: list[_Request]) -> None:
        try:
            self._store.write([write for request in group for write in request.batch])
        except Exception as error:  # noqa: BLE001  # the callers get it
            is_durable = isinstance(error, DiskFault) and error.is_durable
            if len(group) > 1 and not is_durable:
                # One batch may be too large for the disk where the others fit.
                for request in group:
                    self._commit([request])
                return
            for request in group:
                request.error = error
                if is_durable:
                    request.is_durable()
        for request in group:
            if request.error is None:
                request.is_durable()
            request.done.set()


@asynccontextmanager
async def open_threadless(
    store: Store, sync_ms: Callable[[], int] = lambda: 0
) -> AsyncIterator[ThreadlessWriter]:
    """Open a writer for the length of a block; what is queued at its end is still written."""
    writer = ThreadlessWriter(store, sync_ms)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.serve)
        try:
            yield writer
        finally:
            writer.flush()
            writer.stop()
            store.close()
            nursery.cancel_scope.cancel()
