"""Run one execution many times, on several engines, and tell whether anything ever differs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from ambientd.codec.digest import sha256
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.engine import CompiledModule, Engine, ModuleInvalidError
from ambientd.wasm.pausing import make_pausable
from ambientd.wasm.prepare import Refused, prepare
from ambientd.worker.execution import execute
from ambientd.worker.pausing import PausableModule, execute_with_trace

# Roots are compared about this many times over an execution.
TRACE_POINTS = 32


@dataclass(frozen=True, slots=True)
class DeterminismReport:
    """What was compared, and each difference found, in words."""

    result: ExecutionResult | Aborted | None  # the first engine's
    executions: int
    roots: int  # of states, over all traces; 0 if the module cannot be paused
    pausable: str  # empty if it is, else why not
    differences: tuple[str, ...]

    @property
    def deterministic(self) -> bool:
        """Tell whether everything that nodes must agree on was equal."""
        return not self.differences


def verify_determinism(
    engines: Sequence[Engine],
    module: bytes,
    data: bytes,
    limits: ExecutionLimits,
    seed: bytes,
    runs: int = 2,
) -> DeterminismReport:
    """Compare output, outcome and gas of every run, and the roots of paused executions."""
    prepared = prepare(module)
    if isinstance(prepared, Refused):
        return DeterminismReport(None, 0, 0, prepared.reason, (prepared.reason,))
    differences: list[str] = []
    pausable = make_pausable(module)
    results = list(_results(engines, prepared.module, data, limits, seed, runs, differences))
    if not results:
        return DeterminismReport(None, 0, 0, "", tuple(differences))
    first_name, first = results[0]
    differences += [
        f"{name} ends otherwise than {first_name}: {_shown(result)} against {_shown(first)}"
        for name, result in results
        if _agreed(result) != _agreed(first)
    ]
    if isinstance(pausable, Refused) or isinstance(first, Aborted):
        why = pausable.reason if isinstance(pausable, Refused) else ""
        return DeterminismReport(first, len(results), 0, why, tuple(differences))
    gas_step = max(1, first.gas // TRACE_POINTS)
    traces: list[tuple[TracePoint, ...]] = []
    for engine in engines:
        compiled = _compile(engine, pausable.module, differences)
        if compiled is None:
            continue
        paused = PausableModule(compiled, sha256(pausable.module))
        result, _, trace = execute_with_trace(paused, data, limits, seed, gas_step)
        if _agreed(result) != _agreed(first):
            differences.append(
                f"{engine.name} ends otherwise when paused: {_shown(result)} against "
                f"{_shown(first)}"
            )
        if traces and trace != traces[0]:
            at = _first_difference(trace, traces[0])
            differences.append(f"{engine.name} has another state at trace point {at}")
        traces.append(trace)
    executions = len(results) + len(traces)
    roots = sum(map(len, traces))
    return DeterminismReport(first, executions, roots, "", tuple(differences))


def _results(
    engines: Sequence[Engine],
    prepared: bytes,
    data: bytes,
    limits: ExecutionLimits,
    seed: bytes,
    runs: int,
    differences: list[str],
) -> Iterable[tuple[str, ExecutionResult | Aborted]]:
    for engine in engines:
        compiled = _compile(engine, prepared, differences)
        if compiled is not None:
            yield from ((engine.name, execute(compiled, data, limits, seed)) for _ in range(runs))


def _compile(engine: Engine, module: bytes, differences: list[str]) -> CompiledModule | None:
    try:
        return engine.compile(module)
    except ModuleInvalidError as error:
        differences.append(f"{engine.name} does not validate the module: {error}")
        return None


def _agreed(result: ExecutionResult | Aborted) -> ExecutionResult | Aborted:
    """Drop the log, in which engines put their own words about a trap."""
    if isinstance(result, Aborted):
        return result
    return msgspec.structs.replace(result, log=b"")


def _shown(result: ExecutionResult | Aborted) -> str:
    if isinstance(result, Aborted):
        return f"aborted ({result.reason})"
    kind = result.kind.name.lower() + (f" ({result.reason})" if result.reason else "")
    return f"{kind}, gas {result.gas}, output {sha256(result.output).hex()[:16]}"


def _first_difference(one: Sequence[object], other: Sequence[object]) -> int:
    pairs = zip(one, other, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
