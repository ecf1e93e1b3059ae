"""Steps from states: what the image of steps comes to, beside where an engine comes to."""

import functools
import importlib.util
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ambientd.codec.statements import end_point
from ambientd.model.base import Digest
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.rules.executions import REWRITER_VERSION, result_of
from ambientd.rules.steps import ProvenStep, decode_step
from ambientd.wasm.state import State, leave_out
from ambientd.wasm.step import step_words
from ambientd.worker.pausing import PausableExecution, Paused
from scripts.proof_image import build_step
from tests.missing import missing
from tests.proofs.images import GAVE_UP, GaveUpError, program
from tests.worker.test_pausing import SEED, compiled, made

_TOLD = re.compile(r"user_cycles=(\d+) padded_cycles=(\d+) .*\nstatement=([0-9a-f]{288})")
PREPARED = Digest(bytes(32))


@dataclass(frozen=True)
class Taken:
    """What the image stated, and what that took."""

    step: ProvenStep
    cycles: int
    padded: int


@functools.cache
def image() -> bytes:
    """Build the image of steps."""
    if importlib.util.find_spec("ziglang") is None:
        missing("the compiler of images is missing: say make verifier")
    return build_step()


def taken(words: bytes, folder: Path) -> Taken:
    """Execute the image on what it reads; nothing is proven."""
    (folder / "step.elf").write_bytes(image())
    (folder / "words").write_bytes(words)
    done = subprocess.run(
        [
            *(str(program("ambient-execute")), "execute", str(folder / "step.elf")),
            *("--step", str(folder / "words"), "--cycles-max", "400000000"),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    gave_up = GAVE_UP.search(done.stderr)
    if gave_up:
        raise GaveUpError(int(gave_up[1]))
    if "the image read too far" in done.stderr:
        raise GaveUpError(0)
    if "names no known end" in done.stderr:  # a start at or beyond where the step is to lead
        raise GaveUpError(0)
    assert done.returncode == 0, done.stderr
    told = _TOLD.search(done.stdout)
    assert told, done.stdout
    return Taken(decode_step(bytes.fromhex(told[3])), int(told[1]), int(told[2]))


@dataclass(frozen=True)
class Stretch:
    """A state on the way of an execution, how far to go, and where an engine then stands."""

    pausable: bytes
    state: State
    until_gas: int
    end: TracePoint

    def words(self, state: State | None = None) -> bytes:
        """Give what the image reads."""
        return step_words(self.pausable, state or self.state, self.until_gas)

    def without(self, pages: set[int]) -> State:
        """Give the state without these pages."""
        return leave_out(self.state, pages)


def stretch(
    source: bytes, data: bytes, limits: ExecutionLimits, start: int, until_gas: int
) -> Stretch | None:
    """Execute on an engine from one gas index to another; None if it is over before the first."""
    execution = PausableExecution(compiled(source, "wasmtime"), data, limits, SEED)
    try:
        first = execution.run_until(start)
        if not isinstance(first, Paused):
            return None
        then = execution.run_until(until_gas)
    finally:
        execution.close()
    if isinstance(then, Paused):
        end = TracePoint(gas_index=then.state.gas_index, root=then.state.root())
    else:
        assert isinstance(then.result, ExecutionResult), then
        end = end_point(result_of(then.result, PREPARED))
    return Stretch(made(source).module, first.state, until_gas, end)


def gas_of(source: bytes, data: bytes, limits: ExecutionLimits) -> int:
    """Give the gas that an execution takes on an engine."""
    execution = PausableExecution(compiled(source, "wasmtime"), data, limits, SEED)
    try:
        execution.run_until(None)
        return execution.gas_taken()
    finally:
        execution.close()


def end_of(step: ProvenStep) -> TracePoint:
    """Give where a step led, of a prepared module that nobody looks at here."""
    return step.end(PREPARED, REWRITER_VERSION)
