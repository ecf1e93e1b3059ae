"""Run one submitted module on every engine and say where they do not agree (protocols/04).

Compared are kind, reason, output and gas; the log is the engines' own. Two things are also held
against the rules of gas: a completed execution completes on exactly what it used, and runs out on
one less.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ambientd.model.execution import (
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.engine import (
    CompiledModule,
    Engine,
    EngineFailureError,
    ModuleInvalidError,
)
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute

GAS_AMPLE = 300_000
MEMORY_BYTES_MAX = 64 << 20
SEED_BYTES = 32
INPUTS = 5
# One module in this many is also run from what the engines give for their caches; another one
# by an engine that is set otherwise.
VARIED_EVERY = 4
# Parts of inputs: NaNs of both widths, a negative zero, ones.
_WORDS = (0x7FC00000, 0xFF800001, 0x80000000, 0xFFFFFFFF, 0x7FF80000, 1, 0x7FFC1234, 0xFFF8ABCD)


@dataclass(frozen=True)
class Trial:
    """What a prepared module is given for one execution."""

    input: bytes
    limits: ExecutionLimits
    seed: bytes = bytes(SEED_BYTES)


@dataclass(frozen=True)
class Find:
    """A disagreement; `seen` says, engine by engine, what happened."""

    claim: str
    module: bytes  # as submitted
    seen: Mapping[str, str]
    trial: Trial | None = None


@dataclass
class Tally:
    """What was done so far; counters only, so that tallies can be added."""

    counts: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)


Outcome = tuple[str, str, bytes, int]


def described(outcome: Outcome) -> str:
    """Put an outcome in a line."""
    kind, reason, output, gas = outcome
    return f"{kind} {reason or '-'} gas={gas} output={len(output)}:{output[:32].hex()}"


def observed(result: ExecutionResult) -> Outcome:
    """Take what is agreed on; the log is not."""
    return (result.kind.name.lower(), result.reason, result.output, result.gas)


class Comparison:
    """Engines side by side in this process."""

    def __init__(
        self,
        engines: Sequence[Engine],
        invalid: Callable[[bytes], str | None] | None = None,
        other: Engine | None = None,
        inputs: int = INPUTS,
    ) -> None:
        self.engines = tuple(engines)
        self._invalid = invalid
        self._other = other
        self._inputs = inputs

    def examine(self, module: bytes, source: str, rng: random.Random, tally: Tally) -> None:
        """Prepare, validate and execute one submitted module in several ways."""
        counts = tally.counts
        counts[f"modules {source}"] += 1
        prepared = prepare(module)
        if not isinstance(prepared, Prepared):
            counts[f"refused {source}"] += 1
            return
        compiled, refusals = self.compiled(prepared.module)
        if any(refusals.values()) and not all(refusals.values()):
            tally.finds.append(Find("the engines disagree on validity", module, refusals))
            return
        invalid = any(refusals.values())
        if self._invalid is not None:
            raw = self._invalid(module)
            if (raw is not None) != invalid:
                seen = {"submitted": raw or "", "prepared": next(iter(refusals.values()))}
                tally.finds.append(Find("preparing changed whether it is valid", module, seen))
                return
        if invalid:
            counts[f"invalid {source}"] += 1
            return
        counts[f"executed modules {source}"] += 1
        plain = {"": compiled}
        variants = dict(plain)
        if rng.randrange(VARIED_EVERY) == 0:
            variants[" restored"] = self._restored(compiled)
        if self._other is not None and rng.randrange(VARIED_EVERY) == 0:
            variants[" other"] = {self._other.name: self._other.compile(prepared.module)}
        for number in range(self._inputs):
            trial = _trial(rng)
            first = self._try(module, variants, trial, source, tally, repeated=number == 0)
            if first is None:
                continue
            used = first[3] if first[0] == "completed" else 0
            for gas in _limits(rng, used, more=number == 0):
                poorer = Trial(trial.input, _with_gas(trial.limits, gas), trial.seed)
                second = self._try(module, plain, poorer, source, tally, repeated=False)
                if used and second is not None:
                    _hold_to_the_rules(module, first, second, poorer, tally)

    def compiled(self, prepared: bytes) -> tuple[dict[str, CompiledModule], dict[str, str]]:
        """Compile on every engine; the second gives each engine's refusal, or nothing."""
        modules, refusals = {}, {}
        for engine in self.engines:
            refusals[engine.name] = ""
            try:
                modules[engine.name] = engine.compile(prepared)
            except ModuleInvalidError as refusal:
                refusals[engine.name] = str(refusal) or "refused"
        return modules, refusals

    def _restored(self, modules: Mapping[str, CompiledModule]) -> dict[str, CompiledModule]:
        restored = {}
        for engine in self.engines:
            kept = modules[engine.name].serialize()
            restored[engine.name] = modules[engine.name] if kept is None else engine.restore(kept)
        return restored

    def _try(
        self,
        module: bytes,
        variants: Mapping[str, Mapping[str, CompiledModule]],
        trial: Trial,
        source: str,
        tally: Tally,
        *,
        repeated: bool,
    ) -> Outcome | None:
        """Execute once on every engine, and again in a fresh instance if asked; compare all."""
        seen: dict[str, Outcome] = {}
        complete = True
        for variant, modules in variants.items():
            for name, compiled in modules.items():
                for turn in range(1 + repeated):
                    result = run(compiled, trial)
                    if isinstance(result, Aborted):
                        tally.counts[f"aborted {name}: {result.reason[:120]}"] += 1
                        complete = False
                        continue
                    seen[name + variant + " again" * turn] = observed(result)
        outcomes = set(seen.values())
        if len(outcomes) > 1:
            lines = {name: described(outcome) for name, outcome in seen.items()}
            tally.finds.append(Find("the outcomes differ", module, lines, trial))
            return None
        if not complete:
            return None
        (outcome,) = outcomes
        tally.counts["executions"] += 1
        tally.counts[f"executions {source}"] += 1
        reason = "" if outcome[0] == "refused" else outcome[1].partition(":")[0]
        tally.counts[f"outcome {outcome[0]} {reason}".rstrip()] += 1
        return outcome


def run(compiled: CompiledModule, trial: Trial) -> ExecutionResult | Aborted:
    """Execute once; an engine's failure is the host's affair wherever it shows."""
    try:
        return execute(compiled, trial.input, trial.limits, trial.seed)
    except EngineFailureError as failure:
        return Aborted(reason=f"outside execute: {failure}")


def _trial(rng: random.Random) -> Trial:
    size = rng.choice((0, 8, 64, 128, rng.randrange(300)))
    data = rng.randbytes(size)
    if rng.random() < 0.5:
        data = b"".join(rng.choice(_WORDS).to_bytes(4, "little") for _ in range(size // 4))
    return Trial(
        data,
        ExecutionLimits(
            gas_max=GAS_AMPLE,
            memory_bytes_max=rng.choice((*[MEMORY_BYTES_MAX] * 8, 5 << 16, 1 << 16)),
            output_bytes_max=rng.choice((*[1 << 16] * 15, 8191)),
        ),
        rng.randbytes(SEED_BYTES),
    )


def _limits(rng: random.Random, used: int, *, more: bool) -> list[int]:
    """Choose further gas limits: exactly what was used, one less, and some anywhere below."""
    if used > 1:
        return [used, used - 1] + [rng.randint(1, used) for _ in range(1 + more)]
    return [int(GAS_AMPLE ** rng.random()) + 1 for _ in range(1 + more)]


def _with_gas(limits: ExecutionLimits, gas: int) -> ExecutionLimits:
    return ExecutionLimits(
        gas_max=gas,
        memory_bytes_max=limits.memory_bytes_max,
        output_bytes_max=limits.output_bytes_max,
    )


def _hold_to_the_rules(
    module: bytes, ample: Outcome, second: Outcome, trial: Trial, tally: Tally
) -> None:
    used, gas_max = ample[3], trial.limits.gas_max
    out_of_gas = (OutcomeKind.OUT_OF_GAS.name.lower(), "", b"", gas_max)
    expected = ample if gas_max >= used else out_of_gas
    if second != expected:
        seen = {f"with {gas_max}": described(second), "expected": described(expected)}
        tally.finds.append(Find("gas alone does not decide the outcome", module, seen, trial))
