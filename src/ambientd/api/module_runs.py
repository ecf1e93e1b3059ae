"""Execute a module on one engine or all, any number of times, and say whether the answers agree.

Every engine has a locked-down process of its own and prepares the module itself, so preparation
is compared as well as execution.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from ambientd.api.material_values import Material
from ambientd.api.module_advice import advice_on_ending
from ambientd.api.module_process import ModuleProcess
from ambientd.api.task_ends import ABORTED as ABORTED  # noqa: PLC0414  (commands have it from here)
from ambientd.codec.digest import sha256
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.ports.worker_protocol import Hello, ModulePrepared, ModuleRefused

COMPLETED = OutcomeKind.COMPLETED.name.lower()
REFUSED = OutcomeKind.REFUSED.name.lower()


@dataclass(frozen=True, slots=True)
class ModuleCall:
    """What is executed, and with what."""

    module: bytes
    data: bytes
    limits: ExecutionLimits
    seed: bytes
    sandbox_required: bool = True


def call_of(material: Material, *, sandbox_required: bool) -> ModuleCall:
    """Give what a task was executed with as a call that does it again."""
    return ModuleCall(
        module=material.module,
        data=material.input,
        limits=ExecutionLimits(
            memory_bytes_max=material.memory_bytes_max,
            wall_ms_max=material.wall_ms_max,
            gas_max=material.gas_max,
            output_bytes_max=material.output_bytes_max,
        ),
        seed=material.seed,
        sandbox_required=sandbox_required,
    )


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one execution gave; an aborted one has no outcome and no gas."""

    engine: str
    engine_version: str
    rewriter_version: int
    prepared_sha256: str | None
    outcome: str
    reason: str
    gas: int | None
    output_sha256: str | None
    output_size_bytes: int | None
    wall_ms: float

    def agreed_part(self) -> tuple[object, ...]:
        """Return what every engine on every device must give alike."""
        return self.prepared_sha256, self.outcome, self.reason, self.gas, self.output_sha256


@dataclass(frozen=True, slots=True)
class Runs:
    """All answers; output and log are those of the first."""

    answers: tuple[Answer, ...]
    output: bytes | None
    log: bytes
    fixes: tuple[str, ...]

    @property
    def agreed(self) -> bool | None:
        """Tell whether all gave the same; None when an abort leaves that open."""
        outcomes = {item.agreed_part() for item in self.answers if item.outcome != ABORTED}
        if len(outcomes) > 1:
            return False
        return None if any(item.outcome == ABORTED for item in self.answers) else True


def verify_determinism(
    call: ModuleCall,
    engines: tuple[str, ...],
    runs: int,
    begun: Callable[[ModuleProcess], None] = lambda _: None,
) -> Runs:
    """Execute `runs` times on each engine; after an abort the rest of that engine's is left out.

    `begun` hears of each process, before anything is executed in it.
    """
    results: list[ExecutionResult | Aborted] = []
    collected: list[Answer] = []
    for engine in engines:
        with ModuleProcess(engine, sandbox_required=call.sandbox_required) as process:
            begun(process)
            for digest, result, wall_ms in _executions(process, call, runs):
                results = results or [result]
                collected.append(answer(process.hello, digest, result, wall_ms))
    first = results[0]
    done = first if isinstance(first, ExecutionResult) else None
    return Runs(
        answers=tuple(collected),
        output=done.output if done and done.kind is OutcomeKind.COMPLETED else None,
        log=done.log if done else b"",
        fixes=advice_on_ending(first),
    )


def _executions(
    process: ModuleProcess, call: ModuleCall, runs: int
) -> Iterator[tuple[bytes | None, ExecutionResult | Aborted, float]]:
    reply = process.prepare(call.module)
    if not isinstance(reply, ModulePrepared):
        yield None, ended(reply), 0.0
        return
    digest = sha256(reply.module)
    for _ in range(runs):
        start_s = time.perf_counter()
        result = process.execute(digest, call.data, call.limits, call.seed)
        yield digest, result, (time.perf_counter() - start_s) * 1000
        if isinstance(result, Aborted):
            return


def ended(reply: ModuleRefused | Aborted) -> ExecutionResult | Aborted:
    """Give how an execution ends whose module was not even prepared."""
    if isinstance(reply, Aborted):
        return reply
    return ExecutionResult(
        kind=OutcomeKind.REFUSED, reason=reply.reason, output=b"", gas=0, log=reply.detail.encode()
    )


def answer(
    hello: Hello, digest: bytes | None, result: ExecutionResult | Aborted, wall_ms: float
) -> Answer:
    """Put together what one execution gave."""
    done = result if isinstance(result, ExecutionResult) else None
    completed = done is not None and done.kind is OutcomeKind.COMPLETED
    return Answer(
        engine=hello.engine,
        engine_version=hello.engine_version,
        rewriter_version=hello.rewriter_version,
        prepared_sha256=None if digest is None else digest.hex(),
        outcome=done.kind.name.lower() if done else ABORTED,
        reason=result.reason,
        gas=done.gas if done else None,
        output_sha256=sha256(done.output).hex() if done and completed else None,
        output_size_bytes=len(done.output) if done and completed else None,
        wall_ms=round(wall_ms, 3),
    )
