"""A mesh as a Python program uses it, under trio or asyncio."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import anyio
import msgspec

from ambientd.api import operations, replies, requests
from ambientd.api.learning_values import StartStudy, StudyInfo
from ambientd.api.module_names import exact_module
from ambientd.api.registry_values import BringModule, ModuleInfo
from ambientd.client.failures import TaskFailedError, TaskUnfinishedError
from ambientd.client.links import Link, LocalLink, is_lost
from ambientd.client.studies import AsyncStudy, begun_study, every_study
from ambientd.config.local_socket import socket_path_of
from ambientd.config.places import default_data_dir
from ambientd.errors import AmbientError

if TYPE_CHECKING:
    from ambientd.api.why_replies import Why
    from ambientd.rules.receipt_check import ReceiptReport

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

AT_ONCE = 16
ATTEMPTS = 5
TERMINAL = frozenset({"final", "cancelled", "expired"})
_NONCE_BYTES = 16
_WAIT_MS_MAX = 600_000
_PAUSE_S = 0.5
_TAKEN_BACK_S = 5.0

Module = bytes | str | Path | ModuleInfo
"""A module's bytes, where its file is, or one that `module` has found."""


class Terms(TypedDict, total=False):
    """What a task may use, and who shall work on it; what is left out is the node's default."""

    assurance: str
    replicas: int
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int
    price_msat_per_mgas: int
    task_class: str
    constraints: tuple[str, ...]
    distinct: tuple[str, ...]
    priority: int
    deadline_ms: int
    attempts_max: int
    strategy: str


class AsyncTask:
    """One task that the mesh has accepted."""

    def __init__(self, mesh: "AsyncMesh", task_id: str) -> None:
        self._mesh = mesh
        self.task_id = task_id

    async def show(self) -> replies.Task:
        """Give everything about the task as it stands."""
        return await self._call(operations.TASK_SHOW, requests.ShowTask(task=self.task_id))

    async def why(self) -> "Why":
        """Say why the task is where it is, and what it waits for."""
        return await self._call(operations.TASK_WHY, requests.ExplainTask(task=self.task_id))

    async def cancel(self) -> replies.Task:
        """Take the task back, as long as not all answers are sealed."""
        return await self._call(operations.TASK_CANCEL, requests.CancelTask(task=self.task_id))

    async def wait(self, timeout_s: float = 3600.0, *, anchored: bool = False) -> replies.Task:
        """Give the task once it has ended, or its receipt is in a Bitcoin block.

        Raises:
            TaskUnfinishedError: when that is not so after `timeout_s`.
        """
        until, task = "anchored" if anchored else "final", await self.show()
        deadline = anyio.current_time() + timeout_s
        while not _has_come(task, anchored=anchored):
            left_ms = int((deadline - anyio.current_time()) * 1000)
            if left_ms <= 0:
                raise TaskUnfinishedError(task, timeout_s)
            request = requests.WaitForTask(
                task=self.task_id, until=until, timeout_ms=min(left_ms, _WAIT_MS_MAX)
            )
            task = await self._call(operations.TASK_WAIT, request)
        return task

    async def output(self, timeout_s: float = 3600.0) -> bytes:
        """Give the output, once the mesh has verified it.

        Raises:
            TaskFailedError: the task has ended without one; `task` of the error says how.
            TaskUnfinishedError: when it has not ended after `timeout_s`.
        """
        task = await self.wait(timeout_s)
        if task.outcome != "completed":
            raise TaskFailedError(task)
        answer = await self._call(operations.TASK_OUTPUT, requests.GetOutput(task=self.task_id))
        return answer.data

    async def receipt(self) -> bytes:
        """Give the receipt file, as complete as it is now."""
        answer = await self._call(operations.RECEIPT_GET, requests.GetReceipt(task=self.task_id))
        return answer.data

    async def verify(self, cluster: bytes | None = None) -> "ReceiptReport":
        """Check receipt and output here, believing nobody; `cluster` is the fingerprint meant."""
        from ambientd.api.offline import check_receipt

        return check_receipt(await self.receipt(), pinned=cluster, output=await self.output())

    async def _call(self, operation: operations.Operation[Q, R], request: Q) -> R:
        return await self._mesh.ask(operation, request)


def _has_come(task: replies.Task, *, anchored: bool) -> bool:
    if task.state not in TERMINAL:
        return False
    return not anchored or task.state != "final" or task.receipt.state == "anchored"


class AsyncMesh:
    """A daemon's mesh; use it for a block, within one event loop."""

    def __init__(self, data_dir: str | Path | None = None, *, link: Link | None = None) -> None:
        folder = default_data_dir() if data_dir is None else Path(data_dir)
        self._link = link if link is not None else LocalLink(socket_path_of(folder))

    async def __aenter__(self) -> "AsyncMesh":
        """Use the mesh for a block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave; tasks go on."""
        await self._link.aclose()

    async def call(self, operation: operations.Operation[Q, R], request: Q) -> R:
        """Ask once for any operation of the table."""
        return await self._link.call(operation, request)

    async def ask(self, operation: operations.Operation[Q, R], request: Q) -> R:
        """Ask for what may be asked twice; again where the daemon was not reached or is busy."""
        for attempt in range(ATTEMPTS):
            try:
                return await self._link.call(operation, request)
            except AmbientError as error:
                if attempt + 1 == ATTEMPTS or not is_lost(error):
                    raise
            await anyio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError  # the last attempt gives an answer or raises

    async def status(self) -> replies.Status:
        """Say how the daemon's node is."""
        return await self.ask(operations.STATUS, requests.GetStatus())

    async def run(self, module: Module, data: bytes = b"", **terms: Unpack[Terms]) -> AsyncTask:
        """Submit a module and its input; the task is accepted when this returns.

        It is submitted once, however often the daemon has to be asked: the nonce names it.
        """
        check_input(data)
        body = await read_module(module)
        request = submission(body, data, terms)
        return self.task((await self.ask(operations.TASK_SUBMIT, request)).task_id)

    async def module(self, name: str) -> ModuleInfo:
        """Find a published module, PUBLISHER/NAME@VERSION, and have its bytes on the node.

        To `run` it is what the ledger has under that name, with the limits and the price that
        its publisher advises where none are given.
        """
        written = exact_module(name)
        return await self.ask(operations.MODULE_BRING, BringModule(**written._asdict()))

    def task(self, task_id: str) -> AsyncTask:
        """Give a task that was submitted before, by its id."""
        if not isinstance(task_id, str):
            raise TypeError(f"a task is named by its id, a str in hex, not by {_kind(task_id)}")
        return AsyncTask(self, task_id)

    async def start_study(self, plan: StartStudy) -> AsyncStudy:
        """Invite nodes to train a model together; the log has it when this returns."""
        return await begun_study(self, plan)

    async def studies(self) -> list[StudyInfo]:
        """List the studies that the ledger knows, those that go on first."""
        return await every_study(self)

    def study(self, study: str) -> AsyncStudy:
        """Give a study that was begun before, by its id."""
        return AsyncStudy(self, study)

    async def output_of(self, module: Module, data: bytes, **terms: Unpack[Terms]) -> bytes:
        """Give a module's output for one input; what is cut off takes its task back."""
        # Cut off on its way, a task could be accepted that nobody would take back.
        with anyio.CancelScope(shield=True):
            task = await self.run(module, data, **terms)
        try:
            return await task.output()
        except anyio.get_cancelled_exc_class():
            with (
                anyio.CancelScope(shield=True),
                anyio.move_on_after(_TAKEN_BACK_S),
                suppress(AmbientError),  # too late, or nobody is there
            ):
                await task.cancel()
            raise

    async def map(
        self,
        module: Module,
        inputs: Iterable[bytes],
        *,
        at_once: int = AT_ONCE,
        progress: Callable[[int], None] | None = None,
        **terms: Unpack[Terms],
    ) -> list[bytes]:
        """Give the outputs for many inputs, in their order, at most `at_once` of them under way.

        `progress` is told how many outputs are there. A task that fails ends it all: the others
        under way are taken back.
        """
        room = room_for(at_once)
        if isinstance(inputs, bytes | str):
            raise TypeError(f"inputs is one {_kind(inputs)}: give a list of inputs, each as bytes")
        body = await read_module(module)
        outputs: dict[int, bytes] = {}
        failures: list[AmbientError | TypeError] = []

        async def execute(place: int, data: bytes) -> None:
            try:
                outputs[place] = await self.output_of(body, data, **terms)
            except (AmbientError, TypeError) as error:
                failures.append(error)
                running.cancel_scope.cancel()
                return
            finally:
                room.release()
            if progress is not None:
                progress(len(outputs))

        async with anyio.create_task_group() as running:
            for place, data in enumerate(inputs):
                await room.acquire()
                running.start_soon(execute, place, data)
        if failures:
            raise failures[0]
        return [outputs[place] for place in sorted(outputs)]


def room_for(at_once: int) -> anyio.Semaphore:
    """Give room for so many tasks; where there is none, all would wait for ever."""
    if at_once < 1:
        raise ValueError(f"at_once is {at_once}: say 1 or more tasks, as none would ever end")
    return anyio.Semaphore(at_once)


def submission(module: bytes | ModuleInfo, data: bytes, terms: Terms) -> requests.SubmitTask:
    """Give the request for a task; raise TypeError for terms that no task has."""
    unknown = sorted(set(terms) - Terms.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(Terms.__annotations__))
        raise TypeError(f"{unknown[0]!r} is no term of a task; there are {known}")
    nonce = os.urandom(_NONCE_BYTES)
    try:
        fields = {**_named(module), "input": data, "nonce": nonce, **terms}
        return msgspec.convert(fields, requests.SubmitTask)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$.")
        raise TypeError(f"{where.rstrip('`')}: {said[:1].lower()}{said[1:]}") from None


def _named(module: bytes | ModuleInfo) -> dict[str, Any]:
    """Give a module by its bytes; a found one by its SHA-256, with what its publisher advises."""
    if isinstance(module, bytes):
        return {"module": module}
    advised = {} if module.manifest is None else module.manifest.terms()
    return {"module_sha256": module.shown.module_sha256, **advised}


def check_input(data: object) -> None:
    """Raise TypeError for what is no task's input."""
    if isinstance(data, str):
        raise TypeError("an input is bytes, and this is a str: say data.encode()")
    if not isinstance(data, bytes):
        raise TypeError(f"an input is bytes, not {_kind(data)}: say bytes(data)")


def check_module(module: object) -> None:
    """Raise TypeError for what names no module."""
    if callable(module):
        msg = "a mesh executes WebAssembly, not Python: give a module's bytes, or its file's path"
        raise TypeError(msg)
    if not isinstance(module, bytes | str | Path | ModuleInfo):
        raise TypeError(f"a module is its bytes, or its file's path, not {_kind(module)}")


def _kind(value: object) -> str:
    return type(value).__name__


async def read_module(module: Module) -> bytes | ModuleInfo:
    """Give a module's bytes, from its file where a path is given; a found one is left as it is."""
    check_module(module)
    if isinstance(module, bytes | ModuleInfo):
        return module
    return await anyio.Path(module).read_bytes()
