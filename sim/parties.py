"""How simulated nodes play disputes: what an honest one, or a liar, makes of an execution."""

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.statements import end_point, result_root, sign_trace
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.dispute import Trace
from ambientd.model.effect import RoleEffect, SegmentWanted, TraceWanted
from ambientd.model.execution import AbortCause
from ambientd.model.record import DisputeTrace
from ambientd.model.task import TaskSpec
from ambientd.node.event import BodiesProposed, Event, ExecutionEnded, SegmentMade, TraceMade
from ambientd.roles.disputer import Disputer
from sim.traces import Run, TraceVice, follows, lie, told
from sim.vices import Resident, Vice, honest_answer

TARDY_MS_MAX = 9_000
ECHO_MS = 200


class SilentParty(Disputer):
    """Owes its traces, and neither says one nor passes."""

    @property
    def next_deadline(self) -> int | None:
        """Wait for nothing."""
        return None

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Let the time pass."""
        del state, now
        return []


def true_run(spec: TaskSpec) -> Run:
    """Give the execution that every honest engine has for a task."""
    result = honest_answer(spec)
    return Run(tagged("sim/run/1", spec.module, spec.input), result, result.gas)


def own_run(host: Resident, spec: TaskSpec) -> tuple[Run, TraceVice | None]:
    """Give the execution that a node tells of, and how it tells of it."""
    true, said = true_run(spec), host.answer(spec)
    own = b"colluders" if Vice.COLLUDE in host.vices else host.key
    if Vice.STRAY in host.vices:
        return lie(TraceVice.WRONG_TRACE, true, said, own), None
    if result_root(said) == result_root(true.result):
        return true, None
    names = {vice.name for vice in host.vices} & set(TraceVice.__members__)
    vice = TraceVice[min(names, default=TraceVice.WRONG_STEP.name)]
    return lie(vice, true, said, own), vice


def waits_to_echo(host: Resident, effect: TraceWanted) -> bool:
    """Tell whether a node that repeats the other party has nothing to repeat yet."""
    row = host.ledger.dispute(effect.assignment.task)
    is_over = row is None or row.game is None or row.game.round != effect.assignment.attempt
    return Vice.ECHO in host.vices and not is_over and _others_trace(host, effect) is None


def traced(host: Resident, effect: TraceWanted) -> list[Event]:
    """Give what comes of a trace that a node was asked for."""
    place, spec = effect.assignment, effect.spec
    if Vice.UNPAUSABLE in host.vices:
        cause = AbortCause.NOT_PAUSABLE
        return [ExecutionEnded(place, spec, None, "it says that it cannot pause", cause=cause)]
    run, vice = own_run(host, spec)
    salt = bytes([place.slot, place.attempt])
    other = _others_answer(host, effect, run)
    points, start = told(run, vice, effect.low, effect.targets, end_point(other.result), salt)
    echoed = _others_trace(host, effect) if Vice.ECHO in host.vices else None
    if echoed is not None:
        points = echoed.points
    made: list[Event] = [TraceMade(place, points, start)]
    if Vice.TWICE in host.vices:
        made.append(BodiesProposed((_second(host, effect, TraceMade(place, points, start)),)))
    return made


def followed(host: Resident, effect: SegmentWanted) -> SegmentMade | ExecutionEnded:
    """Give where a node says that a disputed stretch leads."""
    place, spec = effect.assignment, effect.spec
    run, vice = own_run(host, spec)
    if vice is not None:
        return SegmentMade(place, run.at(effect.until_gas))
    end = follows(true_run(spec), effect.start, effect.until_gas)
    if end is None:
        return ExecutionEnded(place, spec, None, "the state is not that of its root")
    return SegmentMade(place, end)


def _second(host: Resident, effect: TraceWanted, made: TraceMade) -> DisputeTrace:
    """Sign another trace of the same round."""
    row = host.ledger.dispute(effect.assignment.task)
    until_gas = 0 if row is None or row.game is None else row.game.until_gas
    bent = tuple(replace(p, root=tagged("sim/twice/1", p.root)) for p in made.points)
    unsigned = Trace(
        task=effect.assignment.task,
        party=NodeId(host.key),
        game=effect.assignment.slot,
        round=effect.assignment.attempt,
        low=effect.low,
        until_gas=until_gas,
        points=bent,
        state=made.start.state,
        state_size_bytes=made.start.state_size_bytes,
        signature=b"",
    )
    return DisputeTrace(trace=sign_trace(host.signer, unsigned))


def _others_trace(host: Resident, effect: TraceWanted) -> Trace | None:
    row = host.ledger.dispute(effect.assignment.task)
    if row is None or row.game is None:
        return None
    said = [trace for trace in row.game.traces if trace is not None and trace.party != host.key]
    return said[0] if said else None


def _others_answer(host: Resident, effect: TraceWanted, own: Run) -> Run:
    """Give the other party's answer; one's own when the game is over."""
    task = effect.assignment.task
    entry, row = host.ledger.task(task), host.ledger.dispute(task)
    if entry is None or row is None or row.game is None:
        return own
    receipts = [entry.slots[slot].receipt for slot in row.game.parties]
    said = [r.receipt.result for r in receipts if r is not None and r.receipt.worker != host.key]
    return own if not said else Run(own.seed, said[0], said[0].gas)
