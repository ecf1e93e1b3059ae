"""Measure a module on an engine: preparing, compiling, the first call, the calls after it."""

import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

import msgspec

from ambientd.api.module_process import ModuleProcess
from ambientd.api.module_runs import COMPLETED, Answer, ModuleCall, answer, ended
from ambientd.codec.digest import sha256
from ambientd.model.execution import Aborted
from ambientd.ports.worker_protocol import ModuleLoaded, ModulePrepared

T = TypeVar("T")

ROUNDS_UNLESS_SAID = 100
_SECONDS_UNLESS_SAID = 10.0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one engine took; times are as seen from outside of its process, pipe included."""

    answer: Answer
    agreed: bool = True
    prepare_ms: float | None = None
    compile_ms: float | None = None
    first_call_ms: float | None = None
    call_ms_median: float | None = None
    call_ms_p99: float | None = None
    rounds: int = 0
    gas_per_s: int | None = None
    memory_idle_bytes: int | None = None
    memory_peak_bytes: int | None = None


def bench(call: ModuleCall, engine: str, rounds: int | None) -> Figures:
    """Measure one engine; without a number of rounds it is 100, or what ten seconds allow."""
    with ModuleProcess(engine, sandbox_required=call.sandbox_required) as process:
        reply = process.prepare(call.module)
        if not isinstance(reply, ModulePrepared):
            return Figures(answer=answer(process.hello, None, ended(reply), 0.0))
    prepared, digest = reply.module, sha256(reply.module)
    # A fresh process compiles it first; what is compiled there is only rewritten after that.
    with ModuleProcess(engine, sandbox_required=call.sandbox_required) as process:
        idle = process.memory_bytes()
        loaded, compile_ms = _timed(lambda: process.load(prepared))
        if not isinstance(loaded, ModuleLoaded):
            return Figures(answer=answer(process.hello, digest, ended(loaded), compile_ms))
        again, prepare_ms = _timed(lambda: process.prepare(call.module))
        if not isinstance(again, ModulePrepared):
            return Figures(answer=answer(process.hello, digest, ended(again), prepare_ms))
        answers = _calls(process, digest, call, rounds)
        peak = process.memory_bytes()
    first, *later = answers
    times_ms = sorted(item.wall_ms for item in later) or [first.wall_ms]
    median_ms = statistics.median(times_ms)
    return Figures(
        answer=answers[-1],
        agreed=len({item.agreed_part() for item in answers}) == 1,
        prepare_ms=round(prepare_ms, 3),
        compile_ms=round(compile_ms, 3),
        first_call_ms=first.wall_ms,
        call_ms_median=round(median_ms, 3),
        call_ms_p99=times_ms[min(len(times_ms) - 1, len(times_ms) * 99 // 100)],
        rounds=len(later),
        gas_per_s=_gas_per_s(first, median_ms),
        memory_idle_bytes=idle and idle[0],
        memory_peak_bytes=peak and peak[1],
    )


def _calls(
    process: ModuleProcess, digest: bytes, call: ModuleCall, rounds: int | None
) -> list[Answer]:
    """Call once, then as often as wanted; an abort is the last."""
    answers: list[Answer] = []
    begun_s = time.perf_counter()
    for number in count():
        result, call_ms = _timed(lambda: process.execute(digest, call.data, call.limits, call.seed))
        answers.append(answer(process.hello, digest, result, call_ms))
        enough = number >= (ROUNDS_UNLESS_SAID if rounds is None else rounds)
        late = rounds is None and time.perf_counter() - begun_s > _SECONDS_UNLESS_SAID
        if isinstance(result, Aborted) or enough or late:
            break
    return answers


def _gas_per_s(first: Answer, median_ms: float) -> int | None:
    """Give the gas for a second; a trap is charged the whole limit, so it says nothing."""
    if first.outcome != COMPLETED or first.gas is None:
        return None
    return int(first.gas * 1000 / median_ms)


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    start_s = time.perf_counter()
    value = action()
    return value, (time.perf_counter() - start_s) * 1000
