"""What could make engines differ, hazard by hazard, on every engine installed here."""

import pytest

from ambientd.adapters.engines import installed
from ambientd.model.execution import OutcomeKind, TrapReason
from ambientd.ports.engine import ModuleInvalidError
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Prepared, Refused, prepare
from tests.wasm.everywhere import (
    GAS,
    assembled,
    assembled_command,
    compiled,
    engine,
    number,
    outcome,
    shown,
)

LIMITS = PrepareLimits()
NAN32, NAN64 = 0x7FC00000, 0x7FF8000000000000
# NaNs that hardware and engines pass on with other bits: negative, with payload, signalling.
STRANGE32 = ("-nan", "nan:0x1", "-nan:0x3fffff", "nan:0x600000")
STRANGE64 = ("-nan", "nan:0x1", "-nan:0x7ffffffffffff", "nan:0xc000000000000")


def body(code: str, around: str = "", variables: str = "") -> str:
    return f"{around} (func $body {variables} {code})"


def ended(fields: str, memory: str = '(memory (export "memory") 1)', **limits: int) -> str:
    """Say how it ended, in a word, and see that whatever trapped costs everything."""
    result = outcome(assembled(fields, memory=memory), **limits)
    if result.kind is OutcomeKind.COMPLETED:
        return "completed"
    assert result.gas == limits.get("gas_max", GAS)
    return result.reason or result.kind.name.lower()


# NaN bits


@pytest.mark.parametrize("nan", STRANGE32)
def test_f32_nans_are_canonical_in_the_memory(nan: str) -> None:
    code = f"""
      (f32.store (i32.const 0) (f32.const {nan}))
      (f32.store (i32.const 4) (f32.add (f32.const {nan}) (f32.const 1)))
      (i32.store (i32.const 64) (i32.const 0x7f800001))
      (f32.store (i32.const 8) (f32.load (i32.const 64)))
      (f32.store (i32.const 12) (f32.sqrt (f32.const -1)))
      (f32.store (i32.const 16) (f32.neg (f32.const {nan})))
      (f32.store (i32.const 20) (f32.demote_f64 (f64.const {nan.replace("0x3fffff", "0x7")})))
    """
    output = shown(body(code))
    assert [number(output, at) for at in range(0, 24, 4)] == [NAN32] * 6


@pytest.mark.parametrize("nan", STRANGE64)
def test_f64_nans_are_canonical_in_the_memory(nan: str) -> None:
    code = f"""
      (f64.store (i32.const 0) (f64.const {nan}))
      (f64.store (i32.const 8) (f64.mul (f64.const {nan}) (f64.const 0)))
      (f64.store (i32.const 16) (f64.min (f64.const {nan}) (f64.const nan:0x7)))
      (f64.store (i32.const 24) (f64.div (f64.const 0) (f64.const 0)))
      (f64.store (i32.const 32) (f64.promote_f32 (f32.const -nan:0x7)))
    """
    output = shown(body(code))
    assert [number(output, at, 8) for at in range(0, 40, 8)] == [NAN64] * 5


def test_nans_are_canonical_when_their_bits_are_asked_for() -> None:
    code = """
      (i32.store (i32.const 0) (i32.reinterpret_f32 (f32.sub (f32.const inf) (f32.const inf))))
      (i64.store (i32.const 8) (i64.reinterpret_f64 (f64.const -nan:0x123)))
      (f32.store (i32.const 16) (f32.copysign (f32.const 1) (f32.const -nan)))
      (f64.store (i32.const 24) (f64.copysign (f64.const 1) (f64.const -nan)))
    """
    output = shown(body(code))
    assert number(output) == NAN32
    assert number(output, 8, 8) == NAN64
    assert number(output, 16) == 0x3F800000
    assert number(output, 24, 8) == 0x3FF0000000000000


@pytest.mark.parametrize(
    "code",
    [
        "(f32x4.add (v128.const i32x4 -1 0x7f800001 0xffc00000 -1) (f32x4.splat (f32.const 1)))",
        "(f32x4.div (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0))",
        "(f32x4.min (v128.const i32x4 -1 -1 -1 -1) (v128.const i32x4 0x7f800001 0 0 0))",
        "(f32x4.pmax (v128.const i32x4 -1 -1 -1 -1) (v128.const i32x4 0 0 0 0))",
        "(f32x4.sqrt (v128.const f32x4 -1 -2 -3 -nan))",
        "(f32x4.ceil (v128.const i32x4 0x7f800001 -1 0xff800001 0x7fffffff))",
    ],
)
def test_nan_lanes_that_f32x4_arithmetic_makes_are_all_ones(code: str) -> None:
    output = shown(body(f"(v128.store (i32.const 0) {code})"))
    assert output[:16] == b"\xff" * 16


@pytest.mark.parametrize(
    "code",
    [
        "(f32x4.splat (f32.const -nan:0x5))",
        "(f32x4.replace_lane 2 (f32x4.splat (f32.const nan)) (f32.const -nan:0x5))",
    ],
)
def test_f32_nans_put_into_lanes_are_canonical(code: str) -> None:
    output = shown(body(f"(v128.store (i32.const 0) {code})"))
    assert [number(output, at) for at in range(0, 16, 4)] == [NAN32] * 4


@pytest.mark.parametrize(
    "code",
    [
        "(f64x2.mul (v128.const i64x2 -1 0x7ff0000000000001) (f64x2.splat (f64.const 1)))",
        "(f64x2.promote_low_f32x4 (v128.const i32x4 -1 0x7f800001 0 0))",
        "(f64x2.nearest (v128.const i64x2 -1 0xfff0000000000001))",
    ],
)
def test_nan_lanes_that_f64x2_arithmetic_makes_are_all_ones(code: str) -> None:
    output = shown(body(f"(v128.store (i32.const 0) {code})"))
    assert output[:16] == b"\xff" * 16


@pytest.mark.parametrize(
    "code",
    [
        "(f64x2.splat (f64.const -nan:0x5))",
        "(f64x2.replace_lane 1 (f64x2.splat (f64.const nan)) (f64.const -nan:0x5))",
    ],
)
def test_f64_nans_put_into_lanes_are_canonical(code: str) -> None:
    output = shown(body(f"(v128.store (i32.const 0) {code})"))
    assert [number(output, at, 8) for at in (0, 8)] == [NAN64] * 2


def test_nans_are_canonical_by_way_of_globals_tables_and_calls() -> None:
    around = """
      (global $f (mut f32) (f32.const -nan:0x7)) (global $d (mut f64) (f64.const 0))
      (global $v (mut v128) (v128.const i32x4 0 0 0 0))
      (table funcref (elem $same $half))
      (func $same (param f32 f64) (result f32 f64) (local.get 0) (local.get 1))
      (func $half (param f64) (result f64) (f64.mul (local.get 0) (f64.const 0.5)))
    """
    code = """
      (f32.store (i32.const 0) (global.get $f))
      (global.set $d (f64.sqrt (f64.const -1)))
      (f64.store (i32.const 8) (global.get $d))
      (f64.store (i32.const 16)
        (call_indirect (param f64) (result f64) (global.get $d) (i32.const 1)))
      (call_indirect (param f32 f64) (result f32 f64)
        (global.get $f) (f64.const -nan) (i32.const 0))
      (local.set $d) (local.set $f)
      (f32.store (i32.const 24) (select (local.get $f) (f32.const 1) (i32.const 1)))
      (f64.store (i32.const 32) (local.get $d))
      (global.set $v (f32x4.mul (v128.const i32x4 -1 -1 -1 -1) (f32x4.splat (global.get $f))))
      (v128.store (i32.const 48) (global.get $v))
    """
    output = shown(body(code, around, "(local $f f32) (local $d f64)"))
    assert [number(output, at) for at in (0, 24)] == [NAN32] * 2
    assert output[48:64] == b"\xff" * 16
    assert [number(output, at, 8) for at in (8, 16, 32)] == [NAN64] * 3


def test_nans_are_canonical_in_what_the_host_is_given() -> None:
    wasi = "wasi_snapshot_preview1"
    result = outcome(
        assembled_command(
            f"""
            (import "{wasi}" "fd_write"
              (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start")
              (i64.store (i32.const 100) (i64.const {12 << 32}))
              (f32.store (i32.const 0) (f32.div (f32.const 0) (f32.const 0)))
              (f64.store (i32.const 4) (f64.const -nan:0x5))
              (drop (call $fd_write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 200))))
            """
        )
    )
    assert result.output == NAN32.to_bytes(4, "little") + NAN64.to_bytes(8, "little")


# Stack depth


def recursion(locals_: str = "", params: str = "", arguments: str = "") -> str:
    """A function that calls itself as often as the first number in the memory says."""
    return body(
        "(i32.store (i32.const 0) (i32.load (i32.const 4096))) (call $down "
        + "(i32.const 0) " * params.count("i32")
        + ")",
        f"""
        (func $down (param {params}) (local {locals_})
          (if (i32.load (i32.const 0)) (then
            (i32.store (i32.const 0) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))
            (call $down {arguments}))))
        """,
    )


@pytest.mark.parametrize(
    ("locals_", "params"),
    [("", ""), ("i64 " * 500, ""), ("v128 " * 2000, ""), ("", "i32 " * 255), ("f64 " * 9000, "")],
    ids=["small", "500 locals", "2000 vectors", "255 parameters", "9000 locals"],
)
def test_the_depth_limit_is_reached_at_the_same_call_everywhere(locals_: str, params: str) -> None:
    arguments = " ".join(f"(local.get {index})" for index in range(params.count("i32")))
    module = assembled(recursion(locals_, params, arguments))
    fits, too_deep = 0, 10_000
    while too_deep - fits > 1:
        depth = (fits + too_deep) // 2
        result = outcome(module, depth.to_bytes(4, "little"))
        if result.kind is OutcomeKind.COMPLETED:
            fits = depth
        else:
            assert (result.reason, result.gas) == (TrapReason.CALL_DEPTH, GAS)
            too_deep = depth
    assert fits > 1


def test_recursion_without_end_is_a_call_depth_trap_or_runs_out_of_gas() -> None:
    endless = body("(call $body)")
    assert ended(endless) == TrapReason.CALL_DEPTH
    assert ended(endless, gas_max=5_000) == "out_of_gas"


# Memory and tables that grow


def test_memory_that_cannot_grow_says_so_and_costs_the_same() -> None:
    code = """
      (i32.store (i32.const 0) (memory.grow (i32.const 1)))
      (i32.store (i32.const 4) (memory.grow (i32.const 2)))
      (i32.store (i32.const 8) (memory.grow (i32.const 65536)))
      (i32.store (i32.const 12) (memory.grow (i32.const -1)))
      (i32.store (i32.const 16) (memory.grow (i32.const 0)))
      (i32.store (i32.const 20) (memory.size))
    """
    bounded = assembled(body(code), memory='(memory (export "memory") 1 3)')
    price = 10**13
    result = outcome(bounded, gas_max=price)
    assert [number(result.output, at) for at in range(0, 24, 4)] == [1, 2**32 - 1, 2**32 - 1,
                                                                     2**32 - 1, 2, 2]  # fmt: skip
    unbounded = outcome(assembled(body(code)), gas_max=price, memory_bytes_max=2 << 16)
    assert unbounded.output[:24] == result.output[:24]
    assert unbounded.gas == result.gas > 1024 * (65536 + 2**32 - 1)


def test_memory_grown_to_its_limit_can_be_used_to_its_last_byte() -> None:
    code = """
      (drop (memory.grow (i32.const 3)))
      (i32.store8 (i32.const 262143) (i32.const 7))
      (i32.store8 (i32.const 0) (i32.load8_u (i32.const 262143)))
    """
    assert number(shown(body(code), memory_bytes_max=4 << 16), 0, 1) == 7
    beyond = body(code.replace("262143", "262144"))
    assert ended(beyond, memory_bytes_max=4 << 16) == TrapReason.MEMORY_OUT_OF_BOUNDS


def test_tables_grow_to_their_limit_and_no_further() -> None:
    around = "(table $a 2 5 funcref) (table $b 0 externref) (elem declare func $body)"
    largest = LIMITS.table_elements_max
    code = f"""
      (i32.store (i32.const 0) (table.grow $a (ref.func $body) (i32.const 3)))
      (i32.store (i32.const 4) (table.grow $a (ref.null func) (i32.const 1)))
      (i32.store (i32.const 8) (table.grow $b (ref.null extern) (i32.const {largest})))
      (i32.store (i32.const 12) (table.grow $b (ref.null extern) (i32.const 1)))
      (i32.store (i32.const 16) (table.grow $b (ref.null extern) (i32.const -1)))
      (i32.store (i32.const 20) (table.size $b))
      (i32.store (i32.const 24) (ref.is_null (table.get $a (i32.const 4))))
    """
    output = shown(body(code, around), gas_max=10**11)
    none = 2**32 - 1
    expected = [2, none, 0, none, none, largest, 0]
    assert [number(output, at) for at in range(0, 28, 4)] == expected


# Bulk operations at bounds


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("(memory.fill (i32.const 65536) (i32.const 1) (i32.const 0))", "completed"),
        ("(memory.fill (i32.const 65535) (i32.const 1) (i32.const 1))", "completed"),
        ("(memory.fill (i32.const 65537) (i32.const 1) (i32.const 0))", "memory_out_of_bounds"),
        ("(memory.fill (i32.const -1) (i32.const 1) (i32.const 2))", "memory_out_of_bounds"),
        ("(memory.fill (i32.const 65535) (i32.const 1) (i32.const 2))", "memory_out_of_bounds"),
        ("(memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))", "completed"),
        ("(memory.copy (i32.const 0) (i32.const 1) (i32.const 65536))", "memory_out_of_bounds"),
        ("(memory.copy (i32.const 1) (i32.const 0) (i32.const 65535))", "completed"),
        ("(memory.copy (i32.const 0) (i32.const 65537) (i32.const 0))", "memory_out_of_bounds"),
        ("(memory.init $d (i32.const 0) (i32.const 4) (i32.const 0))", "completed"),
        ("(memory.init $d (i32.const 0) (i32.const 5) (i32.const 0))", "memory_out_of_bounds"),
        ("(memory.init $d (i32.const 65533) (i32.const 0) (i32.const 4))", "memory_out_of_bounds"),
        ("(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))",
         "memory_out_of_bounds"),
        ("(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))", "completed"),
        ("(table.fill $t (i32.const 3) (ref.null func) (i32.const 0))", "completed"),
        ("(table.fill $t (i32.const 2) (ref.null func) (i32.const 2))", "table_out_of_bounds"),
        ("(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 2))", "completed"),
        ("(table.copy $t $t (i32.const 0) (i32.const 4) (i32.const 0))", "table_out_of_bounds"),
        ("(table.init $t $e (i32.const 2) (i32.const 0) (i32.const 1))", "completed"),
        ("(table.init $t $e (i32.const 2) (i32.const 0) (i32.const 2))", "table_out_of_bounds"),
        ("(elem.drop $e) (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1))",
         "table_out_of_bounds"),
        ("(drop (table.get $t (i32.const 3)))", "table_out_of_bounds"),
        ("(table.set $t (i32.const -1) (ref.null func))", "table_out_of_bounds"),
    ],
)  # fmt: skip
def test_bulk_operations_end_alike_at_their_bounds(code: str, how: str) -> None:
    around = '(data $d "abcd") (table $t 3 funcref) (elem $e func $body $body)'
    assert ended(body(code, around)) == how


def test_overlapping_copies_and_fills_of_any_byte_write_the_same() -> None:
    code = """
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 8))
      (memory.copy (i32.const 3) (i32.const 0) (i32.const 8))
      (memory.copy (i32.const 20) (i32.const 21) (i32.const 9))
      (memory.fill (i32.const 40) (i32.const 0x1ff) (i32.const 3))
    """
    output = shown(body(code, '(data $d "abcdefgh")'))
    assert output[:12] == b"abcabcdefgh\0"
    assert output[40:44] == b"\xff\xff\xff\0"


@pytest.mark.parametrize("offset", ["65535", "0x7fffffff", "0xfffffff0", "0xffffffff"])
@pytest.mark.parametrize("access", ["v128.store8_lane", "v128.store16_lane", "v128.store64_lane",
                                    "v128.load8_lane", "v128.load64_lane"])  # fmt: skip
def test_large_offsets_of_lane_accesses_are_out_of_bounds(access: str, offset: str) -> None:
    # The vector is no constant: wasmi wrote far outside the memory there, built without memory64.
    code = f"({access} offset={offset} 1 (i32.const 8) (global.get $v))"
    if "load" in access:
        code = f"(drop {code})"
    around = "(global $v (mut v128) (v128.const i64x2 1 2))"
    assert ended(body(code, around)) == TrapReason.MEMORY_OUT_OF_BOUNDS


# Traps


TRAPS = {
    "unreachable": "(unreachable)",
    "memory_out_of_bounds": "(drop (i64.load offset=65529 (i32.const 0)))",
    "indirect_call_to_null": "(call_indirect (i32.const 1))",
    "indirect_call_type_mismatch": "(call_indirect (param i32) (i32.const 5) (i32.const 0))",
    "table_out_of_bounds": "(call_indirect (i32.const 2))",
    "integer_divide_by_zero": "(drop (i32.rem_u (i32.const 1) (i32.load (i32.const 0))))",
    "integer_overflow": "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1)))",
    "bad_conversion_to_integer": "(drop (i32.trunc_f32_s (f32.const nan)))",
}


@pytest.mark.parametrize("reason", TRAPS)
def test_a_trap_in_the_middle_of_a_block_costs_the_limit_whatever_was_left(reason: str) -> None:
    code = f"""
      (block (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (if (i32.eq (local.get $i) (i32.const 9)) (then (i32.store8 (i32.const 9) (i32.const 1))
          {TRAPS[reason]} (i32.store8 (i32.const 10) (i32.const 1))))
        (br_if 0 (i32.lt_u (local.get $i) (i32.const 50)))))
    """
    around = "(table 2 funcref) (elem (i32.const 0) $none) (func $none)"
    module = assembled(body(code, around, "(local $i i32)"))
    result = outcome(module)
    assert (result.kind, result.reason, result.gas) == (OutcomeKind.TRAPPED, reason, GAS)
    # Where gas ends before the trap does not depend on the engine either.
    kinds = [outcome(module, gas_max=gas).kind for gas in range(40, 200, 3)]
    assert kinds == sorted(kinds, key=lambda kind: kind is OutcomeKind.TRAPPED)
    assert {*kinds} == {OutcomeKind.OUT_OF_GAS, OutcomeKind.TRAPPED}


def test_conversions_overflow_and_refuse_nans_under_the_same_name() -> None:
    for source, reason in (
        ("(i32.trunc_f64_u (f64.const 4294967296))", "integer_overflow"),
        ("(i32.trunc_f64_u (f64.const -1))", "integer_overflow"),
        ("(i64.trunc_f32_s (f32.const inf))", "integer_overflow"),
        ("(i64.trunc_f64_s (f64.const -nan))", "bad_conversion_to_integer"),
    ):
        assert ended(body(f"(drop {source})")) == reason


# Start functions


def test_a_start_function_runs_first_and_on_the_same_gas() -> None:
    fields = body("(i32.store8 (i32.const 1) (i32.load8_u (i32.const 0)))")
    started = fields + "(func $go (i32.store8 (i32.const 0) (i32.const 5))) (start $go)"
    with_start, without = outcome(assembled(started)), outcome(assembled(fields))
    assert with_start.output[:2] == b"\x05\x05"
    assert with_start.gas > without.gas
    exact = outcome(assembled(started), gas_max=with_start.gas)
    assert exact == with_start
    assert ended(started, gas_max=with_start.gas - 1) == "out_of_gas"


def test_a_start_function_can_trap_and_run_out_of_gas() -> None:
    fields = body("")
    assert ended(fields + "(func $go (unreachable)) (start $go)") == "unreachable"
    endless = fields + "(func $go (loop (br 0))) (start $go)"
    assert ended(endless, gas_max=10**6) == "out_of_gas"
    assert ended(fields + "(func $go (call $go)) (start $go)") == TrapReason.CALL_DEPTH


# Large shapes


@pytest.mark.slow
def test_a_branch_table_of_the_largest_size_works_everywhere() -> None:
    most = LIMITS.branch_targets_max
    targets = " ".join(str(index % 3) for index in range(most))
    code = f"""
      (block (block (block (br_table {targets} 2 (i32.load (i32.const 4096))))
        (i32.store (i32.const 0) (i32.const 10)) (return))
        (i32.store (i32.const 0) (i32.const 11)) (return))
      (i32.store (i32.const 0) (i32.const 12))
    """
    module = assembled(body(code))
    for index in (0, 1, 2, most - 1, most, 2**32 - 1):
        result = outcome(module, index.to_bytes(4, "little"))
        assert number(result.output) == 10 + (index % 3 if index < most else 2)
    refused = prepare(assembled(body(code.replace("(br_table ", "(br_table 0 "))))
    assert isinstance(refused, Refused)


def test_locals_up_to_the_limit_are_accepted_everywhere_and_50_000_nowhere() -> None:
    for kind in ("i32", "v128"):
        most = LIMITS.locals_max
        locals_ = f"(local {f'{kind} ' * most})"
        last = f"(drop (local.tee {most - 1} (local.get 0)))"
        assert ended(body(last, variables=locals_)) == "completed"
    refused = prepare(assembled(body("", variables=f"(local {'i64 ' * 50_000})")))
    assert isinstance(refused, Refused)
    assert "50000" in refused.reason.replace(",", "").replace(" ", "")


@pytest.mark.parametrize("kind", ["i32", "v128"])
def test_operands_up_to_the_limit_run_everywhere_and_one_more_nowhere(kind: str) -> None:
    value = "(v128.const i64x2 0 0)" if kind == "v128" else "(i32.const 0)"

    def pushing(count: int) -> str:
        most = f"(local {f'{kind} ' * LIMITS.locals_max})"
        return body(f"{value} " * count + "drop " * count, variables=most)

    # the frame of the test's own code takes some of them
    assert ended(pushing(LIMITS.operands_max - 8)) == "completed"
    refusal = prepare(assembled(pushing(LIMITS.operands_max + 1)))
    assert isinstance(refusal, Refused)
    assert "operands" in refusal.reason


@pytest.mark.slow
@pytest.mark.parametrize("opening", ["block", "loop", "if"])
def test_blocks_nest_to_the_limit_everywhere_and_no_deeper(opening: str) -> None:
    def nested(depth: int) -> str:
        one = "(i32.const 1) if " if opening == "if" else f"{opening} "
        return one * depth + "i32.const 0 i32.const 6 i32.store8 " + "end " * depth

    deepest = LIMITS.nesting_max
    assert shown(body(nested(deepest).replace("(i32.const 1)", "i32.const 1")))[:1] == b"\x06"
    refused = prepare(assembled(body(nested(deepest + 1).replace("(i32.const 1)", "i32.const 1"))))
    assert isinstance(refused, Refused)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        f"(func $f (param {'i64 ' * 255}) (result {'v128 ' * 255}) (unreachable))",
        "\n".join(
            f"(type (func (param {'i32 ' * (n % 200)}) (result i32)))" for n in range(16_000)
        ),
        f"(table {PrepareLimits().table_elements_max} funcref)",
        "(table 1 funcref)" * 8,
        "(global (mut i64) (i64.const 5))" * 16_384,
        '(data "x")' * 10_000,
        "(elem func $body)" * 10_000,
        "(func (result i32) (i32.const 1))" * 20_000,
    ],
    ids=["signature", "types", "table", "tables", "globals", "data", "elements", "functions"],
)
def test_no_engine_refuses_alone_what_preparing_lets_through(fields: str) -> None:
    compiled(assembled(body("") + fields))


# Segments


@pytest.mark.parametrize(
    ("segment", "how"),
    [
        ('(data (i32.const 65533) "abcd")', "memory_out_of_bounds"),
        ('(data (i32.const 65532) "abcd")', "completed"),
        ('(data (i32.const 65537) "")', "memory_out_of_bounds"),
        ('(data (i32.const 65536) "")', "completed"),
        ('(data (i32.const -1) "a")', "memory_out_of_bounds"),
        ("(table 2 funcref) (elem (i32.const 1) $body $body)", "table_out_of_bounds"),
        ("(table 2 funcref) (elem (i32.const 3) func)", "table_out_of_bounds"),
        ("(table 2 funcref) (elem (i32.const -1) $body)", "table_out_of_bounds"),
        ('(table 0 funcref) (elem (i32.const 0) $body) (data (i32.const -1) "a")',
         "table_out_of_bounds"),
        ('(data (i32.const 0) "a") (data (i32.const 65536) "b")', "memory_out_of_bounds"),
    ],
)  # fmt: skip
def test_segments_out_of_bounds_end_the_execution_before_it_starts(segment: str, how: str) -> None:
    assert ended(body("") + segment) == how


# Names


def test_exports_that_clash_with_our_own_names_are_refused() -> None:
    for name in ("__ambient_gas", "__ambient_depth", "__ambient_start", "__ambient_"):
        for what in ("(func (export {}))", "(global (export {}) (mut i64) (i64.const 1))"):
            outcome_ = prepare(assembled(body("") + what.format(f'"{name}"')))
            assert isinstance(outcome_, Refused)
            assert name in outcome_.reason


@pytest.mark.parametrize(
    "name", ["__ambientgas", "__AMBIENT_gas", "\\00__ambient_gas", "", "\\e2\\80\\ae", "run\\00"]
)
def test_names_that_only_look_like_ours_are_any_names(name: str) -> None:
    fields = f'(global (export "{name}") (mut i64) (i64.const 1))'
    assert ended(body("") + fields) == "completed"


def test_exports_of_any_type_are_let_be() -> None:
    fields = """
      (func (export "vector") (param v128) (result v128) (local.get 0))
      (func (export "reference") (param funcref externref) (result funcref) (local.get 0))
      (global (export "lanes") (mut v128) (v128.const i64x2 0 0))
      (global (export "foreign") externref (ref.null extern))
      (table (export "functions") 1 funcref) (table (export "others") 1 externref)
      (func (export "_start") (param v128))
    """
    assert ended(body("") + fields) == "completed"


def test_an_export_given_twice_is_accepted_by_no_engine() -> None:
    module = assembled(body("") + '(func (export "aaaa")) (func (export "aaab"))')
    twice = module.replace(b"aaab", b"aaaa")
    outcome_ = prepare(twice)
    if isinstance(outcome_, Prepared):
        for name in installed():
            with pytest.raises(ModuleInvalidError):
                engine(name).compile(outcome_.module)
