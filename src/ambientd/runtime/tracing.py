"""Executions in parts, for disputes: states at chosen gas indices, and one disputed stretch.

A party's trace begins from a state that it kept in the round before; the state at the stretch's
beginning is kept as a blob, which the referees fetch. A referee checks its root before anything
runs (protocols/08, 12). Whatever this host could not do is an abort.
"""

import structlog

from ambientd.codec.statements import end_point
from ambientd.errors import AmbientError
from ambientd.model.dispute import AT_BEGINNING, KnownState, TracePoint
from ambientd.model.effect import SegmentWanted, TraceWanted
from ambientd.model.execution import AbortCause, Aborted, ExecutionResult
from ambientd.node.event import ExecutionEnded, SegmentMade, TraceMade
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import StateRefused
from ambientd.rules.executions import result_of
from ambientd.runtime.blobs import BLOB_BYTES_MAX, Blobs
from ambientd.runtime.lies import ExecutorLies, StrayRun
from ambientd.runtime.pausing_workers import (
    PausableCall,
    PausingRun,
    PausingStoppedError,
    PausingWorkers,
)
from ambientd.runtime.stretches import Stretches, stopped
from ambientd.wasm.prepare import Refused

log = structlog.get_logger("ambientd.tracing")


class Tracer:
    """Turns TraceWanted and SegmentWanted into what came of them."""

    def __init__(self, pausing: PausingWorkers, blobs: Blobs, lies: ExecutorLies) -> None:
        self._pausing = pausing
        self._blobs = blobs
        self._stretches = Stretches(blobs)
        self._lies = lies

    async def carry_out(
        self, effect: TraceWanted | SegmentWanted
    ) -> TraceMade | SegmentMade | ExecutionEnded:
        """Give the points or the end of the stretch, or the abort."""
        try:
            call = await self._stretches.call(effect)
            async with self._pausing.begin(call) as run:
                if isinstance(run, Refused):
                    raise stopped(run.reason, AbortCause.NOT_PAUSABLE)
                if isinstance(effect, TraceWanted):
                    return await self._trace(effect, run)
                return await self._segment(effect, run)
        except PausingStoppedError as error:
            reason, cause, host_failed = str(error), error.aborted.cause, False
        except (AmbientError, ValueError) as error:
            reason, cause, host_failed = str(error), AbortCause.OTHER, True
        task = effect.assignment.task.hex()[:12]
        log.warning("execution in parts aborted", task=task, reason=reason)
        place, spec = effect.assignment, effect.spec
        return ExecutionEnded(place, spec, None, reason, host_failed, cause=cause)

    async def with_wrong_step(
        self, outcome: ExecutionResult, call: PausableCall
    ) -> ExecutionResult | Aborted:
        """Give what an execution comes to with its wrong step; the outcome where it has none."""
        stray_gas = self._lies.wrong_step_gas
        if stray_gas is None:
            return outcome
        try:
            async with self._pausing.begin(call) as run:
                if isinstance(run, Refused):
                    return outcome
                found = await StrayRun(run, stray_gas).pause(call.limits.gas_max + 1, None)
                return found if isinstance(found, ExecutionResult) else outcome
        except PausingStoppedError as error:
            return error.aborted

    async def _trace(self, effect: TraceWanted, run: PausingRun) -> TraceMade:
        stray_gas = self._lies.wrong_step_gas
        way = run if stray_gas is None else StrayRun(run, stray_gas)
        start = await self._reached(effect, way)
        points = await self._points(effect.targets, way, start, run.prepared)
        kept = AT_BEGINNING if start is None else await self._kept(effect.low, start)
        return TraceMade(effect.assignment, points, kept)

    async def _points(
        self,
        targets: tuple[int, ...],
        way: PausingRun | StrayRun,
        start: PausedState | None,
        prepared: bytes,
    ) -> tuple[TracePoint, ...]:
        """Give where the execution is at each target; of a short stretch only its start matters."""
        if not targets:
            return ()
        found = await way.trace(targets, start)
        if isinstance(found, StateRefused):
            raise stopped(f"the state kept here is no longer that: {found.reason}")
        if found.result is None:
            return found.points
        end = self._end(found.result, prepared)
        return (*found.points, *[end] * (len(targets) - len(found.points)))

    async def _reached(self, effect: TraceWanted, way: PausingRun | StrayRun) -> PausedState | None:
        """Give the state at `low`, from the one kept before; None where the execution begins."""
        if effect.low == AT_BEGINNING.point:
            return None
        base = await self._base(effect.base)
        if base is not None and effect.base.point == effect.low:
            return base
        found = await way.pause(effect.low.gas_index, base)
        if isinstance(found, StateRefused) and base is not None:
            found = await way.pause(effect.low.gas_index, None)
        if not isinstance(found, PausedState) or found.root != effect.low.root:
            reason = f"the state at gas index {effect.low.gas_index} is not what it was"
            raise stopped(reason)
        return found

    async def _base(self, known: KnownState) -> PausedState | None:
        if known == AT_BEGINNING:
            return None
        data = await self._blobs.get(known.state)
        return None if data is None else PausedState(root=known.point.root, data=data)

    async def _kept(self, point: TracePoint, state: PausedState) -> KnownState:
        size_bytes = len(state.data)
        if size_bytes > BLOB_BYTES_MAX:
            reason = f"a state of {size_bytes} bytes is too large to be handed over"
            raise stopped(reason, AbortCause.NOT_PAUSABLE)
        name = await self._blobs.put(state.data)
        return KnownState(point=point, state=name, state_size_bytes=size_bytes)

    async def _segment(self, effect: SegmentWanted, run: PausingRun) -> SegmentMade:
        start = await self._stretches.start(effect)
        found = await run.trace((effect.until_gas,), start)
        if isinstance(found, StateRefused):
            reason = f"the state is not that of its root: {found.reason}"
            raise stopped(reason, AbortCause.NOT_FETCHED)
        if found.result is None:
            return SegmentMade(effect.assignment, found.points[0])
        return SegmentMade(effect.assignment, self._end(found.result, run.prepared))

    def _end(self, outcome: ExecutionResult, prepared: bytes) -> TracePoint:
        return end_point(result_of(self._lies.told(outcome), prepared))
