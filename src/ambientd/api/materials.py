"""What a task was executed with, for who wants to see for themselves what it does."""

import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import trio
from msgspec.structs import replace

from ambientd.api.frames import FRAME_BYTES_MAX
from ambientd.api.material_values import GetMaterial, GetTaskLog, Material, TaskLog
from ambientd.api.naming import match_id
from ambientd.api.operations import OperationError
from ambientd.api.replies import Task
from ambientd.api.task_ends import agrees, as_item
from ambientd.api.views import task_reply
from ambientd.config.options import SandboxPolicy
from ambientd.errors import LocalProtocolError
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId
from ambientd.model.bundle import Bundle, size_of
from ambientd.model.task import TaskSpec
from ambientd.rules.bundles import is_bundle, item_seed_of, items_of
from ambientd.rules.executions import seed_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.service import Parts

if TYPE_CHECKING:
    from ambientd.api.module_process import ModuleProcess
    from ambientd.api.module_runs import Answer

ENGINE = "wasmtime"
"""It is always installed, and all engines come to the same end."""
_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}
_ROOM_BYTES = 64 * 1024
"""What an answer needs besides."""


class Materials:
    """Brings modules and inputs together again, and executes them for their logs."""

    def __init__(self, parts: Parts, sandbox: SandboxPolicy) -> None:
        self._parts = parts
        self._state = parts.node.ledger
        self._sandbox = sandbox
        self._turn = trio.CapacityLimiter(1)

    async def material(self, request: GetMaterial) -> Material:
        """Give all that a task's executions depend on."""
        task, entry = find_task(self._state, request.task)
        spec, blobs = entry.spec, self._parts.blobs
        input_bytes = size_of(spec.input_size_bytes)
        size_bytes = spec.module_size_bytes + input_bytes
        if size_bytes > FRAME_BYTES_MAX - _ROOM_BYTES:
            msg = f"module and input have {size_bytes} bytes, more than one answer holds"
            raise OperationError("too_large", msg, "whoever submitted the task has both as files")
        holders = (entry.submitter, *(slot.worker for slot in entry.slots))
        seed = seed_of(task if entry.audits is None else entry.audits.task)
        module = await brought(blobs, spec.module, spec.module_size_bytes, holders, "the module")
        data = await brought(blobs, spec.input, input_bytes, holders, "the input")
        if isinstance(spec.input_size_bytes, Bundle) or request.item is not None:
            data, seed = await _item(spec, data, seed, request.item)
        return Material(
            task_id=task.hex(),
            module=module,
            input=data,
            seed=seed,
            gas_max=spec.gas_max // spec.items,
            memory_bytes_max=spec.memory_bytes_max,
            wall_ms_max=spec.wall_ms_max,
            output_bytes_max=spec.output_bytes_max,
        )

    async def log(self, request: GetTaskLog) -> TaskLog:
        """Execute a task again in a locked-down process of its own, one at a time (ADR 35).

        It ends with whoever asks: what a stranger's module does may take an hour.
        """
        task, entry = find_task(self._state, request.task)
        material = await self.material(GetMaterial(task=task.hex(), item=request.item))
        is_required = self._sandbox is SandboxPolicy.REQUIRED
        again = _Again()
        try:
            answer, log = await trio.to_thread.run_sync(
                again.execute, material, is_required, limiter=self._turn, **_ABANDON
            )
        except trio.Cancelled:
            again.stop()
            raise
        entry = self._state.task(task) or entry
        known = task_reply(self._state, task, entry, ())
        if request.item is not None and known.outcome == "completed":
            known = await self._item_of(known, entry, request.item)
        return TaskLog(
            task_id=task.hex(),
            log=log,
            agrees=agrees(known, answer.outcome, answer.gas, answer.output_sha256),
            engine=answer.engine,
            engine_version=answer.engine_version,
            outcome=answer.outcome,
            reason=answer.reason,
            gas=answer.gas,
            output_sha256=answer.output_sha256,
        )

    async def _item_of(self, known: Task, entry: TaskEntry, place: int) -> Task:
        from ambientd.api.bundling import outcomes_of

        try:
            outcomes = await outcomes_of(self._parts.blobs, entry)
        except OperationError as error:
            if error.code == "unavailable":  # what was executed is told all the same
                return replace(known, outcome="none")
            return as_item(known, None)
        return as_item(known, outcomes[place])


class _Again:
    """One execution in a thread; another may stop it at any moment, also before it begins."""

    def __init__(self) -> None:
        self._process: ModuleProcess | None = None
        self._is_stopped = False

    def execute(self, material: Material, sandbox_required: bool) -> tuple["Answer", str]:
        """Execute a task, and give how it ended with its log."""
        from ambientd.api import module_runs  # its price is for those who ask

        call = module_runs.call_of(material, sandbox_required=sandbox_required)
        done = module_runs.verify_determinism(call, (ENGINE,), 1, self._begun)
        return done.answers[0], done.log.decode("utf-8", "replace")

    def _begun(self, process: "ModuleProcess") -> None:
        self._process = process
        if self._is_stopped:  # looked at after the process is there, as `stop` does it reversed
            process.stop()

    def stop(self) -> None:
        """End the execution."""
        self._is_stopped = True
        if self._process is not None:
            self._process.stop()


async def _item(spec: TaskSpec, data: bytes, seed: bytes, place: int | None) -> tuple[bytes, bytes]:
    """Give what one item of a bundle was executed on, and its seed."""
    items = None
    if is_bundle(spec):  # in a thread, as 64 MB take a tenth of a second
        items = await trio.to_thread.run_sync(items_of, spec, data)
    if items is None:
        raise OperationError("invalid", "the task has no items", "leave --item away")
    if place is None:
        msg = f"the task is a bundle of {len(items)} items, each executed by itself"
        raise OperationError("invalid", msg, "say which with --item, from 0")
    if place >= len(items):
        msg = f"there is no item {place}: the bundle has {len(items)}, the first is 0"
        raise OperationError("not_found", msg)
    return items[place], item_seed_of(seed, place)


async def brought(
    blobs: Blobs, digest: Digest, size_bytes: int, holders: Sequence[NodeId], what: str
) -> bytes:
    """Give a blob from here or from whoever has it; raise OperationError when nobody does."""
    data = await blobs.fetch(digest, size_bytes, holders)
    if data is None:
        msg = f"nobody who can be reached holds {what}"
        hint = "ask again when other nodes are up; what is old is removed ([retention])"
        raise OperationError("unavailable", msg, hint)
    return data


def find_task(state: LedgerState, name: str) -> tuple[TaskId, TaskEntry]:
    """Find the task that a person means; raise OperationError for none or two."""
    whole = _by_whole_id(state, name)
    if whole is not None:
        return whole
    known = (task.hex() for task in alike(state, name))
    task = TaskId(bytes.fromhex(match_id(name, known)))
    entry = state.task(task)
    if entry is None:
        msg = "a task that the ledger lists is not in it"
        raise LocalProtocolError(msg)
    return task, entry


def _by_whole_id(state: LedgerState, name: str) -> tuple[TaskId, TaskEntry] | None:
    """Look a whole id up, which programs use, without a walk over all tasks."""
    if len(name) != 2 * DIGEST_BYTES or name.strip(string.hexdigits):
        return None
    task = TaskId(bytes.fromhex(name))
    entry = state.task(task)
    return None if entry is None else (task, entry)


def alike(state: LedgerState, name: str) -> Iterator[TaskId]:
    """Give the tasks whose id starts with the whole bytes of a name."""
    digits = name[: len(name) // 2 * 2]
    start = b"" if name.strip(string.hexdigits) else bytes.fromhex(digits)
    return (task for task, _ in state.tasks() if task.startswith(start))
