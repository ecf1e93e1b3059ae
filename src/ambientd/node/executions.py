"""Who hears of an execution, of a part of one, or of a proof that ended here."""

from typing import TypeAlias

from ambientd.model.effect import Purpose, RoleEffect
from ambientd.node.cores import Cores
from ambientd.node.event import (
    ExecutionEnded,
    ProofChecked,
    SegmentMade,
    StateKept,
    StateReached,
    StepChecked,
    StepMade,
    TraceMade,
)

Ended: TypeAlias = (
    ExecutionEnded
    | StateReached
    | StateKept
    | TraceMade
    | SegmentMade
    | ProofChecked
    | StepMade
    | StepChecked
)


def says_of_device(event: Ended) -> bool | None:
    """Tell what an end says of this device's health; None for nothing.

    What a task brings upon itself says nothing.
    """
    if not isinstance(event, ExecutionEnded):
        return None
    if event.report is not None:
        return True
    return False if event.host_failed else None


def on_execution(event: Ended, cores: Cores, now: int) -> list[RoleEffect]:
    """Tell the part that asked for it."""
    match event:
        case StateReached(assignment=place):
            said = cores.worker.on_state(place, event, cores.ledger)
            if event.reached is None:
                return said
            return [*said, *cores.keeper.on_reached(event.reached, said)]
        case StateKept(kept=kept):
            return cores.keeper.on_kept(kept, cores.ledger)
        case TraceMade(assignment=place, points=points, start=start):
            return cores.disputer.on_trace(place, points, start, now)
        case SegmentMade(assignment=place, end=end):
            return cores.referee.on_segment(place, end, cores.ledger, now)
        case ProofChecked(assignment=place, finding=finding, cycles=cycles):
            return cores.proving.on_checked(place, finding, cycles, cores.ledger, now)
        case StepMade(assignment=place, proof=proof):
            return cores.proving.on_step_made(place, proof, now)
        case StepChecked():
            return cores.referee.on_step(event.assignment, event, cores.ledger, now)
        case ExecutionEnded(assignment=place, report=report):
            if report is None:
                return _on_aborted(event, cores, now)
            if place.purpose is Purpose.REFEREE:
                return cores.referee.on_result(place.task, report.result, now)
            cores.worker.on_report(place, report, cores.telemetry.last_hash)
            return []


def _on_aborted(event: ExecutionEnded, cores: Cores, now: int) -> list[RoleEffect]:
    place = event.assignment
    match place.purpose:
        case Purpose.REFEREE | Purpose.SEGMENT:
            cores.referee.on_aborted(place.task, now, declined=event.declined)
        case Purpose.TRACE:
            return cores.disputer.on_aborted(place, event.cause, now)
        case Purpose.SLOT:
            return cores.worker.on_aborted(place, event.cause, now, declined=event.declined)
        case Purpose.STEP:
            return cores.referee.on_unverified(place, cores.ledger)
        case Purpose.PROOF:
            cores.proving.on_aborted(place, now)
        case Purpose.STEP_PROOF:
            return cores.proving.on_step_aborted(place, event.cause, cores.ledger, now)
        case Purpose.LESSON:
            pass  # its runtime hears of it
    return []
