"""Submitting a task: its blobs are kept here, its words go into the log, or wait on disk for it."""

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec.structs import replace

from ambientd.api import replies, requests
from ambientd.api.accounts import hint_on_means
from ambientd.api.bundling import for_items, put_together
from ambientd.api.chronicle import Chronicle
from ambientd.api.deciding import DEADLINE_S, outcome_of
from ambientd.api.operations import OperationError
from ambientd.api.shelf import named_or_given
from ambientd.api.terms import check_limits, spec_of
from ambientd.api.waiting import lasts_ms
from ambientd.codec.statements import task_id
from ambientd.config.options import Config
from ambientd.ledger.events import RecordRejected, TaskAdmitted
from ambientd.ledger.tasks import OPEN_TASKS_MAX
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Admit
from ambientd.model.task import TaskSpec
from ambientd.node.event import TaskTakenBack
from ambientd.ports.keys import DrawSecret
from ambientd.rules.rewards import escrow_of
from ambientd.runtime.news import of_no_other
from ambientd.runtime.persistence import keeps_asked
from ambientd.runtime.service import Parts

NONCE_BYTES = 16
MODULE_BYTES_MIN = 8


class Submitting:
    """Brings what a node's owner asks for into the log."""

    def __init__(
        self,
        own: NodeId,
        config: Config,
        draw_secret: DrawSecret,
        parts: Parts,
        chronicle: Chronicle,
    ) -> None:
        self._id = own
        self._config = config
        self._draw_secret = draw_secret
        self._parts = parts
        self._state = parts.node.ledger
        self._chronicle = chronicle
        self.on_submitted: Callable[[TaskId], None] = lambda _: None
        """Told of each task that somebody asks for here."""

    async def submit(self, request: requests.SubmitTask) -> replies.Submitted:
        """Keep the blobs, bring the task into the log, and answer once it is in."""
        spec = await self._spec(request)
        nonce = request.nonce or self._draw_secret(NONCE_BYTES)
        task = task_id(self._id, nonce, spec)
        if self._state.task(task) is not None:
            return replies.Submitted(task_id=task.hex(), known=True)
        self._check_wanted(task)
        admit = self._parts.node.asked.words_of(task)
        if admit is None and task in self._chronicle.rejected:
            # The log takes a record once, and this one would be the same record again.
            msg = f"the task was not admitted: {self._chronicle.rejected[task]}"
            raise OperationError("rejected", msg, "ask again with another nonce")
        if admit is None or admit.until_ms < self._parts.now() + DEADLINE_S * 1000:
            if admit is None:
                self._check_nonce(task, nonce, spec)
                self._check_room()
            admit = Admit(nonce=nonce, spec=spec, until_ms=self._until_ms())
        self.on_submitted(task)

        def is_decided(event: object) -> bool:
            return isinstance(event, TaskAdmitted | TaskTakenBack) and event.task == task

        event = await outcome_of(self._parts, self._id, admit, is_decided, of_no_other(task))
        if isinstance(event, RecordRejected):
            msg = f"the task was not admitted: {event.reason}"
            raise OperationError("rejected", msg, self._hint_on(spec))
        if isinstance(event, TaskAdmitted) or self._state.task(task) is not None:
            return replies.Submitted(task_id=task.hex())
        self._check_wanted(task, "cancelled")
        raise await self._not_in_time(task, admit)

    def _check_wanted(self, task: TaskId, code: str = "rejected") -> None:
        """Refuse what was taken back: who asks again may not know, and would undo it."""
        if self._parts.node.asked.was_taken_back(task):
            msg = f"task {task.hex()[:12]} was taken back before the log had it"
            raise OperationError(code, msg, "ask again with another nonce")

    def _until_ms(self) -> int:
        return self._parts.now() + lasts_ms(self._state)

    async def _not_in_time(self, task: TaskId, admit: Admit) -> OperationError:
        """Say what becomes of a task that the log has not taken yet, by what is on disk of it."""
        is_kept = await self._parts.pump.writer.call(lambda store: keeps_asked(store, task))
        hint = "is a quorum of its members up? see `ambientctl nodes`; "
        again = f"ask again with --nonce {admit.nonce.hex()}"
        msg = f"the committee did not take task {task.hex()} within {DEADLINE_S:.0f} s"
        if is_kept:
            until = datetime.fromtimestamp(admit.until_ms // 1000, UTC)
            msg += f"; it waits on this node's disk, and is proposed until {until:%H:%M:%S} UTC"
            again += f", or take it back: `ambientctl task cancel {task.hex()[:12]}`"
        return OperationError("unavailable", msg, hint + again)

    def _hint_on(self, spec: TaskSpec) -> str:
        """Say what to do about a rejected task, if it is money that this node lacks."""
        cost_msat = escrow_of(spec, self._state.genesis.rules.audit_permille)
        is_short = self._state.balance_msat(self._id) < cost_msat
        return hint_on_means(self._state, self._id) if is_short else ""

    async def _spec(self, request: requests.SubmitTask) -> TaskSpec:
        config, blobs = self._config, self._parts.blobs
        module = await named_or_given(blobs, "module", request.module, request.module_sha256)
        data = await named_or_given(blobs, "input", request.input, request.input_sha256)
        if len(module) < MODULE_BYTES_MIN:
            msg = f"a module has {MODULE_BYTES_MIN} bytes at least, this one {len(module)}"
            raise OperationError("invalid", msg, "give a WebAssembly module, or a blob's SHA-256")
        data, extent = await put_together(request, data)
        check_limits(request, config, len(module), len(data))
        kept = await blobs.put(module), await blobs.put(data)
        spec = spec_of(request, config, self._state.genesis.rules, *kept)
        spec = for_items(spec, len(request.items))
        return replace(spec, module_size_bytes=len(module), input_size_bytes=extent)

    def _check_room(self) -> None:
        """Refuse a task while too many of this node's are unfinished, or wait for the log."""
        own, asked = self._state.tasks_by.open_of(self._id), self._parts.node.asked
        most = min(self._config.limits.tasks_pending_max, OPEN_TASKS_MAX)
        if own + asked.undecided >= most:
            msg = f"{own} tasks of this node are unfinished and {asked.undecided} wait for the log"
            more = ", or raise [limits] tasks_pending_max" if most < OPEN_TASKS_MAX else ""
            hint = f"wait for some of them{more}"
            raise OperationError("busy", f"{msg}, it submits at most {most} at once", hint)
        if not asked.has_room:
            msg = f"{asked.undecided} tasks of this node wait for the log; no more are kept"
            hint = "is a quorum of its members up? see `ambientctl nodes`; ask again when it is"
            raise OperationError("busy", msg, hint)

    def _check_nonce(self, task: TaskId, nonce: bytes, spec: TaskSpec) -> None:
        """Refuse words that look like those of a task that waits, and are another task's.

        This node's defaults are part of the terms; changed in between, they make two tasks of one.
        """
        for other, admit in self._parts.node.asked.waiting.items():
            is_alike = (admit.spec.module, admit.spec.input) == (spec.module, spec.input)
            if other != task and admit.nonce == nonce and is_alike:
                msg = f"task {other.hex()[:12]} waits for the log by this nonce, with other terms"
                hint = "name its terms (this node's defaults may have changed), or another nonce"
                raise OperationError("rejected", msg, f"{hint}, or `ambientctl task cancel` it")
