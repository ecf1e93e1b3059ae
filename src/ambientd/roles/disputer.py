"""Disputer: a worker whose answer is disputed says, round by round, how it came to it.

What it owes follows from the ledger alone (protocols/12):  TRACING -> SAID -> in the log. A module
that cannot be paused is passed on to the referees, and so is one whose trace is not there shortly
before the round ends: a pass costs nothing, silence does. An execution gives the same trace each
time, so nothing needs to be kept: after a restart it is made, and said, again. A program that came
with another version of the rewriter executes otherwise than its node's answer says, so it passes.
"""

from dataclasses import dataclass, replace

from msgspec.structs import replace as with_fields

from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_trace
from ambientd.ledger.dispute_entries import DisputeState, Game
from ambientd.ledger.events import (
    LedgerEvent,
    PartySpoke,
    RoundBegan,
    SegmentReached,
    TaskClosed,
    WholeWanted,
)
from ambientd.ledger.state import LedgerState
from ambientd.ledger.step_rows import short_gas
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import AT_BEGINNING, KnownState, Trace, TracePoint
from ambientd.model.effect import (
    Abandon,
    Assignment,
    Propose,
    Purpose,
    RoleEffect,
    TraceWanted,
)
from ambientd.model.execution import AbortCause
from ambientd.model.record import DisputeTrace
from ambientd.rules.bisection import Stretch, targets
from ambientd.rules.executions import is_foreign

RETRY_MS = 1_000
INSIST_MS = 3_000


@dataclass(frozen=True, slots=True)
class Work:
    """One trace that this node owes; `due_ms` is when it is made or said again.

    Without a trace by `pass_ms` it passes.
    """

    place: Assignment
    unsigned: Trace
    wanted: TraceWanted
    pass_ms: int
    said: DisputeTrace | None = None
    due_ms: int | None = None


class Disputer:
    """One node's part in the disputes about its own answers."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._id = NodeId(signer.public_key)
        self._works: dict[TaskId, Work] = {}
        self._kept: dict[TaskId, KnownState] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is made or said again, or passed on."""
        works = self._works.values()
        due = [work.due_ms for work in works if work.due_ms is not None]
        due += [work.pass_ms for work in works if work.said is None]
        return min(due, default=None)

    def resume(self, state: LedgerState) -> list[RoleEffect]:
        """Take up the rounds that wait for this node's trace."""
        tasks = [*self._works, *(task for task, _ in state.open_tasks())]
        return [effect for task in dict.fromkeys(tasks) for effect in self._look(task, state)]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Follow the rounds of each game that this node plays in."""
        match event:
            case (
                RoundBegan(task=task)
                | PartySpoke(task=task)
                | SegmentReached(task=task)
                | WholeWanted(task=task)
            ):
                return self._look(task, state)
            case TaskClosed(task=task):
                self._kept.pop(task, None)
                return self._look(task, state)
            case _:
                return []

    def on_trace(
        self, place: Assignment, points: tuple[TracePoint, ...], start: KnownState, now: int
    ) -> list[RoleEffect]:
        """Sign and propose a trace, and again until the ledger has it."""
        work = self._works.get(place.task)
        if work is None or work.place != place or work.said is not None:
            return []
        self._kept[place.task] = start
        return self._say(work, points, start, now)

    def on_aborted(self, place: Assignment, cause: AbortCause, now: int) -> list[RoleEffect]:
        """Try again what this host could not do; pass when no host can."""
        work = self._works.get(place.task)
        if work is None or work.place != place or work.said is not None:
            return []
        if cause is AbortCause.NOT_PAUSABLE:
            return self._say(work, (), AT_BEGINNING, now)
        self._works[place.task] = replace(work, due_ms=now + RETRY_MS)
        return []

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Begin again what is due, and say again what the ledger does not show yet."""
        effects: list[RoleEffect] = []
        for task, work in list(self._works.items()):
            passes = work.said is None and now >= work.pass_ms
            if not passes and (work.due_ms is None or now < work.due_ms):
                continue
            effects += self._look(task, state)
            if self._works.get(task) is not work:
                continue
            if passes:
                effects += self._pass_in_time(work, state, now)
            elif work.said is None:
                self._works[task] = replace(work, due_ms=None)
                effects.append(work.wanted)
            else:
                self._works[task] = replace(work, due_ms=now + INSIST_MS)
                effects.append(Propose(work.said))
        return effects

    def _pass_in_time(self, work: Work, state: LedgerState, now: int) -> list[RoleEffect]:
        """Give a trace up that is not there in time, unless the ledger has given it more."""
        pass_ms = _pass_ms(work.place.task, state)
        if work.pass_ms and now < pass_ms:
            self._works[work.place.task] = replace(work, pass_ms=pass_ms)
            return []
        return [Abandon(work.place), *self._say(work, (), AT_BEGINNING, now)]

    def _look(self, task: TaskId, state: LedgerState) -> list[RoleEffect]:
        """Take up the trace that the ledger wants of this node, and drop what it does not."""
        game = self._game(task, state)
        place = None if game is None else Assignment(Purpose.TRACE, task, game.number, game.round)
        work = self._works.get(task)
        if work is not None and work.place == place:
            return []
        effects: list[RoleEffect] = []
        if work is not None:
            del self._works[task]
            if work.said is None:
                effects.append(Abandon(work.place))
        wanted = None
        if game is not None and place is not None:
            wanted = self._begin(place, game, state)
        return effects if wanted is None else [*effects, wanted]

    def _game(self, task: TaskId, state: LedgerState) -> Game | None:
        """Give the game whose round waits for this node; None when none does."""
        entry, row = state.task(task), state.dispute(task)
        if entry is None or row is None or row.state is not DisputeState.TRACING:
            return None
        game = row.game
        if game is None:
            return None
        own = [
            place
            for place, slot in enumerate(game.parties)
            if entry.slots[slot].worker == self._id and game.traces[place] is None
        ]
        return game if own else None

    def _begin(self, place: Assignment, game: Game, state: LedgerState) -> TraceWanted | None:
        entry = state.task(place.task)
        assert entry is not None, "a game is about a task"
        kept = self._kept.get(place.task, AT_BEGINNING)
        base = kept if kept.point.gas_index <= game.low.gas_index else AT_BEGINNING
        workers = (slot.worker for slot in entry.slots if slot.worker)
        holders = (entry.submitter, *sorted(entry.barred), *workers)
        short = short_gas(state.step(place.task), game)
        stretch = Stretch(game.low, game.until_gas, game.claims, short)
        cuts, seed_task = targets(stretch), entry.seed_task
        wanted = TraceWanted(place, entry.spec, holders, base, game.low, cuts, seed_task)
        unsigned = Trace(
            task=place.task,
            party=self._id,
            game=game.number,
            round=game.round,
            low=game.low,
            until_gas=game.until_gas,
            points=(),
            state=Digest(b""),
            state_size_bytes=0,
            signature=b"",
        )
        pass_ms = 0 if self._is_foreign(place.task, state) else _pass_ms(place.task, state)
        self._works[place.task] = Work(place, unsigned, wanted, pass_ms)
        return wanted if pass_ms else None

    def _is_foreign(self, task: TaskId, state: LedgerState) -> bool:
        entry = state.task(task)
        assert entry is not None, "a game is about a task"
        return is_foreign(
            signed.receipt.result for signed in entry.receipts if signed.receipt.worker == self._id
        )

    def _say(
        self, work: Work, points: tuple[TracePoint, ...], start: KnownState, now: int
    ) -> list[RoleEffect]:
        trace = with_fields(
            work.unsigned,
            points=points,
            state=start.state,
            state_size_bytes=start.state_size_bytes,
        )
        said = DisputeTrace(trace=sign_trace(self._signer, trace))
        place = work.place.task
        self._works[place] = replace(work, said=said, due_ms=now + INSIST_MS)
        return [Propose(said)]


def _pass_ms(task: TaskId, state: LedgerState) -> int:
    """Give when it is time to pass: what is said then is still in the log in time."""
    entry = state.task(task)
    assert entry is not None, "a game is about a task"
    return state.in_block_time(entry.deadline_ms) - state.genesis.rules.round_ms // 2
