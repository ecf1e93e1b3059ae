"""Disputes played by hand: a task with answers that differ, parties with their runs, referees."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ambientd.codec.statements import end_point, sign_segment, sign_trace
from ambientd.ledger.dispute_entries import DisputeEntry, DisputeState, Game
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import LedgerEvent, RoundBegan
from ambientd.ledger.step_rows import short_gas
from ambientd.model.base import NodeId, TaskId
from ambientd.model.dispute import KnownState, Trace, TracePoint
from ambientd.model.genesis import Rules
from ambientd.model.record import Body, DisputeSegment, DisputeTrace
from ambientd.model.task import Result, TaskState
from ambientd.rules.bisection import Stretch, targets
from sim.traces import Run, TraceVice, follows, lie, told
from tests.ledger.cluster import TestCluster, result

GAS = 1_000_000_000
GAS_MAX = 10_000_000_000
RULES = Rules(round_ms=1_000, dispute_ms=2_000)

Silence = str
Word = TraceVice | Silence | None
"""How a slot's worker plays: honestly (None), as a liar, or "silent", "pass", "twice"."""


@dataclass
class Match:
    """A disputed task whose slots play as `words` says; slot by slot."""

    words: tuple[Word, ...]
    liar_gas: int = GAS
    lies_alike: bool = False
    gas: int = GAS
    rules: Rules = RULES
    members: int = 7
    mute: frozenset[int] = frozenset()
    bent: Callable[[Trace], Trace] = lambda trace: trace
    cluster_type: type[TestCluster] = TestCluster
    price: int = 1
    cluster: TestCluster = field(init=False)
    task: TaskId = field(init=False)
    events: list[LedgerEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cluster = self.cluster_type(max(self.members, len(self.words) + 1), self.rules)
        count = len(self.words)
        self.task = self.cluster.admit(
            replicas=count, gas_max=GAS_MAX, price_msat_per_mgas=self.price
        )
        self.true = Run(b"task", result(gas=self.gas), self.gas)
        self.runs = [self._run(slot, word) for slot, word in enumerate(self.words)]
        answers = {slot: run.result for slot, run in enumerate(self.runs)}
        self.events += self.cluster.work(self.task, answers)

    def _run(self, slot: int, word: Word) -> Run:
        if word is None:
            return self.true
        own = b"lie" if self.lies_alike else b"lie %d" % slot
        vice = word if isinstance(word, TraceVice) else TraceVice.WRONG_STEP
        return lie(vice, self.true, result(own, gas=self.liar_gas), own)

    # What is there now

    @property
    def entry(self) -> TaskEntry:
        return self.cluster.task(self.task)

    @property
    def row(self) -> DisputeEntry | None:
        return self.cluster.state.dispute(self.task)

    @property
    def game(self) -> Game:
        row = self.row
        assert row is not None
        assert row.game is not None
        return row.game

    def worker(self, slot: int) -> NodeId:
        return self.entry.slots[slot].worker

    def number(self, node: NodeId) -> int:
        return next(n for n in range(len(self.cluster.signers)) if self.cluster.node(n) == node)

    def is_convicted(self, slot: int) -> bool:
        node = self.cluster.state.node(self.worker(slot))
        assert node is not None
        return node.tombstoned

    # What parties and referees say

    def trace(self, slot: int, word: Word = None, salt: bytes = b"") -> Trace:
        game, run = self.game, self.runs[slot]
        short = short_gas(self.cluster.state.step(self.task), game)
        stretch = Stretch(game.low, game.until_gas, game.claims, short)
        other = self.runs[game.parties[1 - game.parties.index(slot)]]
        vice = word if isinstance(word, TraceVice) else None
        salt += bytes([game.number, game.round])
        points, start = told(run, vice, game.low, targets(stretch), end_point(other.result), salt)
        if word is TraceVice.ECHO:
            before = game.traces[1 - game.parties.index(slot)]
            points, start = (points, start) if before is None else (before.points, start)
        if word == "pass":
            points, start = (), KnownState(point=game.low)
        unsigned = Trace(
            task=self.task,
            party=self.worker(slot),
            game=game.number,
            round=game.round,
            low=game.low,
            until_gas=game.until_gas,
            points=points,
            state=start.state,
            state_size_bytes=start.state_size_bytes,
            signature=b"",
        )
        return sign_trace(self.cluster.signers[self.worker(slot)], self.bent(unsigned))

    def tell(self, slot: int, trace: Trace) -> tuple[int, Body]:
        return self.number(self.worker(slot)), DisputeTrace(trace=trace)

    def segment(self, referee: int, end: TracePoint) -> tuple[int, Body]:
        game = self.game
        signer = self.cluster.signer(referee)
        verdict = sign_segment(signer, self.task, game.number, game.low, game.until_gas, end)
        return referee, DisputeSegment(verdict=verdict)

    def found(self) -> TracePoint | None:
        """Give where honest referees come from a state that one of the parties shows."""
        game = self.game
        shown = [KnownState(point=game.low)]
        shown += [
            KnownState(point=game.low, state=t.state, state_size_bytes=t.state_size_bytes)
            for t in game.traces
            if t is not None
        ]
        ends = [follows(self.true, each, game.until_gas) for each in shown]
        return next((end for end in ends if end is not None), None)

    # How it goes on

    def step(self) -> list[LedgerEvent]:
        """Let whoever has something to say say it, or time pass when nobody has."""
        row = self.row
        if row is None or row.state is DisputeState.WHOLE:
            return self._verdicts()
        if row.state is DisputeState.SEGMENT:
            return self._segments()
        return self._traces()

    def _traces(self) -> list[LedgerEvent]:
        events: list[LedgerEvent] = []
        game = self.game
        echoes = [s for s in game.parties if self.words[s] is TraceVice.ECHO]
        for slot in [s for s in game.parties if s not in echoes] + echoes:
            word = self.words[slot]
            row = self.row
            if word == "silent" or row is None or row.state is not DisputeState.TRACING:
                continue
            records = [self.tell(slot, self.trace(slot, word))]
            if word == "twice":
                other = self.trace(slot, TraceVice.WRONG_EVERYWHERE)
                records.append(self.tell(slot, other))
            events += self.cluster.block(*records)
        row = self.row
        waits = row is not None and row.state is DisputeState.TRACING
        if waits and (self.game.number, self.game.round) == (game.number, game.round):
            events += self.late()
        return events

    def late(self) -> list[LedgerEvent]:
        """Let the present step's time pass."""
        wait_ms = self.entry.deadline_ms - self.cluster.time_ms
        return self.cluster.block(after_ms=wait_ms)

    def _segments(self) -> list[LedgerEvent]:
        end = self.found()
        if end is None:
            return self.late()
        events: list[LedgerEvent] = []
        game = self.game
        for referee in range(len(self.cluster.signers)):
            row = self.row
            still = row is not None and row.game is not None and row.game.number == game.number
            node = self.cluster.state.node(self.cluster.node(referee))
            if still and referee not in self.mute and node is not None and not node.tombstoned:
                events += self.cluster.block(self.segment(referee, end))
        return events or self.late()

    def _verdicts(self) -> list[LedgerEvent]:
        events: list[LedgerEvent] = []
        for referee in range(len(self.cluster.signers)):
            if self.entry.state is TaskState.DISPUTED and referee not in self.mute:
                records = self.cluster.finding(self.task, referee, self.true.result)
                events += self.cluster.block(records)
        return events

    def play(self) -> TaskEntry:
        """Play to the end."""
        for _ in range(100):
            if self.entry.state is not TaskState.DISPUTED:
                return self.entry
            self.events += self.step()
        message = "the dispute does not end"
        raise AssertionError(message)

    @property
    def rounds_begun(self) -> int:
        return sum(isinstance(event, RoundBegan) for event in self.events)


def lied(number: int = 0, gas: int = GAS) -> Result:
    return result(b"lie %d" % number, gas=gas)
