"""Prepared modules answer like raw ones, construct by construct."""

import pytest

from ambientd.wasm.limits import PrepareLimits
from tests.wasm.running import Instance, module, prepared, valid

PROGRAMS: dict[str, tuple[str, list[tuple[int | float, ...]]]] = {
    "a loop": (
        """
        (param i32) (result i32) (local i32) (loop (local.set 1 (i32.add (local.get 1)
        (local.get 0))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1)
        """,
        [(1,), (10,), (1000,)],
    ),
    "recursion": (
        """
        (param i32) (result i32) (if (result i32) (i32.lt_u (local.get 0) (i32.const 2)) (then
        (local.get 0)) (else (i32.add (call 0 (i32.sub (local.get 0) (i32.const 1))) (call 0
        (i32.sub (local.get 0) (i32.const 2))))))
        """,
        [(0,), (1,), (15,)],
    ),
    "a branch table": (
        """
        (param i32) (result i32) (block (result i32) (block (block (block (br_table 0 1 2 1 2
        (local.get 0))) (return (i32.const 10))) (br 1 (i32.const 20))) (i32.const 30))
        """,
        [(0,), (1,), (2,), (3,), (4,), (-1,)],
    ),
    "a branch table to the function": (
        """
        (param i32) (result i32) (block (result i32) (br_table 1 0 1 (i32.const 5) (local.get
        0))) (drop) (i32.const 6)
        """,
        [(0,), (1,), (9,)],
    ),
    "a value carried out of the function": (
        """
        (param i32) (result i32) (drop (br_if 0 (i32.const 5) (local.get 0))) (i32.const 6)
        """,
        [(0,), (1,)],
    ),
    "several results": (
        """
        (param i32 i64) (result i64 i32 f64) (local.get 1) (i32.const 9) (block (param i64
        i32) (result i64 i32) (br_if 0 (local.get 0)) (drop) (i32.const 3)) (f64.const 2.5)
        """,
        [(0, 5), (1, 5)],
    ),
    "several results returned": (
        """
        (param i32) (result i32 i64) (if (local.get 0) (then (return (i32.const 1) (i64.const
        2)))) (br 0 (i32.const 3) (i64.const 4))
        """,
        [(0,), (1,)],
    ),
    "an indirect call": (
        """
        (param i32) (result i32) (call_indirect (type $u) (local.get 0) (local.get 0))
        """,
        [(1,), (0,), (2,), (50,)],
    ),
    "vectors": (
        """
        (param i32) (result i32) (v128.store (i32.const 16) (f32x4.mul (f32x4.splat
        (f32.convert_i32_s (local.get 0))) (v128.const f32x4 1 2 3 4))) (i32x4.extract_lane 3
        (v128.load (i32.const 16)))
        """,
        [(3,), (-7,)],
    ),
    "floats": (
        """
        (param f64) (result f64) (f64.store (i32.const 8) (f64.sqrt (local.get 0)))
        (f64.copysign (f64.load (i32.const 8)) (f64.const -1))
        """,
        [(2.0,), (1e300,)],
    ),
    "bulk memory": (
        """
        (param i32) (result i32) (memory.init 0 (i32.const 100) (i32.const 1) (i32.const 4))
        (memory.copy (i32.const 101) (i32.const 100) (local.get 0)) (memory.fill (i32.const
        200) (local.get 0) (i32.const 9)) (data.drop 0) (i32.load (i32.const 101))
        """,
        [(4,), (0,), (70000,)],
    ),
    "globals": (
        """
        (result i64) (global.set $w (i64.add (global.get $w) (i64.const 5))) (global.get $w)
        """,
        [(), ()],
    ),
    "tables": (
        """
        (param i32) (result i32) (table.set (i32.const 5) (ref.func $inc)) (drop (table.grow
        (ref.null func) (local.get 0))) (i32.add (table.size) (ref.is_null (select (result
        funcref) (table.get (i32.const 5)) (ref.null func) (local.get 0))))
        """,
        [(0,), (3,)],
    ),
    "memory growth": (
        """
        (param i32) (result i32) (drop (memory.grow (local.get 0))) (memory.size)
        """,
        [(0,), (3,)],
    ),
    "division by zero": (
        """
        (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0))
        """,
        [(0,), (1,)],
    ),
    "code that cannot be reached": (
        """
        (param i32) (result i32) (block (br 0) (drop (i32.add)) (loop (br_if 0 (i32.const 0)))
        (memory.fill) (f32.store) (drop (memory.grow)) (call $inc) (drop)) (unreachable)
        """,
        [(1,)],
    ),
    "nested loops left at once": (
        """
        (param i32) (result i32) (loop (loop (loop (br_if 3 (i32.const 7) (local.get 0))
        (drop)))) (i32.const 8)
        """,
        [(0,), (1,)],
    ),
}
AROUND = """
  (type $u (func (param i32) (result i32)))
  (table 8 100 funcref) (elem (i32.const 1) $inc $run2)
  (elem declare func $inc)
  (global $w (mut i64) (i64.const 37))
  (func $inc (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $run2 (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (data "\\01\\02\\03\\04\\05\\06\\07")
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_prepared_module_answers_like_the_raw_one(name: str) -> None:
    function, calls = PROGRAMS[name]
    source = module(f'(func (export "f") {function}) {AROUND}')
    assert valid(source)
    rewritten = prepared(source)
    assert valid(rewritten)
    assert prepared(source) == rewritten
    for call in calls:
        raw, paid = Instance(source), Instance(rewritten)
        seen = paid.call("f", *call)
        assert seen == raw.call("f", *call)
        if seen.trap is None:
            assert paid.paid().depth == 0


def test_memory_without_a_maximum_stops_at_the_limit() -> None:
    source = module('(func (export "f") (param i32) (result i32) (memory.grow (local.get 0)))')
    instance = Instance(prepared(source, PrepareLimits(memory_pages_max=3)))
    assert instance.call("f", 3).value == "-1"
    assert instance.call("f", 2).value == "1"
    assert instance.call("f", 1).value == "-1"


def test_a_table_without_a_maximum_stops_at_the_limit() -> None:
    fields = "(table 1 funcref)"
    function = "(param i32) (result i32) (table.grow (ref.null func) (local.get 0))"
    source = module(f'{fields} (func (export "f") {function})')
    instance = Instance(prepared(source, PrepareLimits(table_elements_max=2)))
    assert instance.call("f", 2).value == "-1"
    assert instance.call("f", 1).value == "1"


def test_a_branch_table_with_hundreds_of_targets_works() -> None:
    targets = " ".join(str(index % 2) for index in range(300))
    source = module(
        '(func (export "f") (param i32) (result i32) (block (block (br_table '
        f"{targets} 0 (local.get 0))) (return (i32.const 1))) (i32.const 2))"
    )
    raw, paid = Instance(source), Instance(prepared(source))
    for argument in (0, 1, 298, 299, 300, 5000):
        assert raw.call("f", argument) == paid.call("f", argument)


@pytest.mark.parametrize("count", [0, 58, 62, 63, 64, 126, 127, 8_190, 8_200])
def test_results_get_a_block_type_however_many_types_there_are(count: int) -> None:
    kinds = ("i32", "i64", "f32", "f64")
    types = "".join(
        f"(type (func (param {' '.join(kinds[number >> shift & 3] for shift in range(0, 14, 2))})))"
        for number in range(count)
    )
    source = module(
        f'{types} (func (export "f") (param i32) (result i32 i64)'
        " (if (local.get 0) (then (return (i32.const 1) (i64.const 2)))) (i32.const 3)"
        ' (i64.const 4)) (func (export "g") (result i64 i64 i64) (i64.const 1) (i64.const 2)'
        " (br 0 (i64.const 3)))"
    )
    rewritten = prepared(source)
    assert valid(rewritten)
    for argument in (0, 1):
        assert Instance(rewritten).call("f", argument) == Instance(source).call("f", argument)
    assert Instance(rewritten).call("g") == Instance(source).call("g")


NANS = [
    "(i32.reinterpret_f32 (f32.reinterpret_i32 (i32.const 0xffc12345)))",
    "(i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (i32.const 0x7fc00001)) (f32.const 1)))",
    "(i32.reinterpret_f32 (f32.neg (f32.div (f32.const 0) (f32.const 0))))",
    "(i32.reinterpret_f32 (f32.demote_f64 (f64.sqrt (f64.const -1))))",
    "(f32.store (i32.const 0) (f32.sqrt (f32.const -1))) (i32.load (i32.const 0))",
    "(f64.store (i32.const 0) (f64.sqrt (f64.const -1))) (i32.sub (i32.load (i32.const 4))"
    " (i32.const 0x380000))",
    "(i32.wrap_i64 (i64.shr_u (i64.sub (i64.reinterpret_f64 (f64.promote_f32 (f32.const nan)))"
    " (i64.const 0x0038000000000000)) (i64.const 32)))",
    "(i32x4.extract_lane 1 (f32x4.replace_lane 1 (v128.const i64x2 0 0) (f32.const -nan:0x123)))",
    "(i32x4.extract_lane 2 (f32x4.splat (f32.const -nan:0x123)))",
]
NAN_LANES = [
    "(i32x4.extract_lane 1 (f32x4.div (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
    "(i32x4.extract_lane 0 (f32x4.ceil (f32x4.splat (f32.const nan:0x123))))",
    "(i32x4.extract_lane 0 (f32x4.add (f32x4.ceil (f32x4.splat (f32.const nan:0x123)))"
    " (v128.const i64x2 0 0)))",
    "(i32x4.extract_lane 0 (f32x4.demote_f64x2_zero (f64x2.splat (f64.const -nan:0x123))))",
    "(i32x4.extract_lane 0 (f32x4.demote_f64x2_zero (f64x2.sqrt (f64x2.splat (f64.const -1)))))",
    "(i32x4.extract_lane 0 (f32x4.demote_f64x2_zero (f32x4.sqrt (f32x4.splat (f32.const -1)))))",
    "(i32x4.extract_lane 2 (f64x2.promote_low_f32x4 (f32x4.sqrt (f32x4.splat (f32.const -1)))))",
]


@pytest.mark.parametrize("expression", NANS)
def test_wherever_the_bits_of_a_nan_show_they_are_canonical(expression: str) -> None:
    source = module(f'(func (export "f") (result i32) {expression})')
    assert Instance(prepared(source)).call("f").value == str(0x7FC00000)


@pytest.mark.parametrize("expression", NAN_LANES)
def test_a_lane_that_arithmetic_made_a_nan_is_all_ones(expression: str) -> None:
    source = module(f'(func (export "f") (result i32) {expression})')
    assert Instance(prepared(source)).call("f").value == "-1"


def test_the_sign_of_a_nan_is_not_copied() -> None:
    nan = "(f64.neg (f64.sqrt (f64.const -1)))"
    for source in (nan, "(f64.sqrt (f64.const -1))"):
        text = f'(func (export "f") (result f64) (f64.copysign (f64.const 3) {source}))'
        assert Instance(prepared(module(text))).call("f").value == "3.0"


@pytest.mark.parametrize(
    ("operation", "bits"),
    [("f64x2.nearest", 64), ("f64x2.sqrt", 64), ("f32x4.sqrt", 32), ("f64x2.trunc", 64)],
)
def test_a_nan_lane_is_canonical_after_a_vector_operation(operation: str, bits: int) -> None:
    lane = "i64x2" if bits == 64 else "i32x4"
    shape = "i64x2 0xfff8000000000001 1" if bits == 64 else "i32x4 0xffc00001 1 2 3"
    wrap = "i32.wrap_i64 (i64.shr_u" if bits == 64 else "i32.add ("
    value = f"({lane}.extract_lane 0 ({operation} (v128.const {shape})))"
    if bits == 64:
        value = f"({wrap} {value} (i64.const 32)))"
    source = module(f'(func (export "f") (result i32) {value})')
    assert Instance(prepared(source)).call("f").value == "-1"
