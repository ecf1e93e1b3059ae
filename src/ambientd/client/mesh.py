"""A mesh as a Python program without an event loop uses it."""

from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack
from weakref import finalize

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ambientd.api import operations, replies
from ambientd.api.learning_values import StartStudy, StudyInfo
from ambientd.api.registry_values import ModuleInfo
from ambientd.client.async_mesh import (
    AT_ONCE,
    AsyncMesh,
    AsyncTask,
    Module,
    Terms,
    check_input,
    check_module,
    room_for,
)
from ambientd.client.links import Link
from ambientd.client.studies import Study

if TYPE_CHECKING:
    from ambientd.api.why_replies import Why
    from ambientd.rules.receipt_check import ReceiptReport

Q = TypeVar("Q", bound=Any)
R = TypeVar("R", bound=Any)


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

    def receipt(self) -> bytes:
        """Give the receipt file, as complete as it is now."""
        return self._portal.call(self._task.receipt)

    def verify(self, cluster: bytes | None = None) -> "ReceiptReport":
        """Check receipt and output here, believing nobody; `cluster` is the fingerprint meant."""
        return self._portal.call(self._task.verify, cluster)


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

    def call(self, operation: operations.Operation[Q, R], request: Q) -> R:
        """Ask once for any operation of the table."""
        return self._portal.call(self._mesh.call, operation, request)

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
        progress: Callable[[int], None] | None = None,
        **terms: Unpack[Terms],
    ) -> list[bytes]:
        """Give the outputs for many inputs, in their order, at most `at_once` of them under way.

        The first that fails ends it all, and the others under way are taken back.
        """
        return self._portal.call(
            lambda: self._mesh.map(module, inputs, at_once=at_once, progress=progress, **terms)
        )

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
        self._running: set[Future[bytes]] = set()
        self._is_closed = False

    def submit(  # type: ignore[override]  # a module, not a function
        self, fn: Module, /, *args: bytes, **terms: Unpack[Terms]
    ) -> Future[bytes]:
        """Execute a module on one input; a future that is cancelled takes the task back."""
        if self._is_closed:
            raise RuntimeError("this executor is shut down; make another with Mesh.executor()")
        if len(args) > 1:
            raise TypeError(f"a task has one input, these are {len(args)}: join them in one")
        (data,) = args or (b"",)
        check_module(fn)
        check_input(data)
        wanted: Terms = {**self._terms, **terms}
        future = self._portal.start_task_soon(lambda: self._output(fn, data, wanted))
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
