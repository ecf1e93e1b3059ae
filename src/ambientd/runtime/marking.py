"""States that go from worker to worker: brought here, or kept for others (protocols/03 §12)."""

from collections.abc import Awaitable, Callable

import structlog
import trio

from ambientd.errors import StoreError
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, Execute, Purpose
from ambientd.model.mark import MARKED_STATE_BYTES_MAX
from ambientd.node.event import StateReached
from ambientd.ports.paused_state import PausedState
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.long_executions import Marking

log = structlog.get_logger("ambientd.marking")

FETCH_S = 10.0
"""How long a state is waited for that nobody may have any more; then all begins anew."""

Tell = Callable[[StateReached], Awaitable[None]]


class Markings:
    """What this device hands on of the long executions that it is at, and goes on from."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._at: dict[Assignment, Marking] = {}

    async def begin(self, effect: Execute, tell: Tell | None) -> Marking | None:
        """Give from where a slot goes on; None where its submitter wants no state handed on."""
        spec, place = effect.spec, effect.assignment
        if tell is None or not spec.marks_max or place.purpose is not Purpose.SLOT:
            return None

        async def told(state: PausedState) -> None:
            seen = await self._kept(state)
            if seen is not None:
                await tell(StateReached(place, seen, marking.went_on))

        start = await self._start_of(effect)
        marking = Marking(spec.gas_max // (spec.marks_max + 1), told, start)
        self._at[place] = marking
        return marking

    async def left_off(self, place: Assignment) -> StateReached:
        """Give where an execution stood that has left off, if it is beyond its last mark."""
        marking = self._at.get(place)
        if marking is None:
            return StateReached(place, None, is_last=True)
        seen = None if marking.last is None else await self._kept(marking.last)
        return StateReached(place, seen, marking.went_on, is_last=True)

    def forget(self, place: Assignment) -> None:
        """Let go of an execution that has ended, whichever way."""
        self._at.pop(place, None)

    async def _start_of(self, effect: Execute) -> PausedState | None:
        """Give the last mark's state from whoever has it; its root is checked as it is used."""
        if not effect.marks:
            return None
        mark, data = effect.marks[-1], None
        task = mark.task.hex()[:12]
        holders = (mark.worker, *effect.holders)
        with trio.move_on_after(FETCH_S):
            size_bytes = mark.state_size_bytes
            data = await self._blobs.fetch(mark.state, size_bytes, holders, is_synced=False)
        if data is None:
            log.warning("begins anew: nobody has the marked state", task=task)
            return None
        state = PausedState(root=mark.point.root, data=data)
        if state.gas_index != mark.point.gas_index:
            log.warning("begins anew: the state is not that of its mark", task=task)
            return None
        return state

    async def _kept(self, state: PausedState) -> KnownState | None:
        """Keep a state as a blob that others can fetch; None where that cannot be."""
        size_bytes, index = len(state.data), state.gas_index
        if index is None or size_bytes > MARKED_STATE_BYTES_MAX:
            return None
        try:
            name = await self._blobs.put(state.data)
        except StoreError as error:
            log.warning("state not kept for others", reason=str(error))
            return None
        return KnownState(TracePoint(index, state.root), name, size_bytes)
