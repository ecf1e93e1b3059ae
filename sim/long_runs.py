"""Long executions of the fast world: where they stand, the states that lie on shelves, who lies.

Nothing is executed: where an execution stands follows from its task and its gas. A state that a
liar made up is true to itself from there on, so whoever goes on from it comes to a false end.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ambientd.codec.digest import tagged
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import (
    Assignment,
    DropStates,
    Execute,
    ExecutionReport,
    FetchState,
    KeepStates,
    Purpose,
)
from ambientd.model.mark import Mark
from ambientd.model.task import Result
from ambientd.node.event import Event, ExecutionEnded, StateKept, StateReached
from ambientd.runtime.long_executions import LOOKS_A_MARK
from sim.stood import Stood
from sim.vices import Resident, Vice, answer_of, gas_of, output_of

STATE_BYTES = 1_000
FETCH_MS_MAX = 200
WHOLE_MS = (1_500, 5_000)
"""How long the whole of a long execution takes a device."""


def is_long(effect: object) -> bool:
    """Tell whether an effect asks for an execution of which states may be marked."""
    return (
        isinstance(effect, Execute)
        and effect.spec.marks_max > 0
        and effect.assignment.purpose is Purpose.SLOT
    )


@dataclass(slots=True)
class LongRun:
    """One execution on its way: first its start is fetched, then it goes on evenly."""

    effect: Execute
    begins_ms: int
    whole_ms: int
    gas_end: int
    has_begun: bool = False
    base_gas: int = 0
    astray: bytes = b""
    start: Mark | None = None
    told_gas: int = 0
    leaves: bool = False

    @property
    def every_gas(self) -> int:
        """Give the gas from one mark to the next."""
        return self.effect.spec.gas_max // (self.effect.spec.marks_max + 1)

    @property
    def next_gas(self) -> int:
        """Give where it is marked next."""
        return self.told_gas + self.every_gas

    def at_ms(self, gas: int) -> int:
        """Give when it comes to so much gas."""
        return self.begins_ms + -(-(gas - self.base_gas) * self.whole_ms // self.gas_end)

    @property
    def due_ms(self) -> int:
        """Give when something happens to it next."""
        if not self.has_begun:
            return self.begins_ms
        return self.at_ms(min(self.next_gas, self.gas_end))

    def last_look(self, now: int) -> int:
        """Give the last gas index at which its state was taken out; 0 for none since its mark."""
        done = self.base_gas + (now - self.begins_ms) * self.gas_end // self.whole_ms
        look = max(1, self.every_gas // LOOKS_A_MARK)
        index = self.told_gas + (min(done, self.gas_end - 1) - self.told_gas) // look * look
        return index if index > self.told_gas else 0


@dataclass(slots=True)
class LongRuns:
    """The long executions of one node between a start and the next crash."""

    host: Resident
    dice: random.Random
    aborts_permille: int
    running: dict[Assignment, LongRun] = field(default_factory=dict)
    wanted: dict[Digest, FetchState] = field(default_factory=dict)
    left: list[Assignment] = field(default_factory=list)
    is_asking: bool = False  # for what it was told to fetch just now
    now: int = 0

    @property
    def next_deadline(self) -> int | None:
        """Give when something happens here next."""
        due = [run.due_ms for run in self.running.values()]
        if self.is_asking or self.left or any(run.leaves for run in self.running.values()):
            due.append(self.now)
        return min(due, default=None)

    def start(self, effect: Execute, now: int) -> None:
        """Begin an execution, if it is not under way."""
        self.now = now
        if effect.assignment in self.running:
            return
        wait_ms = 1 + self.dice.randrange(FETCH_MS_MAX) if effect.marks else 0
        gas_max, spec = effect.spec.gas_max, effect.spec
        gas_end = gas_of(output_of(spec.module, spec.input), gas_max)
        run = LongRun(effect, now + wait_ms, self.dice.randrange(*WHOLE_MS), gas_end)
        self.running[effect.assignment] = run

    def stop(self, place: Assignment) -> None:
        """Stop an execution, if there is one."""
        self.running.pop(place, None)

    def leave_off(self, place: Assignment, now: int) -> None:
        """Let an execution leave off with its last state."""
        self.now = now
        run = self.running.get(place)
        if run is None:
            self.left.append(place)
        else:
            run.leaves = True

    def hold(self, effect: FetchState | DropStates | KeepStates, now: int) -> None:
        """Have those states on the shelf that the node says, and no more."""
        self.now = now
        shelf = self.host.handed
        match effect:
            case FetchState(digest=name):
                self.wanted[name], self.is_asking = effect, True
            case DropStates(digests=names):
                for name in names:
                    shelf.pop(name, None)
                    self.wanted.pop(name, None)
            case KeepStates(digests=held):
                for name in [name for name in shelf if name not in held]:
                    del shelf[name]
                self.wanted = {name: each for name, each in self.wanted.items() if name in held}

    def due(self, now: int, near: Collection[NodeId]) -> list[Event]:
        """Let time pass; give what has come of it."""
        self.now, self.is_asking = now, False
        events: list[Event] = [StateKept(kept) for kept in self._bring(near)]
        events += [StateReached(place, None, is_last=True) for place in self.left]
        self.left.clear()
        for place, run in list(self.running.items()):
            if run.leaves:
                del self.running[place]
                events.append(self._left_off(place, run))
            while place in self.running and run.due_ms <= now:
                events += self._go_on(place, run, near)
        return events

    def _bring(self, near: Collection[NodeId]) -> list[KnownState]:
        kept = []
        for name, effect in list(self.wanted.items()):
            found = self._look_up(name, (*effect.holders, *sorted(near)), near)
            if found is not None:
                self.host.handed[name] = found
                del self.wanted[name]
                kept.append(_known(name, found))
        return kept

    def _look_up(
        self, name: Digest, asked: Sequence[NodeId], near: Collection[NodeId]
    ) -> Stood | None:
        """Give a state from the own shelf, or from that of somebody who can be reached."""
        if name in self.host.handed:
            return self.host.handed[name]
        others: Mapping[bytes, Resident] = self.host.others
        for peer in dict.fromkeys(asked):
            there = others.get(peer)
            if peer in near and there is not None and there.node is not None:
                found = there.handed.get(name)
                if found is not None:
                    return found
        return None

    def _go_on(self, place: Assignment, run: LongRun, near: Collection[NodeId]) -> list[Event]:
        if not run.has_begun:
            return self._begin(run, near)
        gas = run.next_gas
        if gas < run.gas_end:
            run.told_gas = gas
            return [StateReached(place, self._kept(run, gas), run.start)]
        del self.running[place]
        if run.told_gas and Vice.MISMARK in self.host.vices and self.dice.randrange(2):
            return []  # so that somebody goes on from what it has marked
        return [self._ended(run, near)]

    def _begin(self, run: LongRun, near: Collection[NodeId]) -> list[Event]:
        """Go on from the first mark whose state is here or comes, and is what the mark says."""
        run.has_begun = True
        others = (*run.effect.keepers, *run.effect.holders, *sorted(near))
        events: list[Event] = []
        for mark in run.effect.marks:
            found = self._look_up(mark.state, (mark.worker, *others), near)
            if found is None:
                continue
            self.host.handed[mark.state] = found
            kept = _known(mark.state, found)
            events.append(StateKept(kept))
            if kept.point == mark.point and found.gas_index < run.gas_end:
                run.base_gas = run.told_gas = found.gas_index
                run.astray, run.start = found.astray, mark
                break
        return events

    def _kept(self, run: LongRun, gas: int) -> KnownState:
        """Put a state on the shelf; a liar makes one up, hides it, or puts another one there."""
        task = run.effect.assignment.task
        stood = Stood(task, gas, run.astray)
        if Vice.MISMARK not in self.host.vices:
            self.host.handed[stood.name] = stood
            return KnownState(TracePoint(gas, stood.root), stood.name, STATE_BYTES)
        made_up = Stood(task, gas, tagged("sim/astray/1", self.host.key, stood.root))
        match self.dice.randrange(4):
            case 0 | 1:
                self.host.handed[made_up.name] = made_up
                return KnownState(TracePoint(gas, made_up.root), made_up.name, STATE_BYTES)
            case 2:
                return KnownState(TracePoint(gas, stood.root), stood.name, STATE_BYTES)
            case _:
                self.host.handed[made_up.name] = made_up
                return KnownState(TracePoint(gas, stood.root), made_up.name, STATE_BYTES)

    def _left_off(self, place: Assignment, run: LongRun) -> StateReached:
        gas = run.last_look(self.now) if run.has_begun else 0
        seen = self._kept(run, gas) if gas else None
        return StateReached(place, seen, run.start, is_last=True)

    def _ended(self, run: LongRun, near: Collection[NodeId]) -> ExecutionEnded:
        effect = run.effect
        place, spec = effect.assignment, effect.spec
        if not set(near) & set(effect.holders):
            return ExecutionEnded(place, spec, None, "nobody who has the module is up")
        if self.dice.randrange(1000) < self.aborts_permille:
            return ExecutionEnded(place, spec, None, "the wall-clock limit was reached")
        report = ExecutionReport(
            result=self._result(run),
            engine="sim",
            engine_version="1",
            started_ms=run.begins_ms,
            finished_ms=self.now,
            energy_mj=None,
            energy_source="none",
            start=run.start,
        )
        return ExecutionEnded(place, spec, report)

    def _result(self, run: LongRun) -> Result:
        """Give what the execution came to, from wherever it went on."""
        spec = run.effect.spec
        if not run.astray:
            return self.host.answer(spec)
        return answer_of(spec, tagged("sim/astray-output/1", run.astray), run.gas_end)


def _known(name: Digest, found: Stood) -> KnownState:
    return KnownState(TracePoint(found.gas_index, found.root), name, STATE_BYTES)
