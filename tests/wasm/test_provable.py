"""What no image interprets is seen before a proof is promised, and nothing else is."""

import pytest

from ambientd.wasm.prepare import Prepared, prepare
from ambientd.wasm.provable import not_interpreted
from tests.proofs.programs import IntegerProgram, ScalarProgram
from tests.proofs.test_images import EXAMPLES, module


def seen(submitted: bytes) -> str | None:
    made = prepare(submitted)
    assert isinstance(made, Prepared), made
    return not_interpreted(made.module)


@pytest.mark.parametrize("seed", range(20))
def test_modules_of_integers_can_be_proven_and_those_with_vectors_cannot(seed: int) -> None:
    assert seen(ScalarProgram(seed).binary()) is None
    assert seen(IntegerProgram(seed).binary()) is not None


def test_reference_modules_are_told_apart() -> None:
    assert seen((EXAMPLES / "noop" / "noop.wasm").read_bytes()) is None
    assert seen((EXAMPLES / "image-classify" / "classify.wasm").read_bytes()) is not None


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ("(drop (f32.const 1)) (i64.const 0)", ""),
        ("(drop (i32.trunc_sat_f64_s (f64.const 1))) (i64.const 0)", ""),
        ("(drop (v128.const i64x2 0 0)) (i64.const 0)", ""),
        ("(i64.const 0)", "(global f64 (f64.const 0))"),
        ("(i64.const 0)", "(func (param f32))"),
        ("(i64.const 0)", "(func (local v128))"),
        ("(i64.const 0)", "(func (local f64))"),
    ],
)
def test_floats_and_vectors_are_seen_wherever_they_stand(body: str, more: str) -> None:
    assert seen(module(body, more)) is not None


def test_what_is_no_module_is_not_interpreted() -> None:
    whole = prepare((EXAMPLES / "noop" / "noop.wasm").read_bytes())
    assert isinstance(whole, Prepared)
    for at in range(0, len(whole.module), 3):
        not_interpreted(whole.module[:at])
    assert not_interpreted(b"") is not None
