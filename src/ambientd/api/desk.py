"""The desk: what the owner of a node asks it, answered from its committed state."""

import string
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import trio

from ambientd import __version__
from ambientd.api import replies, requests
from ambientd.api.accounts import Accounts
from ambientd.api.anchoring import Anchoring
from ambientd.api.backups import Backups
from ambientd.api.blaming import Blaming
from ambientd.api.bundling import for_items, item_output, item_receipt
from ambientd.api.census import Census, count_tasks, reputations
from ambientd.api.charting import Charting
from ambientd.api.chronicle import Chronicle
from ambientd.api.deciding import DEADLINE_S, outcome_of
from ambientd.api.doctoring import Doctoring
from ambientd.api.imaging import Imaging
from ambientd.api.invitation import check_addresses, invitation
from ambientd.api.learning import Learning
from ambientd.api.log_updates import LogUpdates
from ambientd.api.materials import Materials, find_task
from ambientd.api.naming import WAITING
from ambientd.api.operations import OperationError
from ambientd.api.owning import Owning
from ambientd.api.pegging import Pegging
from ambientd.api.proof_output import proof_output
from ambientd.api.quotes import Quote
from ambientd.api.readiness import unready
from ambientd.api.readiness_values import Readiness
from ambientd.api.registry import Registry
from ambientd.api.seating import Seating
from ambientd.api.standing import check_receipted, standing
from ambientd.api.story import tell
from ambientd.api.submitting import Submitting
from ambientd.api.tallies import Tallies
from ambientd.api.task_pages import OPEN, STATES, task_page, total_of
from ambientd.api.terms import check_limits, quote_of, spec_of
from ambientd.api.troubles import (
    LogSeen,
    convicted,
    convicted_members,
    invisible,
    profile_differs,
    troubles_of,
    unaudited_peg,
    unsigned,
)
from ambientd.api.verifying import Verifier
from ambientd.api.views import (
    name_of,
    receipt_file,
    receipt_state,
    task_reply,
    why_not,
)
from ambientd.api.waiting import Waiting
from ambientd.api.webhooks import Webhooks
from ambientd.api.why import explain
from ambientd.api.why_replies import Why
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.config.options import Config
from ambientd.errors import ConfigError
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import RecordRejected
from ambientd.ledger.rejections import is_rejection_of
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.record import Cancel
from ambientd.model.task import TERMINAL, TaskState
from ambientd.ports.keys import DrawSecret
from ambientd.runtime.news import is_about_a_task, of_no_other
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts
from ambientd.telemetry.safe_mode import Mode

_TOO_LATE = "`ambientctl task why` says where it is"
TASK_ID_BYTES = 32
BATCH_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs this node, and what they chose."""

    signer: Signer
    config: Config
    name: str
    engine: str
    engines_installed: tuple[str, ...]
    protections: tuple[str, ...]
    protections_missing: tuple[str, ...]
    addresses: tuple[str, ...]
    draw_secret: DrawSecret
    beacon_tip: Callable[[int], bytes]
    """Gives the tip of the beacon chain that belongs to a request for a seat, by its time."""
    started_ms: int
    data_dir: Path | None = None
    certificates: Path | None = None
    """The folder of certificates against convicted nodes; none where nothing lasts."""


class Desk:
    """Answers every operation of the table."""

    def __init__(self, owner: Owner, parts: Parts) -> None:
        self._owner = owner
        self._parts = parts
        self._state = parts.node.ledger
        self._id = NodeId(owner.signer.public_key)
        self._chronicle = Chronicle()
        self._tallies = Tallies(self._id, parts.blobs)
        self.submitting = Submitting(
            self._id, owner.config, owner.draw_secret, parts, self._chronicle
        )
        self.waiting = Waiting(self._id, parts)
        self.verifier = Verifier(self._state.cluster)
        self.census = Census(self._id, owner.engine, parts)
        self.charting = Charting(parts)
        self.anchoring = Anchoring(owner.config.bitcoin, parts)
        self.seating = Seating(owner.signer, owner.beacon_tip, parts)
        self.accounts = Accounts(owner.signer, parts)
        self.pegging = Pegging(owner.signer, parts)
        self.log = LogUpdates(parts)
        self.imaging = Imaging(owner.signer, parts)
        self.registry = Registry(owner.signer, parts, owner.config.limits.module_bytes_max)
        classes = self._state.genesis.rules.classes
        self.owning = Owning(self._id, parts, classes, owner.config)
        self.materials = Materials(parts, owner.config.execution.sandbox)
        self.learning = Learning(self._id, parts, owner.draw_secret)
        self.blaming = Blaming(parts, owner.certificates)
        self.backups = Backups(
            owner.config.backup,
            self._state.cluster,
            self._id,
            owner.name,
            parts.pump.writer,
            parts.now,
        )
        self.doctoring = Doctoring(self._id, owner.config, parts)
        self.webhooks = Webhooks(owner.config.webhook, owner.data_dir, self._id, owner.name, parts)

    async def keep_chronicle(self) -> None:
        """Follow the news for `task show`, until cancelled."""
        while True:
            async with self._parts.news.listen(is_about_a_task) as news:
                async for told in news:
                    self._chronicle.note(told)

    async def ping(self, _: requests.Ping) -> replies.Pong:
        """Say that somebody is there."""
        return replies.Pong(version=__version__, now_ms=self._parts.now())

    async def ready(self, _: requests.GetReadiness) -> Readiness:
        """Say that this node can take part, or raise OperationError saying why not."""
        why = [each.kind.replace("_", " ") for each in troubles_of(self._log_seen())]
        why += unready(self._id, self._parts)
        if why:
            msg = f"this node cannot take part: {', '.join(why)}"
            raise OperationError("unready", msg, "`ambientctl status` tells more")
        return Readiness(ready=True)

    async def status(self, _: requests.GetStatus) -> replies.Status:
        """Say how this node is."""
        node, state, owner = self._parts.node, self._state, self._owner
        condition = node.telemetry.view(self._parts.now(), reputations(self._state)).get(self._id)
        mode, seen = node.telemetry.mode, self.doctoring.seen()
        return replies.Status(
            node=self._id.hex(),
            name=owner.name,
            version=__version__,
            cluster=state.genesis.name,
            fingerprint=state.cluster.hex(),
            uptime_ms=self._parts.now() - owner.started_ms,
            term=node.consensus.term,
            coordinator=None if node.coordinator is None else node.coordinator.hex(),
            committed_height=state.applied_index,
            committee=len(state.members),
            epoch=state.epoch.number,
            peers=tuple(peer.hex() for peer in sorted(self._parts.transport.peers())),
            health_percent=None if condition is None else condition.health.score_permille // 10,
            safe_mode=replies.SafeMode(
                active=mode is not Mode.NORMAL,
                reasons=tuple(reason.name.lower() for reason in node.telemetry.trip_reasons),
            ),
            tasks=count_tasks(state),
            engine=owner.engine,
            engines_installed=owner.engines_installed,
            sandbox=replies.Sandbox(active=owner.protections, missing=owner.protections_missing),
            chain=self.anchoring.chain(),
            balance_msat=state.balance_msat(self._id),
            faults=owner.config.faults.lie.value,
            silent_ms=max(0, self._parts.now() - state.meta.time_ms),
            owner=self.owning.standing,
            privacy=self.learning.standing(),
            seen=seen,
            state_version=state.version,
            known_version=state.versions.newest,
            tasks_waiting=len(node.asked),
            troubles=(
                *self._conviction(),
                *profile_differs(
                    owner.config.node.profile,
                    state.node(self._id),
                    has_offered=state.offer(self._id).said_ms > 0,
                ),
                *troubles_of(self._log_seen()),
                *invisible(seen),
                *self.anchoring.troubles(),
                *self.backups.troubles(),
                *unaudited_peg(state.genesis),
                *map(unsigned, () if self._parts.peg is None else self._parts.peg.faults()),
            ),
        )

    def _conviction(self) -> tuple[replies.Trouble, ...]:
        if self._is_tombstoned(self._id):
            evidence = self._state.conviction(self._id)
            return () if evidence is None else (convicted(evidence),)
        members = self._state.members
        guilty = [name_of(self._state, each) for each in members if self._is_tombstoned(each)]
        if not guilty or self._id not in members:
            return ()
        return (convicted_members(guilty, len(members)),)

    def _is_tombstoned(self, node: NodeId) -> bool:
        entry = self._state.node(node)
        return entry is not None and entry.tombstoned

    def _log_seen(self) -> LogSeen:
        node, state, now = self._parts.node, self._state, self._parts.now()
        here = self._parts.transport.peers() | {self._id}
        awaited = awaited_ms(state)
        return LogSeen(
            outdated=node.outdated,
            is_member=self._id in state.members,
            may_vote=node.consensus.options.may_vote,
            is_first_start=node.log.is_first_start,
            members=len(state.members),
            away=[name_of(state, member) for member in state.members if member not in here],
            term=node.consensus.term,
            coordinator=name_of(state, NodeId(node.consensus.coordinator)),
            records=node.consensus.pending_records,
            is_awaited=awaited is not None and awaited <= now,
            silent_ms=min(now - state.meta.time_ms, now - self._owner.started_ms),
        )

    async def submit(self, request: requests.SubmitTask) -> replies.Submitted:
        """Keep the blobs, bring the task into the log, and answer once it is in."""
        return await self.submitting.submit(request)

    async def quote(self, request: requests.QuoteTask) -> Quote:
        """Say what a task would cost; nothing is submitted."""
        config = self._owner.config
        check_limits(request, config, request.module_size_bytes, request.input_size_bytes)
        nothing = Digest(bytes(DIGEST_BYTES))
        spec = spec_of(request, config, self._state.genesis.rules, nothing, nothing)
        spec = for_items(spec, request.items)
        return quote_of(spec, self._state, self._id, config.limits.spend_unasked_msat_max)

    async def list_tasks(self, request: requests.ListTasks) -> replies.Tasks:
        """List the ledger's tasks, the newest first."""
        wanted = request.state.lower()
        if wanted == WAITING:
            return self.waiting.lines(request.limit)
        if wanted and wanted not in STATES | {OPEN}:
            msg = f"{request.state!r} is no state of a task"
            raise OperationError(
                "invalid", msg, f"choose {OPEN}, {WAITING}, or {', '.join(sorted(STATES))}"
            )
        shown, following = task_page(self._state, wanted, request.limit, request.after)
        lines = [await self._tallies.line(task, entry) for task, entry in shown]
        return replies.Tasks(
            tasks=tuple(lines), total=total_of(self._state, wanted), next=following
        )

    async def show_task(self, request: requests.ShowTask) -> replies.Task:
        """Tell everything about a task."""
        if (waiting := self.waiting.named(request.task)) is not None:
            return self.waiting.shown(waiting)
        return await self._told(*self._find(request.task), is_brought=True)

    async def _told(self, task: TaskId, entry: TaskEntry, *, is_brought: bool) -> replies.Task:
        abort = self._parts.node.submitter.last_abort(task)
        shown = task_reply(self._state, task, entry, self._chronicle.of(task), abort)
        return await self._tallies.told(shown, entry, is_brought=is_brought)

    async def why(self, request: requests.ExplainTask) -> Why:
        """Explain why a task is where it is."""
        if (waiting := self.waiting.named(request.task)) is not None:
            return self.waiting.why(waiting)
        task, entry = self._find(request.task)
        told = why_not(self._parts.node.submitter.last_abort(task))
        return explain(self._state, task, entry, told, self._chronicle.given(task))

    async def wait_for_task(self, request: requests.WaitForTask) -> replies.Task:
        """Answer when the task has come as far as the caller wants, or the time is over."""
        if request.until not in {"final", "batched", "anchored"}:
            msg = f"cannot wait until {request.until!r}"
            raise OperationError("invalid", msg, 'choose "final", "batched" or "anchored"')
        waiting = self.waiting.named(request.task)
        task = self._find(request.task)[0] if waiting is None else waiting
        await self._come(task, request.until, request.timeout_ms / 1000, request.seen)
        if self.waiting.has(task):
            return self.waiting.shown(task)
        return await self._told(*self._find(task.hex()), is_brought=False)

    async def _come(self, task: TaskId, until: str, deadline_s: float, seen: str = "") -> None:
        """Wait until the task has come so far, or the time is over."""
        with trio.move_on_after(deadline_s):
            while not self._has_come(task, until, seen):
                async with self._parts.news.listen(of_no_other(task)) as news:
                    while not self._has_come(task, until, seen):
                        try:
                            await news.receive()
                        except trio.EndOfChannel:
                            break

    def _has_come(self, task: TaskId, until: str, seen: str) -> bool:
        entry = self._state.task(task)
        if entry is None:
            return not self.waiting.has(task)  # taken back, or its time is over
        come = receipt_state(self._state, entry).state
        if seen and seen != (entry.state.name.lower() if until == "final" else come):
            return True
        if entry.state not in TERMINAL:
            return False
        if until == "final" or come == "none":
            return True
        return come == "anchored" or (until == "batched" and come == "batched")

    async def cancel(self, request: requests.CancelTask) -> replies.Task:
        """Take a task of this node back, and answer once the log has decided, if it has it."""
        if (waiting := self.waiting.named(request.task)) is not None:
            told = await self.waiting.take_back(waiting)
            if self._state.task(waiting) is None:
                return told  # else a block came first, and the log is to cancel it
        task, entry = self._find(request.task)
        if entry.submitter != self._id:
            who = f"that is {name_of(self._state, entry.submitter)}: ask its owner"
            raise OperationError("rejected", "only its submitter can cancel a task", who)
        if self._is_cancellable(task):
            await self._cancel(task)
        return await self.show_task(requests.ShowTask(task=task.hex()))

    async def _cancel(self, task: TaskId) -> None:
        """Bring the cancellation into the log; return once the task is cancelled, or raise."""
        body = Cancel(task=task)

        def is_over(event: object) -> bool:
            return not is_rejection_of(event, self._id, body) and not self._is_cancellable(task)

        event = await outcome_of(self._parts, self._id, body, is_over, of_no_other(task))
        if isinstance(event, RecordRejected) and is_rejection_of(event, self._id, body):
            raise OperationError("rejected", event.reason, _TOO_LATE)
        if event is not None:
            return
        msg = f"the committee did not take the task back within {DEADLINE_S:.0f} s"
        hint = "it may still; `ambientctl task show` tells, and `ambientctl nodes` who is up"
        raise OperationError("unavailable", msg, hint)

    def _is_cancellable(self, task: TaskId) -> bool:
        """Tell whether a task is still to be cancelled; raise when it is too late for that."""
        entry = self._state.task(task)
        if entry is None or entry.state is TaskState.CANCELLED:
            return False
        if entry.state in {TaskState.PENDING, TaskState.ASSIGNED}:
            return True
        state = entry.state.name.lower()
        raise OperationError("rejected", f"a task that is {state} cannot be cancelled", _TOO_LATE)

    async def output(self, request: requests.GetOutput) -> replies.Output:
        """Give a task's output, from here or from whoever has it."""
        task, entry = self._find(request.task)
        if entry.settlement is None:
            msg = f"task {task.hex()[:12]} has no output: it is {entry.state.name.lower()}"
            raise OperationError("not_ready", msg, "`ambientctl task show` tells more")
        if request.proof:
            return await proof_output(self._parts.blobs, task, entry)
        if request.item is not None:
            return await item_output(self._state, self._parts.blobs, task, entry, request.item)
        result, liars = entry.settlement.result, entry.settlement.liars
        holders = [slot.worker for slot in entry.slots if slot.worker not in liars]
        found: bytes | None = b""
        if size_bytes := size_of(result.output_size_bytes):
            found = await self._parts.blobs.fetch(result.output, size_bytes, holders)
        if found is None:
            msg = f"nobody who can be reached holds the output of task {task.hex()[:12]}"
            raise OperationError("unavailable", msg, "ask again when its workers are up")
        return replies.Output(
            task_id=task.hex(),
            data=found,
            sha256=result.output.hex(),
            standing=standing(self._state, task),
        )

    async def receipt(self, request: requests.GetReceipt) -> replies.ReceiptFileReply:
        """Give a receipt file; a task that is just final waits for its batch to be closed."""
        task, entry = self._find(request.task)
        check_receipted(task, entry)
        if entry.state is TaskState.FINAL:
            await self._come(task, "batched", BATCH_DEADLINE_S)
        ends = await self._parts.pump.writer.call(ends_of)
        file = receipt_file(self._state, entry, self._owner.signer, ends)
        if file is None or file.note is None:
            msg = f"task {task.hex()[:12]} has no receipt yet"
            hint = "it comes when the task is final and its batch is closed, seconds later"
            raise OperationError("not_ready", msg, hint)
        come = receipt_state(self._state, entry)
        data = await item_receipt(self._parts.blobs, entry, request.item, encode(file))
        return replies.ReceiptFileReply(
            task_id=task.hex(),
            data=data,
            receipt=come,
            standing=standing(self._state, task),
        )

    async def invite(self, request: requests.Invite) -> replies.Invitation:
        """Make a join token."""
        if self._id not in self._state.members:
            msg = "only committee members invite"
            raise OperationError("forbidden", msg, "ask the owner of one")
        try:
            check_addresses(self._owner.addresses)
        except ConfigError as error:
            raise OperationError("invalid", str(error)) from error
        owner, expires_ms = self._owner, self._parts.now() + request.expires_in_ms
        return invitation(
            self._state.genesis, owner.signer, owner.addresses, owner.draw_secret(32), expires_ms
        )

    async def events(self, request: requests.FollowEvents) -> AsyncIterator[replies.Event]:
        """Tell what happens from now on."""
        wanted = {self._followed(name) for name in request.tasks}
        async with self._parts.news.listen() as news:
            async for told in news:
                for event in tell(told):
                    if not wanted or event.fields.get("task") in wanted:
                        yield event

    def _followed(self, name: str) -> str:
        """Give the id of a task to follow; a whole one may be of a task that is yet to come."""
        is_whole = len(name) == 2 * TASK_ID_BYTES and not name.strip(string.hexdigits)
        return name.lower() if is_whole else self._find(name)[0].hex()

    def _find(self, name: str) -> tuple[TaskId, TaskEntry]:
        return find_task(self._state, name)
