"""What this device hands on of long executions, and goes on from (protocols/03 §12)."""

from collections.abc import Awaitable, Callable

import structlog

from ambientd.errors import StoreError
from ambientd.model.base import Digest
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, DropStates, Execute, Purpose
from ambientd.model.mark import MARKED_STATE_BYTES_MAX
from ambientd.node.event import StateReached
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.long_executions import Marking

log = structlog.get_logger("ambientd.marking")

Tell = Callable[[StateReached], Awaitable[None]]


class Markings:
    """The long executions that this device is at; without a place for states it marks none."""

    def __init__(self, states: HandedStates | None = None) -> None:
        self.states = states
        self._at: dict[Assignment, Marking] = {}
        self._untold: dict[Assignment, Digest] = {}

    async def begin(self, effect: Execute, tell: Tell | None) -> Marking | None:
        """Give from where a slot goes on; None where its submitter wants no state handed on."""
        spec, place, states = effect.spec, effect.assignment, self.states
        is_wanted = spec.marks_max > 0 and place.purpose is Purpose.SLOT
        if tell is None or states is None or not is_wanted:
            return None

        async def told(state: PausedState) -> None:
            seen = await self._kept(states, place, state)
            if seen is not None:
                await tell(StateReached(place, seen, marking.went_on))
                self._untold.pop(place, None)

        start = await _start_of(states, effect)
        marking = Marking(spec.gas_max // (spec.marks_max + 1), told, start)
        self._at[place] = marking
        return marking

    async def left_off(self, place: Assignment) -> StateReached:
        """Give where an execution stood that has left off, if it is beyond its last mark."""
        marking = self._at.get(place)
        if marking is None or self.states is None:
            return StateReached(place, None, is_last=True)
        last = marking.last
        seen = None if last is None else await self._kept(self.states, place, last)
        self._untold.pop(place, None)
        return StateReached(place, seen, marking.went_on, is_last=True)

    def forget(self, place: Assignment) -> None:
        """Let go of an execution that has ended, whichever way."""
        self._at.pop(place, None)
        untold = self._untold.pop(place, None)
        if untold is not None and self.states is not None:
            self.states.drop(DropStates((untold,)))

    async def _kept(
        self, states: HandedStates, place: Assignment, state: PausedState
    ) -> KnownState | None:
        """Keep a state so that others can fetch it; None where that cannot be."""
        size_bytes, index = len(state.data), state.gas_index
        if index is None or size_bytes > MARKED_STATE_BYTES_MAX:
            return None
        try:
            name = self._untold[place] = await states.put(state.data)
        except StoreError as error:
            log.warning("state not kept for others", reason=str(error))
            return None
        return KnownState(TracePoint(index, state.root), name, size_bytes)


async def _start_of(states: HandedStates, effect: Execute) -> PausedState | None:
    """Give the last mark's state from whoever has it; its root is checked as it is used."""
    if not effect.marks:
        return None
    mark = effect.marks[-1]
    task = mark.task.hex()[:12]
    holders = (mark.worker, *effect.holders)
    data = await states.fetch(mark.state, mark.state_size_bytes, holders)
    if data is None:
        log.warning("begins anew: nobody has the marked state", task=task)
        return None
    state = PausedState(root=mark.point.root, data=data)
    if state.gas_index != mark.point.gas_index:
        log.warning("begins anew: the state is not that of its mark", task=task)
        return None
    return state
