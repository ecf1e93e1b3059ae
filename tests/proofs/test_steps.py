"""The image of steps goes on as an engine does, and names both ends by their roots, or gives up."""

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from ambientd.errors import RemoteProtocolError
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import PAGE_BYTES
from ambientd.rules.steps import STEP_IMAGE
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import ZERO_PAGE, Stage
from tests.proofs.images import GaveUpError, program, sha256
from tests.proofs.programs import ScalarProgram
from tests.proofs.steps import Stretch, end_of, gas_of, image, stretch, taken
from tests.worker.pausable_programs import PausableProgram
from tests.worker.test_pausing import LIMITS, SHAPES, runs

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocols" / "vectors"
NOT_VALID, NOT_PROVABLE, TOO_LARGE, LEFT_OUT, NO_STATE = range(32, 37)
FIELDS = "(global $g (mut i64) (i64.const 11))"
INTEGERS = ("loop parameters", "alternatives", "branch table", "recursion", "memory")
PAGES = """
  (func $main (param $n i32) (result i64)
    (drop (memory.grow (i32.const 9)))
    (i32.store (i32.const 200000) (i32.const 7)) (i32.store (i32.const 65532) (i32.const 9))
    (loop $l
      (i64.store (i32.const 131066)
        (i64.add (i64.load (i32.const 131066)) (i64.const 0x3010000000005)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.load (i32.const 131066)))"""


# Programs that are not over at once: some pause, some trap, some run out of gas.
SEEDS = (4, 14, 15, 34, 59, 70)


class StepProgram(ScalarProgram, PausableProgram):
    """What can be paused and has neither floats nor vectors."""


def of(name: str, start: int, until_gas: int) -> Stretch:
    found = stretch(runs(SHAPES[name], FIELDS), b"\x05", LIMITS, start, until_gas)
    assert found is not None
    return found


def pages() -> Stretch:
    """A stretch that touches the pages 1 and 2 of ten, of which 0 and 3 are not zero either."""
    found = stretch(runs(PAGES), b"\x20", LIMITS, 9_350, 9_500)
    assert found is not None
    return found


def start_of(words: bytes, folder: Path) -> bytes | None:
    """Give the root that the image names for the start; None where it gives up."""
    try:
        return taken(words, folder).step.start.root
    except (GaveUpError, RemoteProtocolError):  # or states what no execution comes to
        return None


def compare(given: Stretch, folder: Path) -> None:
    seen = taken(given.words(), folder).step
    state = given.state
    assert seen.start == TracePoint(gas_index=state.gas_index, root=state.root())
    assert (seen.until_gas, end_of(seen)) == (given.until_gas, given.end)


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("until_gas", [100, 200_000])
def test_a_step_leads_where_an_engine_comes_to(name: str, until_gas: int, tmp_path: Path) -> None:
    compare(of(name, 10, until_gas), tmp_path)


@pytest.mark.parametrize(
    "last",
    [
        "(i64.div_u (i64.const 1) (i64.sub (local.get $x) (local.get $x)))",
        "(i64.load (i32.const -1))",
        "(unreachable)",
        "(call $main (local.get $n))",
    ],
)
def test_traps_and_depth_end_it_as_they_end_an_engine(last: str, tmp_path: Path) -> None:
    text = f"""(func $main (param $n i32) (result i64) (local $x i64)
      (loop $l (local.set $x (i64.add (local.get $x) (i64.const 5)))
        (br_if $l (i64.lt_u (local.get $x) (i64.const 90))))
      {last})"""
    limits = msgspec.structs.replace(LIMITS, gas_max=50_000_000)
    found = stretch(runs(text), b"\x05", limits, 50, 60_000_000)
    assert found is not None
    compare(found, tmp_path)


@pytest.mark.parametrize("gas_max", [150, 301, 1_000])
def test_what_runs_out_of_gas_does_so_at_the_same_place(gas_max: int, tmp_path: Path) -> None:
    text = "(func $main (param $n i32) (result i64) (loop $l (br $l)) (i64.const 0))"
    limits = msgspec.structs.replace(LIMITS, gas_max=gas_max)
    for until_gas in (gas_max - 1, gas_max, gas_max + 1, gas_max + 9_000):
        found = stretch(runs(text), b"\x05", limits, 50, until_gas)
        assert found is not None
        compare(found, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_programs_go_on_as_they_do_on_an_engine(seed: int, tmp_path: Path) -> None:
    source = StepProgram(seed).binary()
    assert isinstance(make_pausable(source), Pausable)
    data, limits = bytes(range(128)), msgspec.structs.replace(LIMITS, gas_max=100_000)
    gas, compared = gas_of(source, data, limits), 0
    for start, until_gas in ((gas // 8, gas // 2), (gas // 3, gas + 1), (gas // 2, 3 * gas // 4)):
        found = stretch(source, data, limits, start, until_gas)
        if found is None or found.state.gas_index >= until_gas:
            continue
        if found.state.header.stage == Stage.RUN:
            compare(found, tmp_path)
            compared += 1
    assert compared, "a seed whose program is over at once shows nothing"


@pytest.mark.parametrize("missing", [{0}, {0, 3}, {0, 3, 4, 5, 6, 7, 8}, {3, 4, 5, 6, 7, 8, 9}])
def test_pages_that_are_not_touched_may_be_left_out(missing: set[int], tmp_path: Path) -> None:
    given = pages()
    partial = replace(given, state=given.without(missing))
    compare(partial, tmp_path)
    assert given.state.root() == partial.state.root()


@pytest.mark.parametrize("first", [3, 4, 6, 14])
def test_memory_may_grow_where_pages_are_left_out(first: int, tmp_path: Path) -> None:
    text = f"""(func $main (param $n i32) (result i64)
      (drop (memory.grow (i32.const {first})))
      (i32.store (i32.const 131072) (i32.const 7)) (i32.store (i32.const 196600) (i32.const 9))
      (local.set $n (i32.const 12))
      (loop $l
        (i64.store (i32.const 131066) (i64.add (i64.load (i32.const 131066)) (i64.const 5)))
        (drop (memory.grow (i32.const 1)))
        (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 3))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i64.const 0))"""
    found = stretch(runs(text), b"\x05", LIMITS, 1_100 * first, 1_100 * first + 4_000)
    assert found is not None
    pages = found.state.header.pages
    partial = replace(found, state=found.without({0, *range(3, pages)}))
    compare(partial, tmp_path)
    after = stretch(runs(text), b"\x05", LIMITS, found.until_gas, found.until_gas + 1)
    assert after is not None
    assert after.state.root() == found.end.root
    assert after.state.header.pages > pages


@pytest.mark.parametrize("missing", [{1}, {2}, {1, 2, 9}])
def test_a_page_that_is_touched_and_left_out_proves_nothing(
    missing: set[int], tmp_path: Path
) -> None:
    given = pages()
    with pytest.raises(GaveUpError, match=str(LEFT_OUT)):
        taken(given.words(given.without(missing)), tmp_path)


def test_a_state_with_one_byte_changed_is_another_start_or_none(tmp_path: Path) -> None:
    given = of("alternatives", 100, 600)
    words, root = given.words(), given.state.root()
    header = 7 * 8 + 5 * 4 + 3 * 32
    values = header + len(given.pausable)
    kinds = values + len(given.state.values)
    places = [8, 16, 30, 33, 48, 50, 60, 80, 120, 150, header + 9, values, kinds - 9, kinds - 1]
    places += [kinds, kinds + 1, kinds + 77, kinds + PAGE_BYTES]
    for place in places:
        changed = bytearray(words)
        changed[place] ^= 1
        assert start_of(bytes(changed), tmp_path) != root, place


def test_values_too_many_or_too_few_are_no_state(tmp_path: Path) -> None:
    given = of("recursion", 100, 600)
    state = given.state
    for values in (state.values + bytes(8), bytes(8) + state.values, state.values[8:]):
        header = msgspec.structs.replace(state.header, values_count=len(values) // 8)
        with pytest.raises(GaveUpError, match=str(NO_STATE)):
            taken(given.words(replace(state, header=header, values=values)), tmp_path)


def test_a_module_with_floats_or_one_that_cannot_pause_is_not_taken(tmp_path: Path) -> None:
    given = of("variables", 10, 10_000)
    with pytest.raises(GaveUpError, match=str(NOT_PROVABLE)):
        taken(given.words(), tmp_path)
    plain = make_pausable(runs(SHAPES["recursion"], FIELDS))
    assert isinstance(plain, Pausable)
    with pytest.raises(GaveUpError, match=str(NOT_VALID)):
        taken(replace(given, pausable=plain.prepared.module).words(), tmp_path)


def test_zero_pages_are_not_read(tmp_path: Path) -> None:
    given = pages()
    assert given.state.pages.count(ZERO_PAGE) == 6
    assert taken(given.words(), tmp_path).cycles < 1_500_000


def test_the_image_is_the_same_bytes_every_time_and_ends_below_its_stack(tmp_path: Path) -> None:
    pinned = Path(__file__).with_name("step.image.sha256").read_text().split()[0]
    assert sha256(image()) == pinned
    (headers,), (size, count) = (
        struct.unpack_from("<I", image(), 28),
        struct.unpack_from("<HH", image(), 42),
    )
    loaded = [struct.unpack_from("<8I", image(), headers + size * each) for each in range(count)]
    # 16 KiB below STACK_TOP of threaded.h are the stack's.
    assert max(at + memory for kind, _, at, _, _, memory, *_ in loaded if kind == 1) <= 0x20010200


def test_the_protocol_and_the_daemon_name_its_id(tmp_path: Path) -> None:
    place = tmp_path / "step.elf"
    place.write_bytes(image())
    told = subprocess.run(
        [str(program("ambient-verify")), "image", str(place)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout.strip() == STEP_IMAGE.hex()
    assert f"`{told.stdout.strip()}`" in (ROOT / "protocols" / "18-proofs.md").read_text("utf-8")
