"""A mesh as a Python program without an event loop uses it."""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack
from weakref import finalize

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ambientd.api import operations, replies
from ambientd.api.learning_values import StartStudy, StudyInfo
from ambientd.api.registry_values import ModuleInfo
from ambientd.api.whole_lists import pages
from ambientd.client.async_mesh import AsyncMesh, AsyncTask
from ambientd.client.bundling import AT_ONCE, room_for
from ambientd.client.failures import TaskFailedError
from ambientd.client.links import Link
from ambientd.client.studies import Study
from ambientd.client.terms import Module, Terms, check_input, check_module
from ambientd.model.bundle import ITEMS_MAX

if TYPE_CHECKING:
    from ambientd.api.why_replies import Why
    from ambientd.rules.receipt_check import ReceiptReport

Q = TypeVar("Q", bound=Any)
R = TypeVar("R", bound=Any)
F = TypeVar("F")

_SHUT = "this executor is shut down; make another with Mesh.executor()"


class Task:
    """One task that the mesh has accepted."""

    def __init__(self, portal: BlockingPortal, task: AsyncTask) -> None:
        self._portal = portal
        self._task = task

    @property
    def task_id(self) -> str:
        """Give the task's id in hex."""
        return self._task.task_id

    def show(self) -> replies.Task:
        """Give everything about the task as it stands."""
        return self._portal.call(self._task.show)

    def why(self) -> "Why":
        """Say why the task is where it is, and what it waits for."""
        return self._portal.call(self._task.why)

    def cancel(self) -> replies.Task:
        """Take the task back, as long as not all answers are sealed."""
        return self._portal.call(self._task.cancel)

    def wait(self, timeout_s: float = 3600.0, *, anchored: bool = False) -> replies.Task:
        """Give the task once it has ended, or its receipt is in a Bitcoin block."""
        return self._portal.call(lambda: self._task.wait(timeout_s, anchored=anchored))

    def output(self, timeout_s: float = 3600.0) -> bytes:
        """Give the output, once the mesh has verified it; raise TaskFailedError without one."""
        return self._portal.call(self._task.output, timeout_s)

    def item(self, place: int, timeout_s: float = 3600.0) -> bytes:
        """Give the output of one item of a bundle, the first of which is 0."""
        return self._portal.call(self._task.item, place, timeout_s)

    def receipt(self, item: int | None = None) -> bytes:
        """Give the receipt file, of the task or of an item, as complete as it is now."""
        return self._portal.call(self._task.receipt, item)

    def verify(self, cluster: bytes | None = None, item: int | None = None) -> "ReceiptReport":
        """Check receipt and output here, believing nobody; `cluster` is the fingerprint meant."""
        return self._portal.call(self._task.verify, cluster, item)


class Mesh(AbstractContextManager["Mesh"]):
    """A daemon's mesh, for any thread; use it for a block."""

    def __init__(self, data_dir: str | Path | None = None, *, link: Link | None = None) -> None:
        self._mesh = AsyncMesh(data_dir, link=link)
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.enter_context(self._portal.wrap_async_context_manager(self._mesh))
        # who forgets to leave must still end: the loop's thread stands still when Python ends
        finalize(self, self._stack.__exit__, SystemExit, SystemExit(), None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave; tasks go on. After an error, as a Ctrl-C, nothing that waits is waited for."""
        self._stack.__exit__(kind, error, trace)

    def close(self) -> None:
        """Leave; tasks go on."""
        self._stack.close()

    def call(self, operation: operations.Operation[Q, R], request: Q, *, key: str = "") -> R:
        """Ask once for any operation of the table; under a `key` it is done once if asked again."""
        answer: R = self._portal.call(partial(self._mesh.call, key=key), operation, request)
        return answer

    def pages(self, operation: operations.Operation[Q, R], request: Q) -> Iterator[R]:
        """Give the pages of any list of the table, one after another."""
        return pages(partial(self._portal.call, self._mesh.ask), operation, request)

    def status(self) -> replies.Status:
        """Say how the daemon's node is."""
        return self._portal.call(self._mesh.status)

    def run(self, module: Module, data: bytes = b"", **terms: Unpack[Terms]) -> Task:
        """Submit a module and its input; the task is accepted when this returns."""
        return Task(self._portal, self._portal.call(lambda: self._mesh.run(module, data, **terms)))

    def module(self, name: str) -> ModuleInfo:
        """Find a published module, PUBLISHER/NAME@VERSION, and have its bytes on the node."""
        return self._portal.call(self._mesh.module, name)

    def task(self, task_id: str) -> Task:
        """Give a task that was submitted before, by its id."""
        return Task(self._portal, self._mesh.task(task_id))

    def start_study(self, plan: StartStudy) -> Study:
        """Invite nodes to train a model together; the log has it when this returns."""
        return Study(self._portal, self._portal.call(self._mesh.start_study, plan))

    def studies(self) -> list[StudyInfo]:
        """List the studies that the ledger knows, those that go on first."""
        return self._portal.call(self._mesh.studies)

    def study(self, study: str) -> Study:
        """Give a study that was begun before, by its id."""
        return Study(self._portal, self._mesh.study(study))

    def map(
        self,
        module: Module,
        inputs: Iterable[bytes],
        *,
        at_once: int = AT_ONCE,
        bundle: int | None = None,
        progress: Callable[[int], None] | None = None,
        **terms: Unpack[Terms],
    ) -> list[bytes]:
        """Give the outputs for many inputs, in their order, at most `at_once` tasks under way.

        Up to `bundle` inputs travel as one task; None bundles what turns out to be short. The first
        that fails ends it all, and the others under way are taken back.
        """
        return self._portal.call(
            lambda: self._mesh.map(
                module, inputs, at_once=at_once, bundle=bundle, progress=progress, **terms
            )
        )

    def outcomes(
        self,
        module: Module,
        inputs: Iterable[bytes],
        *,
        at_once: int = AT_ONCE,
        bundle: int | None = None,
        told: Callable[[int, bytes | TaskFailedError], None] | None = None,
        **terms: Unpack[Terms],
    ) -> list[bytes | TaskFailedError]:
        """Give what each input came to, in order: its output, or why it has none.

        It is `map` that no failing input ends. `told` hears of each as it comes, with its place.
        """
        return self._portal.call(
            lambda: self._mesh.outcomes(
                module, inputs, at_once=at_once, bundle=bundle, told=told, **terms
            )
        )

    def run_bundle(self, module: Module, items: Iterable[bytes], **terms: Unpack[Terms]) -> Task:
        """Submit a module and several inputs as one task, on terms that are for each of them."""
        run = self._mesh.run_bundle
        return Task(self._portal, self._portal.call(lambda: run(module, items, **terms)))

    def executor(self, *, at_once: int = AT_ONCE, **terms: Unpack[Terms]) -> "MeshExecutor":
        """Give an executor whose calls are tasks of this mesh on these terms."""
        return MeshExecutor(self._portal, self._mesh, at_once, terms)


class MeshExecutor(Executor):
    """Tasks of a mesh where a program expects a `concurrent.futures.Executor`.

    `submit(module, data)` takes a module where others take a function, and gives a future of the
    output; `map(module, inputs)` follows from it.
    """

    def __init__(self, portal: BlockingPortal, mesh: AsyncMesh, at_once: int, terms: Terms) -> None:
        self._portal = portal
        self._mesh = mesh
        self._terms = terms
        self._room = room_for(at_once)
        self._running: set[Future[Any]] = set()
        self._is_closed = False

    def submit(  # type: ignore[override]  # a module, not a function
        self, fn: Module, /, *args: bytes, **terms: Unpack[Terms]
    ) -> Future[bytes]:
        """Execute a module on one input; a future that is cancelled takes the task back."""
        if self._is_closed:
            raise RuntimeError(_SHUT)
        if len(args) > 1:
            raise TypeError(f"a task has one input, these are {len(args)}: join them in one")
        (data,) = args or (b"",)
        check_module(fn)
        check_input(data)
        wanted: Terms = {**self._terms, **terms}
        return self._begun(lambda: self._output(fn, data, wanted))

    def map(  # type: ignore[override]  # a module, not a function
        self,
        fn: Module,
        *iterables: Iterable[bytes],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[bytes]:
        """Execute a module on each input; `chunksize` of them travel as one task, 1 to 256."""
        if chunksize == 1 or len(iterables) != 1:
            return super().map(fn, *iterables, timeout=timeout)  # type: ignore[arg-type]
        if self._is_closed:
            raise RuntimeError(_SHUT)
        if not 1 <= chunksize <= ITEMS_MAX:  # of 0, no input would be executed, and none missed
            raise ValueError(f"chunksize is {chunksize}: a task has 1 to {ITEMS_MAX} inputs")
        check_module(fn)
        waiting, futures = iter(iterables[0]), []
        while part := list(islice(waiting, chunksize)):
            futures.append(self._begun(partial(self._outcomes, fn, part)))
        return _in_order(futures, timeout)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more; wait for what is under way, after an error, as a Ctrl-C, for nothing."""
        self.shutdown(wait=kind is None)

    def _begun(self, doing: Callable[[], Awaitable[F]]) -> Future[F]:
        future = self._portal.start_task_soon(doing)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more; wait for what is under way, or take it back."""
        self._is_closed = True
        running = list(self._running)
        if cancel_futures:
            for future in running:
                future.cancel()
        if wait:
            for future in running:
                if not future.cancelled():
                    future.exception()

    async def _output(self, module: Module, data: bytes, terms: Terms) -> bytes:
        async with self._room:
            return await self._mesh.output_of(module, data, **terms)

    async def _outcomes(self, module: Module, part: list[bytes]) -> list[bytes | TaskFailedError]:
        async with self._room:
            outcomes = self._mesh.outcomes
            return await outcomes(module, part, at_once=1, bundle=len(part), **self._terms)


def _in_order(
    futures: list[Future[list[bytes | TaskFailedError]]], timeout: float | None
) -> Iterator[bytes]:
    """Give outputs as they are asked for; what failed is raised in its place, as others do it."""
    until_s = None if timeout is None else time.monotonic() + timeout
    try:
        for future in futures:
            left_s = None if until_s is None else max(0.0, until_s - time.monotonic())
            for came in future.result(left_s):
                if isinstance(came, TaskFailedError):
                    raise came
                yield came
    finally:
        for future in futures:
            future.cancel()
