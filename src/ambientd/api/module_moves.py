"""Execute part of a module here and the rest elsewhere; hold states of engines to one another."""

import time
from dataclasses import dataclass

import msgspec

from ambientd.api.module_advice import advice_on_ending
from ambientd.api.module_pausing import PausingProcess, damaged
from ambientd.api.module_runs import ABORTED, Answer, ModuleCall, Runs, answer, ended
from ambientd.codec.digest import sha256
from ambientd.errors import UsageError
from ambientd.model.execution import Aborted, ExecutionResult, OutcomeKind
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import (
    ExecutionTraced,
    ModulePrepared,
    StateRefused,
)
from ambientd.wasm.state import StateHeader

PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Pause:
    """An execution that stands at a gas index, and which process brought it there."""

    state: PausedState
    engine: str
    engine_version: str
    pausable_sha256: str
    gas: int
    wall_ms: float


def execute_part(
    call: ModuleCall,
    engine: str,
    pause_at: int | None,
    resumed: PausedState | None,
    resumed_name: str = "",
) -> Pause | Runs:
    """Execute from the start or a state, to a gas index or the end; raise UsageError."""
    if resumed is not None:
        check_fit(resumed.header, call, pause_at, resumed_name)
    with PausingProcess(engine, sandbox_required=call.sandbox_required) as process:
        reply = process.prepare_pausable(call.module)
        if not isinstance(reply, ModulePrepared):
            return _runs(answer(process.hello, None, ended(reply), 0.0), ended(reply))
        digest = sha256(reply.module)
        if resumed is not None and resumed.header.module != digest:
            msg = (
                f"{resumed_name}: is the state of another module, or was written by another "
                "version; name the module that was paused, or pause it again"
            )
            raise UsageError(msg)
        start_s = time.perf_counter()
        stop = process.execute_until(
            digest, call.data, call.limits, call.seed, pause_at=pause_at, state=resumed
        )
        wall_ms = (time.perf_counter() - start_s) * 1000
    if isinstance(stop, StateRefused):
        raise damaged(resumed_name, stop.reason)
    hello = process.hello
    if isinstance(stop, PausedState):
        header = stop.header
        return Pause(
            state=stop,
            engine=hello.engine,
            engine_version=hello.engine_version,
            pausable_sha256=digest.hex(),
            gas=header.limits.gas_max - header.gas_left,
            wall_ms=round(wall_ms, 3),
        )
    return _runs(answer(hello, digest, stop, wall_ms), stop)


def check_fit(header: StateHeader, call: ModuleCall, pause_at: int | None, name: str) -> None:
    """Refuse to take a state up under anything but what it was paused under."""
    problem = ""
    gas_index = header.limits.gas_max - header.gas_left
    if header.input != sha256(call.data):
        problem = "was paused with another input; give the same --input"
    elif header.seed != call.seed:
        problem = "was paused with another seed; leave --seed out"
    elif header.limits != call.limits:
        problem = "was paused under other limits, which it keeps; leave the options for limits out"
    elif pause_at is not None and pause_at <= gas_index:
        problem = f"stands at gas index {gas_index} already; pause behind it"
    if problem:
        msg = f"{name}: {problem}"
        raise UsageError(msg)


def _runs(single: Answer, result: ExecutionResult | Aborted) -> Runs:
    done = result if isinstance(result, ExecutionResult) else None
    return Runs(
        answers=(single,),
        output=done.output if done and done.kind is OutcomeKind.COMPLETED else None,
        log=done.log if done else b"",
        fixes=advice_on_ending(result),
    )


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The root of the state at a gas index."""

    gas: int
    root: str


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine gave: the outcome, and the states on the way to it."""

    answer: Answer
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Traces:
    """What all engines gave, each difference from the first in words."""

    traces: tuple[Trace, ...]
    differences: tuple[str, ...]

    @property
    def agreed(self) -> bool | None:
        """Tell whether all gave the same; None when an abort leaves that open."""
        if self.differences:
            return False
        return None if any(item.answer.outcome == ABORTED for item in self.traces) else True


def trace(call: ModuleCall, engines: tuple[str, ...], checkpoints: int) -> Traces:
    """Give the roots of about as many states, evenly spread over the gas, on each engine."""
    traces: list[Trace] = []
    gas_step: int | None = None
    for engine in engines:
        single, gas_step = _trace(call, engine, checkpoints, gas_step)
        traces.append(single)
    done = [item for item in traces if item.answer.outcome != ABORTED]
    differences = [found for item in done[1:] if (found := _difference(done[0], item))]
    return Traces(tuple(traces), tuple(differences))


def _trace(
    call: ModuleCall, engine: str, checkpoints: int, gas_step: int | None
) -> tuple[Trace, int | None]:
    """Trace on one engine; the first one finds out which steps all of them take."""
    with PausingProcess(engine, sandbox_required=call.sandbox_required) as process:
        reply = process.prepare_pausable(call.module)
        if not isinstance(reply, ModulePrepared):
            return Trace(answer=answer(process.hello, None, ended(reply), 0.0)), gas_step
        digest, limits = sha256(reply.module), call.limits
        if gas_step is None:
            whole = process.trace(digest, call.data, limits, call.seed, limits.gas_max)
            if isinstance(whole, Aborted):
                return Trace(answer=answer(process.hello, digest, whole, 0.0)), None
            gas_step = max(1, -(-whole.gas_reached // (checkpoints + 1)))
        start_s = time.perf_counter()
        traced = process.trace(digest, call.data, limits, call.seed, gas_step)
        wall_ms = (time.perf_counter() - start_s) * 1000
    if not isinstance(traced, ExecutionTraced):
        return Trace(answer=answer(process.hello, digest, traced, wall_ms)), gas_step
    points = tuple(Checkpoint(gas=point.gas_index, root=point.root.hex()) for point in traced.trace)
    single = answer(process.hello, digest, traced.result, wall_ms)
    return Trace(answer=single, checkpoints=points), gas_step


def _difference(first: Trace, other: Trace) -> str:
    names = f"{other.answer.engine} and {first.answer.engine}"
    for number, (one, two) in enumerate(
        zip(first.checkpoints, other.checkpoints, strict=False), start=1
    ):
        if one != two:
            return f"{names} differ from checkpoint {number} on (gas {min(one.gas, two.gas):,})"
    if len(first.checkpoints) != len(other.checkpoints):
        return f"{names} have {len(other.checkpoints)} and {len(first.checkpoints)} checkpoints"
    if first.answer.agreed_part() != other.answer.agreed_part():
        return f"{names} have the same checkpoints, but another outcome, gas, output or module"
    return ""
