"""Real programs are paused, written down, and go on in another engine, as if nothing were."""

from pathlib import Path

import pytest

from ambientd.model.execution import ExecutionLimits, OutcomeKind
from tests.programs.test_programs import CASES, ORDERS, Case, built, require_go_program
from tests.worker.test_pausing import check, ordinary

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PARTS = 12
# Where a trap leaves open how far a program came. Deep stacks make large states: fewer of those.
GAS_STEP, GAS_STEP_DEEP = 50_000, 400_000


def journey(path: Path, data: bytes, outcome: OutcomeKind = OutcomeKind.COMPLETED) -> None:
    source, limits = path.read_bytes(), ExecutionLimits()
    expected = ordinary(source, data, limits)
    assert expected.kind is outcome
    ends_early = expected.gas == limits.gas_max  # a trap: how far it came is not known
    is_deep = expected.reason == "call_depth"
    step = GAS_STEP_DEEP if is_deep else GAS_STEP if ends_early else max(1, expected.gas // PARTS)
    seen = check(source, data, limits, step)
    assert seen or (ends_early and not is_deep)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.program}-{len(case.data)}")
def test_an_ordinary_program_moves_between_engines(case: Case) -> None:
    journey(built(case.program), case.data, OutcomeKind[case.outcome.split()[0].upper()])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("csv-stats/stats.wasm", "csv-stats/sales.csv"),
        ("file-hash/hash.wasm", "image-classify/digits-100.bin"),
        ("fixed-train/train.wasm", "fixed-train/digits-800.bin"),
    ],
)
def test_a_reference_module_moves_between_engines(path: str, data: str) -> None:
    journey(EXAMPLES / path, (EXAMPLES / data).read_bytes())


@pytest.mark.slow
@pytest.mark.hunt
def test_a_go_program_moves_between_engines() -> None:
    journey(require_go_program(), ORDERS)
