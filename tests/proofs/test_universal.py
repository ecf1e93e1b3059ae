"""The universal image comes to what an engine comes to, or gives up (protocols/18 §8)."""

import functools
import importlib.util
import struct
import subprocess
from pathlib import Path

import pytest
import wasmtime

from ambientd.model.execution import ExecutionLimits
from ambientd.rules.proofs import UNIVERSAL_IMAGE
from ambientd.wasm.provable import not_interpreted
from scripts.proof_image import ImageError, build_universal, prepared
from tests.fuzz.finds import load
from tests.missing import missing
from tests.proofs.images import GaveUpError, by_engine, by_image, program, sha256
from tests.proofs.programs import IntegerProgram, ScalarProgram
from tests.proofs.test_images import ENDINGS, EXAMPLES, LIMITS, module

ROOT = Path(__file__).parents[2]
NOT_VALID, NOT_PROVABLE = 32, 33


@functools.cache
def universal() -> bytes:
    if importlib.util.find_spec("ziglang") is None:
        missing("the compiler of images is missing: say make verifier")
    return build_universal()


def interpreted(submitted: bytes, data: bytes, limits: ExecutionLimits, folder: Path) -> int:
    """Compare the two; give the cycles."""
    place = folder / "module.prepared"
    place.write_bytes(prepared(submitted))
    executed = by_image(universal(), data, limits, folder, "--module", str(place))
    assert executed.outcome == by_engine(submitted, data, limits)
    return executed.cycles


def given_up(given: bytes, folder: Path) -> int:
    place = folder / "module.prepared"
    place.write_bytes(given)
    with pytest.raises(GaveUpError) as seen:
        by_image(universal(), b"", LIMITS, folder, "--module", str(place))
    return int(seen.value.args[0])


def test_the_universal_image_is_the_same_bytes_every_time() -> None:
    pinned = Path(__file__).with_name("universal.image.sha256").read_text().split()[0]
    assert sha256(universal()) == pinned


def test_the_image_ends_below_its_stack() -> None:
    image = universal()
    (headers,), (size, count) = (
        struct.unpack_from("<I", image, 28),
        struct.unpack_from("<HH", image, 42),
    )
    loaded = [struct.unpack_from("<8I", image, headers + size * each) for each in range(count)]
    # 16 KiB below STACK_TOP of threaded.h are the stack's.
    assert max(at + memory for kind, _, at, _, _, memory, *_ in loaded if kind == 1) <= 0x20010200


def test_the_protocol_and_the_daemon_name_its_id(tmp_path: Path) -> None:
    place = tmp_path / "universal.elf"
    place.write_bytes(universal())
    told = subprocess.run(
        [str(program("ambient-verify")), "image", str(place)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.strip() == UNIVERSAL_IMAGE.hex()
    assert f"`{told.stdout.strip()}`" in (ROOT / "protocols" / "18-proofs.md").read_text("utf-8")


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_ending_is_that_of_the_engine(ending: str, tmp_path: Path) -> None:
    limits = ExecutionLimits(memory_bytes_max=1 << 20, output_bytes_max=4096)
    interpreted(module(ENDINGS[ending]), b"", limits, tmp_path)


def test_depth_and_gas_end_it_as_they_end_an_engine(tmp_path: Path) -> None:
    endless = module("(call $down)", "(func $down (result i64) (call $down))")
    for gas in (100, 5_000, 10_000_000):
        interpreted(endless, b"", ExecutionLimits(gas_max=gas), tmp_path)


def test_calls_through_tables_are_checked(tmp_path: Path) -> None:
    more = """(type $other (func (param i64) (result i64)))
      (type $fits (func (result i64)))
      (func $f (type $fits) (i64.const 3))
      (table 5 funcref) (elem (i32.const 1) $f)"""
    for kind, at in (("$fits", 1), ("$fits", 2), ("$fits", 9), ("$other", 1)):
        argument = "(i64.const 1)" if kind == "$other" else ""
        body = f"(call_indirect (type {kind}) {argument} (i32.const {at}))"
        interpreted(module(body, more), b"", LIMITS, tmp_path)


def test_a_segment_past_the_end_ends_the_execution_before_it_begins(tmp_path: Path) -> None:
    for more in (
        '(data (i32.const 65535) "ab")',
        "(table 2 funcref) (elem (i32.const 2) func 0)",
    ):
        interpreted(module("(i64.const 0)", more), b"", LIMITS, tmp_path)


def test_a_small_module_takes_few_cycles(tmp_path: Path) -> None:
    noop = (EXAMPLES / "noop" / "noop.wasm").read_bytes()
    assert interpreted(noop, b"", LIMITS, tmp_path) < 50_000


@pytest.mark.parametrize("seed", range(8))
def test_random_programs_without_vectors_give_what_they_give_on_an_engine(
    seed: int, tmp_path: Path
) -> None:
    submitted = ScalarProgram(seed).binary()
    for gas, data in ((30_000, bytes(range(128))), (100 + 97 * seed, b"")):
        limits = ExecutionLimits(gas_max=gas, memory_bytes_max=4 << 20)
        interpreted(submitted, data, limits, tmp_path)


def test_random_programs_with_vectors_are_given_up(tmp_path: Path) -> None:
    assert given_up(prepared(IntegerProgram(1).binary()), tmp_path) == NOT_PROVABLE


def test_the_corpus_has_the_same_endings_or_is_given_up(tmp_path: Path) -> None:
    executed, codes = 0, set()
    for kept in load():
        for trial, _ in kept.trials:
            try:
                interpreted(kept.module, trial.input, trial.limits, tmp_path)
            except GaveUpError as gave_up:
                codes.add(gave_up.args[0])
            except ImageError:
                pass
            else:
                executed += 1
    assert executed > 0
    assert codes == {NOT_PROVABLE}


def test_what_is_seen_without_executing_is_what_the_image_says(tmp_path: Path) -> None:
    programs = [
        each(seed).binary() for seed in range(3) for each in (IntegerProgram, ScalarProgram)
    ]
    found = set()
    for submitted in (*programs, *(kept.module for kept in load())):
        try:
            given = prepared(submitted)
        except ImageError:
            continue
        place = tmp_path / "module.prepared"
        place.write_bytes(given)
        code = 0
        try:
            by_image(universal(), b"", LIMITS, tmp_path, "--module", str(place))
        except GaveUpError as gave_up:
            code = gave_up.args[0]
        assert (not_interpreted(given) is None) == (code != NOT_PROVABLE), submitted.hex()
        found.add(code)
    assert {0, NOT_PROVABLE} <= found


def test_vectors_floats_and_imports_are_given_up(tmp_path: Path) -> None:
    for body in ("(drop (f32.const 1))", "(drop (v128.const i64x2 0 0))"):
        assert given_up(prepared(module(f"{body} (i64.const 0)")), tmp_path) == NOT_PROVABLE
    asks = '(module (import "ambient_crypto" "sha256" (func (param i32 i32 i32))))'
    assert given_up(bytes(wasmtime.wat2wasm(asks)), tmp_path) == NOT_VALID


def test_invalid_modules_are_given_up(tmp_path: Path) -> None:
    whole = prepared((EXAMPLES / "noop" / "noop.wasm").read_bytes())
    assert given_up(b"", tmp_path) == NOT_VALID
    assert given_up(whole[:-1], tmp_path) == NOT_VALID
    assert given_up(whole + b"\0", tmp_path) == NOT_VALID
    for old, new in (
        (b"\x42\x05\x7d", b"\x41\x05\x7d"),  # an i32 where an i64 is subtracted
        (b"\x7d\x22\x05", b"\x7d\x22\x06"),  # a local that is not there
        (b"\x07\x3a\x05", b"\x07\x3a\x06"),  # an export more than there are
    ):
        assert old in whole
        assert given_up(whole.replace(old, new, 1), tmp_path) == NOT_VALID
