"""What every prover of stretches does, the fake one and, where it is built, the real program."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from ambientd.adapters.proof_tools import step_terms
from ambientd.adapters.prover_program import StepProverProgram
from ambientd.adapters.verifier_program import VerifierProgram
from ambientd.config.proving_options import ProvingOptions
from ambientd.model.execution import ExecutionLimits
from ambientd.model.proof import STEP_GAS_MIN, STEP_SEGMENTS_MAX
from ambientd.ports.proving import NotProven, ProofVerifier, StretchProver
from ambientd.roles.step_prover import NO_STEPS
from ambientd.rules.proofs import UNIVERSAL_IMAGE
from ambientd.rules.steps import STEP_IMAGE, read_step
from tests.fakes.prover import FakeVerifier
from tests.fakes.step_prover import FakeStepProver
from tests.mesh.modules import rounds, spin
from tests.proofs.images import program
from tests.proofs.steps import Stretch, end_of, image, stretch

LIMITS = ExecutionLimits(
    memory_bytes_max=1 << 20, gas_max=1_000_000, output_bytes_max=1_000, wall_ms_max=10_000
)
DATA = rounds(1_000)
MEMORY_BYTES = 1_536 << 20


@dataclass(frozen=True)
class Pair:
    """A prover, and who believes it."""

    prover: StretchProver
    verifier: ProofVerifier


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.prover)])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    if request.param == "fake":
        return Pair(FakeStepProver(DATA), FakeVerifier())
    path = tmp_path / "step.elf"
    path.write_bytes(image())
    prover = StepProverProgram(str(program("ambient-prove")), path, MEMORY_BYTES, 1 << 22)
    return Pair(prover, VerifierProgram(str(program("ambient-verify"))))


def part(until_gas: int = 1_200) -> Stretch:
    found = stretch(spin(), DATA, LIMITS, 1_000, until_gas)
    assert found is not None
    return found


def used(whole: Stretch) -> set[int]:
    """Give the pages that are read: none but the first."""
    return set(range(1, len(whole.state.pages)))


async def test_a_proof_is_of_where_the_engine_stands_and_of_nothing_else(pair: Pair) -> None:
    whole = part()
    made = await pair.prover.prove_step(whole.words(whole.without(used(whole))))
    assert isinstance(made, bytes), made
    step = read_step(made)
    assert (step.start.root, step.until_gas) == (whole.state.root(), whole.until_gas)
    assert end_of(step) == whole.end
    assert 1 <= step.segments <= STEP_SEGMENTS_MAX
    assert step.cycles == sum(1 << power for power in step.powers)
    assert await pair.verifier.holds(made, STEP_IMAGE) is True
    assert await pair.verifier.holds(made, UNIVERSAL_IMAGE) is False
    for at in (12 + 32 + 40, 12 + 32 + 136, len(made) - 1):  # the end's root, the gas, a seal
        bent = made[:at] + bytes([made[at] ^ 1]) + made[at + 1 :]
        assert await pair.verifier.holds(bent, STEP_IMAGE) is False


async def test_a_stretch_that_touches_what_is_left_out_is_not_proven(pair: Pair) -> None:
    whole = part(100_000)  # to the end, which reads and writes the first page
    made = await pair.prover.prove_step(whole.words(whole.without({0})))
    assert isinstance(made, NotProven)


async def test_a_program_that_does_not_work_is_a_reason_and_no_proof(tmp_path: Path) -> None:
    path = tmp_path / "none"
    prover = StepProverProgram(str(path), path, MEMORY_BYTES, 1 << 22)
    made = await prover.prove_step(b"")
    assert isinstance(made, NotProven)


def test_a_prover_promises_what_fits_into_the_segments_that_members_verify() -> None:
    def terms(mib: int, cycles_max: int = 1 << 22, step_image: str = "step.elf") -> int:
        options = ProvingOptions(
            prover="p",
            image="i",
            step_image=step_image,
            cycles_max=cycles_max,
            memory_bytes_max=mib << 20,
        )
        return step_terms(options).gas_max

    assert step_terms(ProvingOptions()) == NO_STEPS
    assert terms(1_536, step_image="") == 0
    assert terms(700) == 0
    assert STEP_GAS_MIN <= terms(1_536) < terms(2_560) < terms(16_384, 1 << 24)
    assert terms(2_560, 1 << 19) == terms(1_536)
