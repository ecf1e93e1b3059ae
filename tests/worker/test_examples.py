"""The reference modules do what their descriptions say."""

from pathlib import Path

import pytest

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DEMO = ROOT / "src" / "ambientd" / "cli" / "demo_data"
ENGINE = WasmtimeEngine()


def run(path: Path, data: bytes) -> ExecutionResult:
    outcome = prepare(path.read_bytes())
    assert isinstance(outcome, Prepared), outcome
    result = execute(ENGINE.compile(outcome.module), data, ExecutionLimits(), bytes(32))
    assert isinstance(result, ExecutionResult)
    return result


def test_the_classifier_reads_digits_that_it_never_saw() -> None:
    images, labels = (DEMO / name for name in ("digits-100.bin", "digits-100.labels"))
    result = run(DEMO / "classify.wasm", images.read_bytes())
    assert result.kind is OutcomeKind.COMPLETED
    right = sum(a == b for a, b in zip(result.output, labels.read_bytes(), strict=True))
    assert right >= 93
    assert result.gas < 5_000_000


@pytest.mark.parametrize("data", [b"", b"\1\0\0\0", b"\1\0\0\0" + bytes(65), b"\xff" * 68])
def test_the_classifier_traps_on_input_of_another_length(data: bytes) -> None:
    result = run(DEMO / "classify.wasm", data)
    assert (result.kind, result.reason) == (OutcomeKind.TRAPPED, "unreachable")


def test_the_classifier_takes_no_image_and_many() -> None:
    assert run(DEMO / "classify.wasm", bytes(4)).output == b""
    many = (5_000).to_bytes(4, "little") + bytes(64 * 5_000)
    assert len(run(DEMO / "classify.wasm", many).output) == 5_000


def test_hello_compute_turns_its_input_into_upper_case_and_logs_the_size() -> None:
    text = b"Hello, mesh!\n" * 10_000
    result = run(EXAMPLES / "hello-compute" / "hello.wasm", text)
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, text.upper())
    assert result.log == b"130000\n"


def test_noop_costs_next_to_nothing() -> None:
    result = run(EXAMPLES / "noop" / "noop.wasm", b"")
    assert (result.kind, result.output) == (OutcomeKind.COMPLETED, b"")
    assert result.gas < 100


@pytest.mark.parametrize("name", ["classify.wasm", "digits-100.bin", "digits-100.labels"])
def test_the_packed_copies_are_the_examples_own(name: str) -> None:
    assert (DEMO / name).read_bytes() == (EXAMPLES / "image-classify" / name).read_bytes()
