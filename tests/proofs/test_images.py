"""Images come to the outcomes that the engines come to; nothing is proven here (protocols/18)."""

import importlib.util
from pathlib import Path

import pytest
import wasmtime

from ambientd.model.execution import ExecutionLimits
from scripts.proof_image import FLAGS, FRAME_BYTES_MAX, ImageError, build, translated
from tests.fuzz.finds import load
from tests.missing import missing
from tests.proofs.images import by_engine, by_image, sha256
from tests.proofs.programs import IntegerProgram

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMITS = ExecutionLimits(memory_bytes_max=4 << 20)
ABI = """
  (memory (export "memory") 1 4)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param $at i32) (param $size i32) (result i64) %s)
"""
# One for each reason, and what has no other place.
ENDINGS = {
    "unreachable": "(unreachable)",
    "memory_out_of_bounds": "(i64.load offset=65529 (i32.const 0))",
    "memory_out_of_bounds of a wrapped address": "(i64.load offset=4294967295 (i32.const -8))",
    "integer_divide_by_zero": "(i64.div_u (i64.const 1) (i64.const 0))",
    "integer_overflow": "(i64.extend_i32_s (i32.div_s (i32.const -2147483648) (i32.const -1)))",
    "bad_output": "(i64.const 0xffffffff00000001)",
    "output_too_large": "(i64.const 65536)",
    "exactly all memory": "(drop (memory.grow (i32.const 1))) (i64.const 4096)",
    "remainder of the least number": "(i64.rem_s (i64.const -9223372036854775808) (i64.const -1))",
    "long division": "(i64.and (i64.const 4095)"
    " (i64.div_u (i64.const -3) (i64.const 0x123456789)))",
}


def module(body: str, more: str = "") -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {ABI % body} {more})"))


def image(submitted: bytes) -> bytes:
    if importlib.util.find_spec("ziglang") is None:
        missing("the compiler of images is missing: say make verifier")
    return build(submitted)


def assert_same(submitted: bytes, data: bytes, limits: ExecutionLimits, folder: Path) -> int:
    executed = by_image(image(submitted), data, limits, folder)
    assert executed.outcome == by_engine(submitted, data, limits)
    return executed.cycles


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_that_of_the_engine(ending: str, tmp_path: Path) -> None:
    limits = ExecutionLimits(memory_bytes_max=1 << 20, output_bytes_max=4096)
    assert_same(module(ENDINGS[ending]), b"", limits, tmp_path)


def test_depth_and_gas_end_an_image_as_they_end_an_engine(tmp_path: Path) -> None:
    endless = module("(call $down)", "(func $down (result i64) (call $down))")
    for gas in (100, 5_000, 10_000_000):
        assert_same(endless, b"", ExecutionLimits(gas_max=gas), tmp_path)


def test_gas_is_exact_to_the_last_unit(tmp_path: Path) -> None:
    submitted = (EXAMPLES / "file-hash" / "hash.wasm").read_bytes()
    used = by_engine(submitted, b"abc", LIMITS)[3]
    for gas in (used - 1, used):
        limits = ExecutionLimits(gas_max=gas)
        assert_same(submitted, b"abc", limits, tmp_path)


def test_calls_through_tables_are_checked(tmp_path: Path) -> None:
    more = """(type $other (func (param i64) (result i64)))
      (type $fits (func (result i64)))
      (func $f (type $fits) (i64.const 3))
      (table 5 funcref) (elem (i32.const 1) $f)"""
    for kind, at in (("$fits", 1), ("$fits", 2), ("$fits", 9), ("$other", 1)):
        argument = "(i64.const 1)" if kind == "$other" else ""
        body = f"(call_indirect (type {kind}) {argument} (i32.const {at}))"
        assert_same(module(body, more), b"", LIMITS, tmp_path)


def test_a_segment_past_the_end_ends_the_execution_before_it_begins(tmp_path: Path) -> None:
    for more in (
        '(data (i32.const 65535) "ab")',
        "(table 2 funcref) (elem (i32.const 2) func 0)",
    ):
        assert_same(module("(i64.const 0)", more), b"", LIMITS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("noop/noop", b""),
        ("file-hash/hash", bytes(range(256)) * 4),
        ("image-classify/classify", None),
    ],
)
def test_reference_modules_give_what_they_give_on_an_engine(
    name: str, data: bytes | None, tmp_path: Path
) -> None:
    if data is None:
        data = (EXAMPLES / "image-classify" / "digits-100.bin").read_bytes()
    assert_same((EXAMPLES / f"{name}.wasm").read_bytes(), data, LIMITS, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(16), 199])
def test_random_programs_of_integers_give_what_they_give_on_an_engine(
    seed: int, tmp_path: Path
) -> None:
    submitted = IntegerProgram(seed).binary()
    made = image(submitted)
    for gas, data in ((30_000, bytes(range(128))), (100 + 97 * seed, b"")):
        limits = ExecutionLimits(gas_max=gas, memory_bytes_max=4 << 20)
        executed = by_image(made, data, limits, tmp_path)
        assert executed.outcome == by_engine(submitted, data, limits), gas


def test_the_corpus_has_the_same_endings_or_is_refused_by_name(tmp_path: Path) -> None:
    executed, refusals = 0, []
    for kept in load():
        try:
            made = image(kept.module)
        except ImageError as refused:
            refusals.append(str(refused))
            continue
        for trial, _ in kept.trials:
            seen = by_image(made, trial.input, trial.limits, tmp_path)
            assert seen.outcome == by_engine(kept.module, trial.input, trial.limits), kept.name
            executed += 1
    assert executed > 0
    assert all("proven" in each or "proofs" in each for each in refusals), refusals


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("(func (drop (f32.add (f32.const 1) (f32.const 2))))", "f32.const"),
        ("(func (param f64))", "floating point"),
        ("(global f32 (f32.const 0))", "floating point"),
        ("(func (param v128) (result v128) (f32x4.sqrt (local.get 0)))", "f32x4.sqrt"),
    ],
)
def test_floats_are_refused_by_name(fields: str, words: str) -> None:
    with pytest.raises(ImageError, match=words):
        translated(module("(i64.const 0)", fields))


def test_host_functions_and_commands_are_refused() -> None:
    asks = '(import "ambient_crypto" "sha256" (func (param i32 i32 i32)))'
    submitted = bytes(wasmtime.wat2wasm(f"(module {asks} {ABI % '(i64.const 0)'})"))
    with pytest.raises(ImageError, match="imports 'sha256'"):
        translated(submitted)
    with pytest.raises(ImageError, match="WASI"):
        translated((EXAMPLES / "hello-compute" / "hello.wasm").read_bytes())


def test_a_frame_that_could_step_over_the_end_of_the_stack_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A call weighs the same with 50 of these or with 5,000, and each takes 16 bytes of its frame.
    asked = "(i8x16.bitmask (v128.load offset=%d (local.get $at)))"
    added = f"(local.set $size (i32.add (local.get $size) {asked}))"
    body = " ".join(added % (16 * n) for n in range(50))
    submitted = module(f"{body} (i64.extend_i32_u (local.get $size))")
    image(submitted)
    named = f"-Wframe-larger-than={FRAME_BYTES_MAX}"
    assert named in FLAGS
    smaller = tuple(flag.replace(named, "-Wframe-larger-than=512") for flag in FLAGS)
    monkeypatch.setattr("scripts.proof_image.FLAGS", smaller)
    with pytest.raises(ImageError, match="exceeds limit"):
        build(submitted)


def test_a_compiler_that_takes_too_long_or_too_much_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submitted = (EXAMPLES / "image-classify" / "classify.wasm").read_bytes()
    image(submitted)
    for limit, value in (
        ("COMPILER_SECONDS_MAX", 0),
        ("COMPILER_BYTES_MAX", 16 << 20),
        ("COMPILER_WAIT_S", 0.01),
        ("TEXT_BYTES_MAX", 1 << 10),
    ):
        with monkeypatch.context() as lower:
            lower.setattr(f"scripts.proof_image.{limit}", value)
            with pytest.raises(ImageError, match=r"compile"):
                build(submitted)


def test_an_invalid_module_has_no_image() -> None:
    body = wasmtime.wat2wasm(f"(module {ABI % '(i64.const 0)'} (func (param i32)))")
    # The added function has no result; give it one that nothing pushes.
    broken = bytes(body).replace(b"\x60\x01\x7f\x00", b"\x60\x01\x7f\x01\x7f")
    with pytest.raises(ImageError):
        translated(broken)


def test_an_image_salts_what_it_names(tmp_path: Path) -> None:
    # What executes images compares both names with those that it computes itself.
    submitted = (EXAMPLES / "file-hash" / "hash.wasm").read_bytes()
    salt = ("--salt", "5a" * 32)
    for size in (0, 55, 56, 63, 64, 600, 640, 1500):
        executed = by_image(image(submitted), bytes(size), LIMITS, tmp_path, *salt)
        assert executed.outcome == by_engine(submitted, bytes(size), LIMITS)


def test_an_image_is_the_same_bytes_every_time() -> None:
    submitted = (EXAMPLES / "noop" / "noop.wasm").read_bytes()
    made = image(submitted)
    assert made == image(submitted)
    assert sha256(made) == (Path(__file__).with_name("noop.image.sha256")).read_text().split()[0]
