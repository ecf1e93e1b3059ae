"""A mesh as a Python program uses it, under trio or asyncio."""

import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

import anyio
import msgspec

from ambientd.api import operations, replies, requests
from ambientd.api.learning_values import StartStudy, StudyInfo
from ambientd.api.module_names import exact_module
from ambientd.api.registry_values import BringModule, ModuleInfo
from ambientd.api.whole_lists import pages_async
from ambientd.client.bundling import AT_ONCE, Bundling, Ended, each_of
from ambientd.client.failures import TaskFailedError, TaskUnfinishedError
from ambientd.client.links import Link, LocalLink, is_lost
from ambientd.client.studies import AsyncStudy, begun_study, every_study
from ambientd.client.terms import Module, Terms, check_input, kind_of, read_module
from ambientd.config.local_socket import socket_path_of
from ambientd.config.places import default_data_dir
from ambientd.errors import AmbientError

if TYPE_CHECKING:
    from ambientd.api.why_replies import Why
    from ambientd.rules.receipt_check import ReceiptReport

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

ATTEMPTS = 5
TERMINAL = frozenset({"final", "cancelled", "expired"})
_NONCE_BYTES = 16
_WAIT_MS_MAX = 600_000
_PAUSE_S = 0.5
_TAKEN_BACK_S = 5.0


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
        return await self.output_when(await self.wait(timeout_s))

    async def output_when(self, task: replies.Task) -> bytes:
        """Give the output of a task that has ended like this; raise TaskFailedError without one."""
        if task.outcome != "completed":
            raise TaskFailedError(task)
        answer = await self._call(operations.TASK_OUTPUT, requests.GetOutput(task=self.task_id))
        return answer.data

    async def item(self, place: int, timeout_s: float = 3600.0) -> bytes:
        """Give the output of one item of a bundle, the first of which is 0."""
        await self.wait(timeout_s)
        request = requests.GetOutput(task=self.task_id, item=place)
        return (await self._call(operations.TASK_OUTPUT, request)).data

    async def receipt(self, item: int | None = None) -> bytes:
        """Give the receipt file, of the task or of an item, as complete as it is now."""
        request = requests.GetReceipt(task=self.task_id, item=item)
        return (await self._call(operations.RECEIPT_GET, request)).data

    async def verify(
        self, cluster: bytes | None = None, item: int | None = None
    ) -> "ReceiptReport":
        """Check receipt and output here, believing nobody; `cluster` is the fingerprint meant."""
        from ambientd.api.offline import check_receipt

        output = await (self.output() if item is None else self.item(item))
        return check_receipt(await self.receipt(item), pinned=cluster, output=output)

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
        self._link = link if link is not None else LocalLink(socket_path_of(folder), folder)

    async def __aenter__(self) -> "AsyncMesh":
        """Use the mesh for a block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Leave; tasks go on."""
        await self._link.aclose()

    async def call(self, operation: operations.Operation[Q, R], request: Q, *, key: str = "") -> R:
        """Ask once for any operation of the table.

        A `key` of your own makes it safe to ask again for what changes something: the same request
        under the same key is done once, also when the daemon was started again in between.
        """
        return await self._link.call(operation, request, key)

    async def ask(self, operation: operations.Operation[Q, R], request: Q) -> R:
        """Ask, and again where the daemon was not reached or is busy; it is done once."""
        has_key = operation.route.changes and not operation.route.names
        key = os.urandom(_NONCE_BYTES).hex() if has_key else ""
        for attempt in range(ATTEMPTS):
            try:
                return await self._link.call(operation, request, key)
            except AmbientError as error:
                if attempt + 1 == ATTEMPTS or not is_lost(error):
                    raise
            await anyio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError  # the last attempt gives an answer or raises

    def pages(self, operation: operations.Operation[Q, R], request: Q) -> AsyncIterator[R]:
        """Give the pages of any list of the table, one after another."""
        return pages_async(self.ask, operation, request)

    async def status(self) -> replies.Status:
        """Say how the daemon's node is."""
        return await self.ask(operations.STATUS, requests.GetStatus())

    async def run(self, module: Module, data: bytes = b"", **terms: Unpack[Terms]) -> AsyncTask:
        """Submit a module and its input; the task is accepted when this returns.

        It is submitted once, however often the daemon has to be asked: the nonce names it.
        """
        check_input(data)
        return await self._submitted(module, data, terms)

    async def run_bundle(
        self, module: Module, items: Iterable[bytes], **terms: Unpack[Terms]
    ) -> AsyncTask:
        """Submit a module and several inputs as one task, on terms that are for each of them."""
        together = tuple(items)
        if not together:  # else the module would be executed once, on no input
            raise ValueError("a bundle has 1 to 256 items, and this one has none")
        return await self._submitted(module, together, terms)

    async def _submitted(
        self, module: Module, data: bytes | tuple[bytes, ...], terms: Terms
    ) -> AsyncTask:
        for each in data if isinstance(data, tuple) else (data,):
            check_input(each)
        request = submission(await read_module(module), data, terms)
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
            raise TypeError(f"a task is named by its id, a str in hex, not by {kind_of(task_id)}")
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
        return (await self.ended(module, data, terms)).data

    async def ended(self, module: Module, data: bytes | tuple[bytes, ...], terms: Terms) -> Ended:
        """Give what a module's task came to, of one input or of a bundle of several.

        Raises:
            TaskFailedError: it has ended without an output.
        """
        # Cut off on its way, a task could be accepted that nobody would take back.
        with anyio.CancelScope(shield=True):
            task = await self._submitted(module, data, terms)
        try:
            found = await task.wait()
            return Ended(await task.output_when(found), found)
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
        bundle: int | None = None,
        progress: Callable[[int], None] | None = None,
        **terms: Unpack[Terms],
    ) -> list[bytes]:
        """Give the outputs for many inputs, in their order, at most `at_once` tasks under way.

        Up to `bundle` inputs travel as one task; None bundles what turns out to be short. Terms
        are for each input. `progress` is told how many outputs are there. An input that fails ends
        it all: the other tasks under way are taken back.
        """
        outputs: dict[int, bytes] = {}

        def take(place: int, came: bytes | TaskFailedError) -> None:
            if isinstance(came, TaskFailedError):
                raise came
            outputs[place] = came
            if progress is not None:
                progress(len(outputs))

        await each_of(self, module, inputs, Bundling(at_once, bundle, terms), take)
        return [outputs[place] for place in sorted(outputs)]

    async def outcomes(
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
        came: dict[int, bytes | TaskFailedError] = {}

        def take(place: int, each: bytes | TaskFailedError) -> None:
            came[place] = each
            if told is not None:
                told(place, each)

        await each_of(self, module, inputs, Bundling(at_once, bundle, terms), take)
        return [came[place] for place in sorted(came)]


def submission(
    module: bytes | ModuleInfo, data: bytes | tuple[bytes, ...], terms: Terms
) -> requests.SubmitTask:
    """Give the request for a task; raise TypeError for terms that no task has."""
    unknown = sorted(set(terms) - Terms.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(Terms.__annotations__))
        raise TypeError(f"{unknown[0]!r} is no term of a task; there are {known}")
    nonce = os.urandom(_NONCE_BYTES)
    try:
        given = {"items": data} if isinstance(data, tuple) else {"input": data}
        fields = {**_named(module), **given, "nonce": nonce, **terms}
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
