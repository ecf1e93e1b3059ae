"""What this device hands on of long executions, and goes on from (protocols/03 §12)."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from ambientd.errors import StoreError
from ambientd.model.base import NodeId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, Execute, Purpose
from ambientd.model.mark import MARKED_STATE_BYTES_MAX, Mark
from ambientd.node.event import StateKept, StateReached
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.long_executions import Marking, Start

log = structlog.get_logger("ambientd.marking")

STARTS_S = 60.0
"""How long an execution waits for states of marks, all in all, also after some were refused."""

IN_VAIN_MAX = 256
"""Of so many aborted executions it is known which marks were of no use to them."""

Tell = Callable[[StateReached | StateKept], Awaitable[None]]


class Markings:
    """The long executions that this device is at; without a place for states it marks none."""

    def __init__(self, states: HandedStates | None = None) -> None:
        self.states = states
        self._at: dict[Assignment, Marking] = {}
        self._untold: dict[Assignment, KnownState] = {}
        self._in_vain: dict[Assignment, frozenset[Mark]] = {}

    async def begin(self, effect: Execute, tell: Tell | None) -> Marking | None:
        """Give from where a slot goes on; None where its submitter wants no state handed on."""
        spec, place, states = effect.spec, effect.assignment, self.states
        is_wanted = spec.marks_max > 0 and place.purpose is Purpose.SLOT
        if tell is None or states is None or not is_wanted:
            return None

        async def told(state: PausedState) -> None:
            seen = await self._kept(states, place, state)
            if seen is not None:
                await tell(StateReached(place, seen, marking.mark))
                self._untold.pop(place, None)

        starts = _Starts(states, effect, tell, self._in_vain.get(place, frozenset()))
        marking = Marking(spec.gas_max // (spec.marks_max + 1), told, another=starts.another)
        marking.in_vain = starts.in_vain
        marking.start = await starts.another()
        self._at[place] = marking
        return marking

    def aborted(self, place: Assignment) -> None:
        """Leave out in its next try what an execution could not go on from."""
        marking = self._at.get(place)
        if marking is None:
            return
        self._in_vain.pop(place, None)
        self._in_vain[place] = frozenset(marking.in_vain)
        if len(self._in_vain) > IN_VAIN_MAX:
            del self._in_vain[next(iter(self._in_vain))]

    async def left_off(self, place: Assignment) -> StateReached:
        """Give where an execution stood that has left off, if it is beyond its last mark."""
        marking = self._at.get(place)
        if marking is None or self.states is None:
            return StateReached(place, None, is_last=True)
        last = marking.last
        seen = None if last is None else await self._kept(self.states, place, last)
        self._untold.pop(place, None)
        return StateReached(place, seen, marking.mark, is_last=True)

    def forget(self, place: Assignment) -> StateKept | None:
        """Let go of an execution that has ended; give a state of it that nobody was told of.

        Whether others have a use for it is not known here: a mark of theirs may name it as well.
        """
        self._at.pop(place, None)
        untold = self._untold.pop(place, None)
        return None if untold is None else StateKept(untold)

    async def _kept(
        self, states: HandedStates, place: Assignment, state: PausedState
    ) -> KnownState | None:
        """Keep a state so that others can fetch it; None where that cannot be."""
        size_bytes, index = len(state.data), state.gas_index
        if index is None or size_bytes > MARKED_STATE_BYTES_MAX:
            return None
        try:
            name = await states.put(state.data)
        except StoreError as error:
            log.warning("state not kept for others", reason=str(error))
            return None
        seen = self._untold[place] = KnownState(TracePoint(index, state.root), name, size_bytes)
        return seen


class _Starts:
    """Where a slot may go on: one mark after the other, as far as their states can be had."""

    def __init__(
        self, states: HandedStates, effect: Execute, tell: Tell, left_out: frozenset[Mark]
    ) -> None:
        self._states = states
        self._marks = iter([mark for mark in effect.marks if mark not in left_out])
        self._others = (*effect.keepers, *effect.holders)
        self._tell = tell
        self._left_s = STARTS_S
        self._given: Mark | None = None
        self.in_vain = set(left_out)

    async def another(self) -> Start | None:
        """Give the next state that is its mark's, from whoever has it; the last one was refused."""
        if self._given is not None:
            self.in_vain.add(self._given)
            self._given = None
        while self._left_s > 0 and (mark := next(self._marks, None)) is not None:
            state: PausedState | None = None
            begun_s = trio.current_time()
            with trio.move_on_after(self._left_s):
                state = await self._state_of(mark)
            self._left_s -= trio.current_time() - begun_s
            if state is not None:
                self._given = mark
                return Start(mark, state)
            self.in_vain.add(mark)
        return None

    async def _state_of(self, mark: Mark) -> PausedState | None:
        holders: tuple[NodeId, ...] = tuple(dict.fromkeys((mark.worker, *self._others)))
        task, gas = mark.task.hex()[:12], mark.point.gas_index
        data = await self._states.fetch(mark.state, mark.state_size_bytes, holders)
        if data is None:
            log.warning("nobody has a marked state", task=task, gas=gas)
            return None
        known = await self._states.known(mark.state, data)
        if self._states.holds(mark.state):  # else it was dropped meanwhile, or has no room
            await self._tell(StateKept(known))
        if known.point != mark.point:
            log.warning("a marked state is not that of its mark", task=task, gas=gas)
            return None
        return PausedState(root=mark.point.root, data=data)
