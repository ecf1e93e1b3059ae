"""What a stretch of a disputed execution begins with: module, input, and the state to go on from.

All of it comes from others, and the state is anyone's: its place is held against what is agreed.
"""

from ambientd.model.bundle import Bundle
from ambientd.model.dispute import AT_BEGINNING
from ambientd.model.effect import ProveStep, SegmentWanted, TraceWanted
from ambientd.model.execution import AbortCause, Aborted
from ambientd.ports.paused_state import PausedState
from ambientd.rules.executions import limits_of, seed_of
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.pausing_workers import PausableCall, PausingStoppedError


def stopped(reason: str, cause: AbortCause = AbortCause.OTHER) -> PausingStoppedError:
    """Give the error of this host not going on."""
    return PausingStoppedError(Aborted(reason=reason, cause=cause))


class Stretches:
    """Brings what executions in parts need; raises PausingStoppedError where it cannot be had."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    async def call(self, effect: TraceWanted | SegmentWanted | ProveStep) -> PausableCall:
        """Give what is executed, and on what."""
        spec, holders = effect.spec, effect.holders
        if isinstance(spec.input_size_bytes, Bundle):
            reason = "a bundle is executed whole, item by item, and never in parts"
            raise stopped(reason, AbortCause.NOT_PAUSABLE)
        module = await self._blobs.fetch(spec.module, spec.module_size_bytes, holders)
        data = await self._blobs.fetch(spec.input, spec.input_size_bytes, holders)
        if module is None or data is None:
            reason = "module or input could not be fetched from any holder"
            raise stopped(reason, AbortCause.NOT_FETCHED)
        return PausableCall(
            module, data, limits_of(spec), seed_of(effect.seed_task or effect.assignment.task)
        )

    async def start(self, effect: SegmentWanted | ProveStep) -> PausedState | None:
        """Give the state that a stretch begins at, as somebody shows it; None at the beginning."""
        start = effect.start
        if start is None or start.point == AT_BEGINNING.point:
            return None
        data = await self._blobs.fetch(start.state, start.state_size_bytes, effect.holders)
        if data is None:
            reason = "the state could not be fetched from any holder"
            raise stopped(reason, AbortCause.NOT_FETCHED)
        state = PausedState(root=start.point.root, data=data)
        if state.gas_index != start.point.gas_index:
            # Its parties agree on a false place: the stretch would be as long as they like.
            raise stopped("the state is not that of its gas index", AbortCause.NOT_FETCHED)
        return state
