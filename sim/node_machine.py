"""A whole node in the world: the daemon's own `Node`, around it a store, executions and peers.

The host does what the runtime does, in virtual time: all that must be durable becomes one
transaction before anything leaves, executions take a while, peers that fall silent are lost.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ambientd.consensus.log import Log
from ambientd.ledger.entries import Entry, Table
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import NodeId
from ambientd.model.effect import (
    Abandon,
    AnchorRoot,
    Assignment,
    CheckProof,
    CheckStep,
    DropStates,
    Execute,
    ExecutionReport,
    FetchState,
    HearAnchor,
    KeepStates,
    LeaveAnchors,
    LeaveOff,
    ProveStep,
    SeatAnchors,
    SegmentWanted,
    TraceWanted,
    WatchAnchor,
)
from ambientd.model.learning_effect import RoundWish
from ambientd.model.offer import NOTHING_SAID
from ambientd.model.offer import Wish as OwnerWish
from ambientd.model.record import Cancel, Record
from ambientd.node.build import NodeOptions, build_node
from ambientd.node.effect import (
    AllowNodes,
    BroadcastFrame,
    PeerMisbehaved,
    Persist,
    PersistLedger,
    PublishGossip,
    SendFrame,
    Told,
)
from ambientd.node.event import (
    BodiesProposed,
    Event,
    ExecutionEnded,
    FrameReceived,
    GossipReceived,
    OwnerWished,
    PeerConnected,
    PeerLost,
    RecordOffered,
    RoundTripMeasured,
    Started,
    Ticked,
)
from ambientd.ports.store import Store
from ambientd.runtime.persistence import recover, writes_of
from ambientd.telemetry.messages import Sampled
from sim.boasts import SPEAKS_ONE_IN, boast
from sim.learners import RememberedBook
from sim.long_runs import LongRuns, is_long
from sim.machine import Delivery, Effect
from sim.mismarks import SPEAKS_ONE_IN as MARKS_ONE_IN
from sim.mismarks import mismark
from sim.node_store import CommittedRows
from sim.parties import ECHO_MS, TARDY_MS_MAX, SilentParty, followed, traced, waits_to_echo
from sim.proofs import claimed, judged, made
from sim.pupils import Pupil
from sim.step_proofs import step_judged, step_made
from sim.vices import Resident, Vice, Wanted, Wish, work_ms
from sim.wallets import hand_on

KEEPALIVE_MS = 1_000
SILENT_MS_MAX = 3_500
ROUND_TRIP_MS = 5_000
SAMPLE_MS = 5_000
EXECUTION_MS_MAX = 400
LOOK_MS_MAX = 20  # seeing whether a module can be proven at all
ABORTS_PERMILLE = 30

FRAME, GOSSIP, KEEPALIVE = b"F", b"G", b"K"


Row: TypeAlias = tuple[Table, bytes, Entry | None, int]
"""What a key of the ledger holds now, and a mark that equal rows share."""


class Persisted:
    """All persist effects of one step: one transaction; what many checkers ask, worked out once."""

    __slots__ = ("_rows", "changes", "effects")

    def __init__(self, effects: tuple[Persist, ...]) -> None:
        self.effects = effects
        self.changes = tuple(each for each in effects if isinstance(each, PersistLedger))
        self._rows: tuple[tuple[Row, ...], ...] | None = None

    @property
    def rows(self) -> tuple[tuple[Row, ...], ...]:
        """Give what each step of the ledger writes, sorted by key."""
        if self._rows is None:
            self._rows = tuple(map(_rows_of, self.changes))
        return self._rows


def _rows_of(change: PersistLedger) -> tuple[Row, ...]:
    writes = change.writes
    return tuple(
        (*key, writes[key], hash((int(key[0]), key[1], writes[key]))) for key in sorted(writes)
    )


@dataclass(frozen=True, slots=True)
class KeptAlive:
    """The transport's own sign of life."""


@dataclass(slots=True)
class _Running:
    effect: Wanted
    started_ms: int
    ends_ms: int


class NodeHost(Resident):
    """Hosts one Node in the simulator's world."""

    def __init__(
        self,
        options: NodeOptions,
        store: Store | None,
        seed: int,
        vices: frozenset[Vice] = frozenset(),
    ) -> None:
        super().__init__(options, random.Random(seed), vices)
        self._given_store = store
        self.told: list[Told] = []
        self.faults: list[PeerMisbehaved] = []
        self.aborts_permille = ABORTS_PERMILLE
        self.answers = True
        self.owner_wish = NOTHING_SAID
        self.book = RememberedBook()  # on disk: it outlives crashes
        self._forget()

    def _forget(self) -> None:
        self._running: dict[Assignment, _Running] = {}
        self._long = LongRuns(self, self._dice, self.aborts_permille)
        self._pupil = Pupil(NodeId(self.key), self._dice, self.vices, self.book)
        self._pupil.hoarders = self.hoarders
        self._heard: dict[NodeId, int] = {}
        self._measures_at: dict[NodeId, int] = {}
        self._allowed: frozenset[NodeId] = frozenset()
        self._keepalive_at = self._sample_at = self._now = 0

    @property
    def log(self) -> Log:
        """Give the log of a node that is up."""
        assert self.node is not None, "the node is up"
        return self.node.log

    @property
    def store(self) -> Store:
        """Give what a crash leaves: the node's disk, or the store that a test gave."""
        return self.disk if self._given_store is None else self._given_store

    @property
    def next_deadline(self) -> int | None:
        """Give when the node or its host wants the next tick."""
        if self.node is None:
            return None
        due = [self.node.next_deadline, self._keepalive_at, self._sample_at]
        if self._heard:
            due.append(min(self._heard.values()) + SILENT_MS_MAX + 1)
        if self._running:
            due += [running.ends_ms for running in self._running.values()]
        if (long_ms := self._long.next_deadline) is not None:
            due.append(long_ms)
        if (lessons_ms := self._pupil.next_deadline) is not None:
            due.append(lessons_ms)
        if self.notary is not None and (anchors_ms := self.notary.next_deadline) is not None:
            due.append(anchors_ms)
        return min(due)

    def clock(self) -> int:
        """Give the time that it goes by; milliseconds."""
        return self._now

    # What happens to it

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the node from its store and start it; what its owner wants is wanted again."""
        genesis = self.options.genesis
        found = recover(self.store, genesis, self.versions)
        self.node = build_node(
            self.options,
            found.ledger,
            found.log,
            found.last_telemetry_epoch(now),
            CommittedRows(self.store).blocks(),
            self._dice,
            found.kept,
            found.marks,
            found.asked,
        )
        if Vice.SILENT in self.vices:
            self.node._cores.disputer = SilentParty(self.signer)
        self._forget()
        self._allowed = found.ledger.allowed_nodes()
        wanted, self.once_up = [*self.open_wishes(found.ledger), *self.once_up], []
        wishes = [self._wish(each) for each in wanted]
        owner = [] if self.owner_wish is NOTHING_SAID else [OwnerWished(self.owner_wish)]
        return self._step([*owner, Started(), *wishes, Ticked()], now)

    def crash(self) -> None:
        """Lose everything but the store."""
        self.node = None
        if self.notary is not None:
            self.notary.crash()
        self._forget()

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect] | None:
        """Take in what an allowed peer sent."""
        peer = NodeId(sender)
        if peer not in self._allowed:
            return None
        events: list[Event] = [] if peer in self._heard else [PeerConnected(peer)]
        self._heard[peer] = now
        kind, body = data[:1], data[1:]
        if kind == FRAME:
            events.append(FrameReceived(peer, body))
        elif kind == GOSSIP:
            events.append(GossipReceived(peer, body))
        elif now >= self._measures_at.get(peer, 0):
            self._measures_at[peer] = now + ROUND_TRIP_MS
            events.append(RoundTripMeasured(peer, 2_000 + self._dice.randrange(10_000)))
        return self._step(events, now) if events else None

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass: end executions, lose silent peers, read the probes, tick the node."""
        events: list[Event] = []
        for place, running in list(self._running.items()):
            if now < running.ends_ms:
                continue
            if isinstance(running.effect, TraceWanted) and waits_to_echo(self, running.effect):
                running.ends_ms = now + ECHO_MS
                continue
            del self._running[place]
            events += self._ended(running)
        events += self._long.due(now, self._heard.keys() | {NodeId(self.key)})
        events += self._pupil.done(frozenset(self._heard), now)
        for peer, heard_ms in list(self._heard.items()):
            if now - heard_ms > SILENT_MS_MAX:
                del self._heard[peer]
                events.append(PeerLost(peer))
        if self.notary is not None:
            events += self.notary.due(now)
        if Vice.MEDDLE in self.vices and self._dice.randrange(40) == 0:
            tasks = [task for task, _ in self.ledger.open_tasks()[:2]]
            events.append(BodiesProposed(tuple(Cancel(task=task) for task in tasks)))
        if Vice.BOAST in self.vices and self._dice.randrange(SPEAKS_ONE_IN) == 0:
            events.append(BodiesProposed((boast(self.ledger, now, self._dice),)))
        if Vice.MISMARK in self.vices and self._dice.randrange(MARKS_ONE_IN) == 0:
            events.append(BodiesProposed(mismark(self.ledger, self.signer, self._dice)))
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_MS
            events.append(Sampled(tuple(self.read())))
        effects = self._step([*events, Ticked()], now)
        if now >= self._keepalive_at:
            self._keepalive_at = now + KEEPALIVE_MS
            effects.append(KeptAlive())
        return effects

    def want(self, wish: Wish, now: int) -> Sequence[Effect]:
        """Take what the owner wants, across crashes, until the ledger shows it."""
        self.keep(wish)
        return self._step([self._wish(wish)], now)

    def heed(self, wish: OwnerWish, now: int) -> Sequence[Effect]:
        """Take what the owner lets the node do from now on, across crashes."""
        self.owner_wish = wish
        return self._step([OwnerWished(wish)], now)

    def _wish(self, wish: Wish) -> Event:
        return RecordOffered(wish) if isinstance(wish, Record) else BodiesProposed((wish,))

    def feed(self, events: Sequence[Event], now: int) -> list[Effect]:
        """Hand events over as they are."""
        return self._step(events, now)

    def _step(self, events: Sequence[Event], now: int) -> list[Effect]:
        """Handle events together; what must be durable comes first, in one transaction."""
        assert self.node is not None, "the node is up"
        self._now = now
        effects = [effect for event in events for effect in self.node.handle(event, now=now)]
        persist = tuple(effect for effect in effects if isinstance(effect, Persist))
        rest: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Persist):
                continue
            rest += self.twisted(effect)
        return [Persisted(persist), *rest] if persist else rest

    def _ended(self, running: _Running) -> Sequence[Event]:
        effect = running.effect
        place, spec = effect.assignment, effect.spec
        reachable = self._heard.keys() | {NodeId(self.key)}
        if not reachable & set(effect.holders):
            return [ExecutionEnded(place, spec, None, "nobody who has the module is up")]
        if self._dice.randrange(1000) < self.aborts_permille:
            return [ExecutionEnded(place, spec, None, "the wall-clock limit was reached")]
        if isinstance(effect, TraceWanted):
            return traced(self, effect)
        if isinstance(effect, SegmentWanted):
            return [followed(self, effect)]
        if isinstance(effect, CheckProof):
            return [judged(effect, self.vices)]
        if isinstance(effect, ProveStep):
            return [step_made(effect, self.vices)]
        if isinstance(effect, CheckStep):
            return [step_judged(effect, self.vices)]
        result = claimed(spec, self.answer(spec), self.vices)
        report = ExecutionReport(
            result=result,
            engine="sim",
            engine_version="1",
            started_ms=running.started_ms,
            finished_ms=running.ends_ms,
            energy_mj=None,
            energy_source="none",
            proof=None if spec.proof is None else made(effect, result, self.vices),
        )
        return [ExecutionEnded(place, spec, report)]

    # What it does

    def drop_out(self) -> None:
        """Lose what it was at in rounds as well."""
        super().drop_out()
        self._pupil.forget()

    def execute(self, effect: Effect) -> Delivery | None:
        """Carry out one effect on the store, or give what must be sent."""
        match effect:
            case Persisted(effects=effects):
                batch = [write for each in effects for write in writes_of(each) or ()]
                self.store.write(batch)
                self._forget_granted(effects)
            case SendFrame(to=to, frame=frame):
                return Delivery(to, FRAME + frame)
            case BroadcastFrame(frame=frame):
                return Delivery(None, FRAME + frame)
            case PublishGossip(data=data):
                return Delivery(None, GOSSIP + data)
            case KeptAlive():
                return Delivery(None, KEEPALIVE)
            case (
                Execute()
                | TraceWanted()
                | SegmentWanted()
                | CheckProof()
                | ProveStep()
                | CheckStep()
            ):
                self._start(effect)
            case RoundWish():
                if not self.has_dropped_out:
                    self._pupil.begin(effect, self._now)
            case Abandon() | LeaveOff() | FetchState() | DropStates() | KeepStates():
                self._mind(effect)
            case AllowNodes(nodes=nodes):
                self._allowed = nodes
            case AnchorRoot() | HearAnchor() | LeaveAnchors() | WatchAnchor() | SeatAnchors():
                if self.notary is not None:
                    hand_on(effect, self.notary)
            case Told():
                if isinstance(effect.event, RoundEnded):
                    self._pupil.private.hear(effect.event.receipt)
                self.told.append(effect)
            case PeerMisbehaved():
                self.faults.append(effect)
            case _:
                pass
        return None

    def _mind(self, effect: Abandon | LeaveOff | FetchState | DropStates | KeepStates) -> None:
        """Stop what is not wanted any more, and have the states that somebody may go on from."""
        match effect:
            case Abandon(assignment=assignment):
                self._running.pop(assignment, None)
                self._long.stop(assignment)
            case LeaveOff(assignment=assignment):
                self._long.leave_off(assignment, self._now)
            case _:
                self._long.hold(effect, self._now)

    def _forget_granted(self, effects: tuple[Persist, ...]) -> None:
        if self.wanted and any(isinstance(effect, PersistLedger) for effect in effects):
            self.open_wishes(self.ledger)

    def _start(self, effect: Wanted) -> None:
        if effect.assignment in self._running or not self.answers:
            return
        if self.declines(effect):
            return
        if isinstance(effect, Execute) and is_long(effect):
            self._long.start(effect, self._now)
            return
        drawn_ms = 1 + self._dice.randrange(EXECUTION_MS_MAX)
        if isinstance(effect, ProveStep) and effect.start is None:
            drawn_ms = 1 + drawn_ms % LOOK_MS_MAX
        if Vice.TARDY in self.vices and isinstance(effect, TraceWanted):
            drawn_ms += self._dice.randrange(TARDY_MS_MAX)
        ends_ms = self._now + work_ms(drawn_ms, self.vices)
        self._running[effect.assignment] = _Running(effect, self._now, ends_ms)

    def settle(self, now: int) -> Sequence[Effect]:
        """Say nothing: the node applies its own commits."""
        del now
        return []
