"""The effect performer: sends, executes, fetches, anchors and tells; never blocks the pump."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
import trio

from ambientd.errors import LocalProtocolError, StoreError
from ambientd.ledger.events import TaskClosed, TaskCommitted
from ambientd.ledger.learning_events import RoundEnded
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import (
    Abandon,
    AnchorRoot,
    Assignment,
    CheckProof,
    CheckStep,
    DropStates,
    Execute,
    FetchBlob,
    FetchState,
    HearAnchor,
    KeepStates,
    LeaveAnchors,
    LeaveOff,
    ProveStep,
    SeatAnchors,
    SegmentWanted,
    SendParcel,
    TakeParcel,
    TraceWanted,
    WatchAnchor,
)
from ambientd.model.execution import AbortCause
from ambientd.model.learning_effect import BringUpdate, LearningEffect, RoundWish
from ambientd.model.message import ParcelSent
from ambientd.node.effect import (
    AllowNodes,
    BlocksMissed,
    BroadcastFrame,
    ConditionChanged,
    CoordinatorElected,
    NodeEffect,
    PeerMisbehaved,
    PublishGossip,
    RecordDropped,
    SendFrame,
    Told,
)
from ambientd.node.event import Event, ExecutionEnded, StateKept, StateReached
from ambientd.node.frames import job_frame
from ambientd.ports.anchors import Anchors
from ambientd.ports.transport import Transport
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.convictions import warn_of_conviction
from ambientd.runtime.execution import Executor
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.news import News
from ambientd.runtime.pump import Pump
from ambientd.runtime.telling import Telling
from ambientd.telemetry.messages import BatchAccepted, SafeModeChanged

log = structlog.get_logger("ambientd.performer")

Work = Execute | TraceWanted | SegmentWanted | CheckProof | ProveStep | CheckStep

TELEMETRY_TOPIC = "ambient/telemetry/1"
EXECUTIONS_WAITING_MAX = 1024
FAULTS_KEPT_MAX = 1024
FAULTS_A_BAN = 100
BAN_S = 60.0


@dataclass(slots=True)
class Counters:
    """What has happened since the start, for status and metrics."""

    frames_sent: int = 0
    frames_unsent: int = 0
    executions: int = 0
    executions_refused: int = 0
    faults: dict[NodeId, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workshop:
    """What does the work that the node asks of this device: tasks, and rounds of learning."""

    executor: Executor
    learning: LearningHost


class Performer:
    """Carries out a node's effects in one nursery."""

    def __init__(
        self,
        nursery: trio.Nursery,
        pump: Pump,
        transport: Transport,
        workshop: Workshop,
        blobs: Blobs,
        news: News,
        now: Callable[[], int],
        anchors: Anchors | None,
        *,
        ledger: LedgerState,
        is_open: bool = True,
    ) -> None:
        self._nursery = nursery
        self._pump = pump
        self._transport = transport
        self._executor = workshop.executor
        self._states = workshop.executor.markings.states
        self._learning = workshop.learning
        self._blobs = blobs
        self._news = news
        self._now = now
        self._anchors = anchors
        self._ledger = ledger
        self._telling = Telling(transport.peers, ledger, self._send, now)
        self._is_open = is_open
        self._allowed: frozenset[NodeId] = frozenset()
        self._banned: set[NodeId] = set()
        self._running: dict[Assignment, trio.CancelScope] = {}
        # What is wanted again of executions that were abandoned and are not at their end yet.
        self._again: dict[Assignment, Work] = {}
        self._leaving: set[Assignment] = set()
        self.counters = Counters()

    def __call__(self, effect: NodeEffect) -> None:
        """Carry out one effect."""
        match effect:
            case SendFrame(to=to, frame=frame):
                self._telling.catch_up(to)
                self._send(to, frame)
            case BroadcastFrame(frame=frame):
                if lag_ms := self._telling.broadcast(frame):
                    self._nursery.start_soon(self._tell_rest, lag_ms)
            case Told(event=event):
                if isinstance(event, TaskCommitted | TaskClosed):
                    self._let_go(event)
                if isinstance(event, RoundEnded):
                    self._nursery.start_soon(self._learning.hear, event)
                warn_of_conviction(effect, self._ledger)
                self._news.tell(effect)
            case (
                Execute()
                | TraceWanted()
                | SegmentWanted()
                | CheckProof()
                | ProveStep()
                | CheckStep()
            ):
                self._start_execution(effect)
            case Abandon() | LeaveOff():
                self._stop(effect)
            case RoundWish():
                self._nursery.start_soon(self._learn, effect)
            case FetchBlob() | SendParcel() | TakeParcel() | BringUpdate():
                self._move_blob(effect)
            case FetchState() | DropStates() | KeepStates():
                self._hold_states(effect)
            case AnchorRoot() | HearAnchor() | LeaveAnchors() | WatchAnchor() | SeatAnchors():
                if self._anchors is not None:
                    _hand_on(effect, self._anchors)
            case AllowNodes(nodes=nodes):
                self._allowed = frozenset(nodes)
                self.let_in(self._is_open)
            case PublishGossip(data=data):
                self._transport.publish(TELEMETRY_TOPIC, data, directly=self._ledger.members)
            case _:
                self._note(effect)

    def _let_go(self, event: TaskCommitted | TaskClosed) -> None:
        """Hand out what was sealed, and forget what was kept to go on from."""
        self._blobs.sealed.open(event.task)
        if isinstance(event, TaskClosed):
            self._executor.forget(event.task)

    def let_in(self, is_open: bool) -> None:
        """Be open to the nodes of the allow-list, or to nobody: a newcomer is, until it is in."""
        self._is_open = is_open
        allowed = self._allowed - self._banned if is_open else frozenset()
        self._transport.set_allowed(frozenset(allowed))

    def _note(self, effect: NodeEffect) -> None:
        """Count and log what asks for nothing else."""
        match effect:
            case CoordinatorElected(term=term, coordinator=coordinator):
                log.info("coordinator", term=term, coordinator=coordinator.hex()[:12])
            case PeerMisbehaved(peer=peer, reason=reason):
                self._count_fault(peer, reason)
            case ConditionChanged(news=news):
                if isinstance(news, SafeModeChanged):
                    reasons = [reason.name.lower() for reason in news.reasons]
                    log.warning("safe mode", mode=news.mode.value, reasons=reasons)
                elif not isinstance(news, BatchAccepted):
                    log.warning(
                        "a newer batch of this node came from outside: is its key in use twice?"
                    )
            case BlocksMissed(index=index):
                log.warning(
                    "nodes that were asked have deleted blocks that this node wants: it goes on "
                    "from a snapshot; restore a backup from a node that has every block",
                    up_to_block=index,
                )
            case RecordDropped(reason=reason):
                log.warning("record dropped", reason=reason)
            case _:
                msg = f"the pump handed over {type(effect).__name__}, which it must persist itself"
                raise LocalProtocolError(msg)

    async def _tell_rest(self, lag_ms: int) -> None:
        await trio.sleep(lag_ms / 1000)
        self._telling.tell_rest()

    def _send(self, to: NodeId, frame: bytes) -> None:
        if self._transport.send(to, frame):
            self.counters.frames_sent += 1
        else:
            self.counters.frames_unsent += 1

    def _move_blob(self, effect: FetchBlob | SendParcel | TakeParcel | BringUpdate) -> None:
        match effect:
            case BringUpdate():
                self._nursery.start_soon(self._learning.bring_early, effect)
            case FetchBlob():
                self._nursery.start_soon(self._fetch, effect)
            case TakeParcel(sender=sender, digest=digest, data=data):
                self._blobs.parcels.put(sender, digest, data)
            case SendParcel(to=to, task=task, digest=digest):
                known = self._blobs.remembered(digest)
                if known is not None:  # else whoever misses it fetches it
                    self._send(to, job_frame(ParcelSent(task=task, digest=digest, data=known)))

    def _hold_states(self, effect: FetchState | DropStates | KeepStates) -> None:
        """Have those states here for others that the log says, and no more."""
        if self._states is None:
            return
        match effect:
            case FetchState():
                self._nursery.start_soon(self._bring, self._states, effect)
            case DropStates():
                self._states.drop(effect)
            case KeepStates():
                self._states.keep_only(effect)

    async def _bring(self, states: HandedStates, effect: FetchState) -> None:
        kept = await states.bring(effect)
        if kept is not None:
            await self._pump.post(StateKept(kept))

    def _count_fault(self, peer: NodeId, reason: str) -> None:
        """Count a breach; every so many of them, a peer has to stay away for a while."""
        faults = self.counters.faults
        if peer not in faults and len(faults) >= FAULTS_KEPT_MAX:
            # The newest of those with fewest: else a thousand names would be a charter for others.
            del faults[min(reversed(faults), key=faults.__getitem__)]
        count = faults[peer] = faults.get(peer, 0) + 1
        if count.bit_count() == 1:  # 1, 2, 4, 8, ...: a flood of faults is no flood of lines
            name = peer.hex()[:12]
            log.warning("peer broke the protocol", peer=name, reason=reason[:200], times=count)
        if count % FAULTS_A_BAN == 0 and peer not in self._banned:
            self._nursery.start_soon(self._ban, peer)

    async def _ban(self, peer: NodeId) -> None:
        log.warning("peer is kept out", peer=peer.hex()[:12], seconds=BAN_S)
        self._banned.add(peer)
        self.let_in(self._is_open)
        await trio.sleep(BAN_S)
        self._banned.discard(peer)
        self.let_in(self._is_open)

    def _start_execution(self, effect: Work) -> None:
        if (scope := self._running.get(effect.assignment)) is not None:
            if scope.cancel_called:
                self._again[effect.assignment] = effect
            return
        if len(self._running) >= EXECUTIONS_WAITING_MAX:
            self.counters.executions_refused += 1
            reason = "too many executions wait on this device"
            place, spec = effect.assignment, effect.spec
            ended = ExecutionEnded(place, spec, None, reason, cause=AbortCause.BUSY)
            self._nursery.start_soon(self._pump.post, ended)
            return
        self._running[effect.assignment] = trio.CancelScope()
        self._nursery.start_soon(self._execute, effect)

    async def _execute(self, effect: Work) -> None:
        ended: Event | None = None
        try:
            with self._running[effect.assignment]:
                if isinstance(effect, Execute):
                    ended = await self._executor.execute(effect, self._now, self._pump.post)
                elif isinstance(effect, CheckProof):
                    ended = await self._executor.check_proof(effect)
                elif isinstance(effect, ProveStep | CheckStep):
                    ended = await self._executor.step(effect)
                else:
                    ended = await self._executor.trace(effect)
        finally:
            # Before the node hears of it: it may want the same once more.
            del self._running[effect.assignment]
        again = self._again.pop(effect.assignment, None)
        if effect.assignment in self._leaving:
            self._leaving.discard(effect.assignment)
            if ended is None:
                ended = await self._executor.markings.left_off(effect.assignment)
        untold = self._executor.markings.forget(effect.assignment)
        if untold is not None:
            await self._pump.post(untold)
        if ended is not None:
            self.counters.executions += 1
            await self._pump.post(ended)
        elif again is not None:
            self._start_execution(again)

    def _stop(self, effect: Abandon | LeaveOff) -> None:
        """Stop an execution; where others shall go on with it, say where it stood."""
        place = effect.assignment
        self._again.pop(place, None)
        scope = self._running.get(place)
        if isinstance(effect, LeaveOff):
            if scope is None:
                left = StateReached(place, None, is_last=True)
                self._nursery.start_soon(self._pump.post, left)
            else:
                self._leaving.add(place)
        if scope is not None:
            scope.cancel()

    async def _learn(self, effect: LearningEffect) -> None:
        await self._pump.post(await self._learning.carry_out(effect))

    async def _fetch(self, effect: FetchBlob) -> None:
        name = effect.digest.hex()[:12]
        try:
            found = await self._blobs.fetch(effect.digest, effect.size_bytes, effect.holders)
        except StoreError as error:
            log.warning("blob could not be read", digest=name, reason=str(error))
        else:
            if found is None:
                log.warning("blob could not be fetched", digest=name)


def _hand_on(
    effect: AnchorRoot | HearAnchor | LeaveAnchors | WatchAnchor | SeatAnchors, anchors: Anchors
) -> None:
    """Tell whoever anchors what the node wants of it."""
    match effect:
        case AnchorRoot(size=size, root=root):
            anchors.want(size, root)
        case HearAnchor(size=size, root=root, raw_tx=raw_tx):
            anchors.hear(size, root, raw_tx)
        case LeaveAnchors(size=size):
            anchors.leave(size)
        case WatchAnchor(size=size, root=root, proof=proof):
            anchors.watch(size, root, proof)
        case SeatAnchors(place=place, members=members):
            anchors.seat(place, members)
