"""What is refused, and that the sentence says where, what and what to do."""

import pytest

from ambientd.wasm.interface import Interface
from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.names import name_of
from ambientd.wasm.opcodes import OPCODES
from ambientd.wasm.prepare import Prepared, Refused, prepare
from tests.wasm.running import ABI, module, prepared, valid

MAGIC = b"\0asm\x01\0\0\0"


def section(number: int, content: bytes) -> bytes:
    return bytes((number,)) + encode_unsigned(len(content)) + content


def raw(
    code: bytes,
    *,
    before: bytes = b"",
    after: bytes = b"",
    types: bytes = b"",
    locals_: bytes = b"\0",
    global_section: bytes = b"",
) -> bytes:
    """A module by hand: `run` and `alloc` do nothing, function 2 is () -> () with `code`."""
    signatures = [b"\x60\x02\x7f\x7f\x01\x7e", b"\x60\x01\x7f\x01\x7f", b"\x60\0\0"]
    bodies = [b"\0\x42\0\x0b", b"\0\x41\0\x0b", locals_ + code]
    exports = [b"\x03run\0\0", b"\x05alloc\0\x01", b"\x06memory\x02\0"]
    return (
        MAGIC
        + section(1, bytes((len(signatures),)) + b"".join(signatures) + types)
        + before
        + section(3, b"\x03\0\x01\x02")
        + section(5, b"\x01\0\x01")
        + global_section
        + section(7, bytes((len(exports),)) + b"".join(exports))
        + after
        + section(10, b"\x03" + b"".join(encode_unsigned(len(b)) + b for b in bodies))
    )


def reason(source: bytes, limits: PrepareLimits | None = None) -> str:
    outcome = prepare(source, limits or PrepareLimits())
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_the_module_by_hand_is_prepared() -> None:
    assert valid(raw(b"\x0b"))
    assert valid(prepared(raw(b"\x0b")))


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (b"\x12\0\x0b", "opcode 0x12 (tail calls)"),
        (b"\x06\x40\x0b\x0b", "opcode 0x06 (exceptions)"),
        (b"\xfe\x03\0\x0b", "opcode 0xfe 0x03 (threads)"),
        (b"\xfb\0\0\x0b", "opcode 0xfb 0x00 (garbage collection)"),
        (b"\xfd\x80\x02\x0b", "opcode 0xfd 0x80 (relaxed SIMD)"),
        (b"\xfd\x9a\x01\x0b", "opcode 0xfd 0x9a is not allowed"),
        (b"\xfc\x88\0\0\0\x0b", "opcode 0xfc 0x88 is not allowed"),  # not in its shortest form
        (b"\xff\x0b", "opcode 0xff"),
        (b"\x41", "i32.const is not followed"),
        (b"\x28\x42\0\0\x0b", "i32.load is not followed"),  # an alignment that names a memory
        (b"\x3f\x01\x0b", "memory.size is not followed"),
        (b"\xfc\x0a\x01\0\x0b", "memory.copy is not followed"),  # copies from another memory
        (b"\x1c\x02\x7f\x7f\x0b", "select_t is not followed"),
        (b"\x23\0\x0b", "global 0 does not exist"),  # would be the gas
        (b"\x41\0\x24\x01\x0b", "global 1 does not exist"),  # would be the depth
        (b"\x20\0\x0b", "local 0 does not exist"),  # would be the gas
        (b"\x41\0\x21\x01\x0b", "local 1 does not exist"),
        (b"\x0c\x01\x0b", "label 1, which does not exist"),  # would skip the settlement
        (b"\x41\0\x0d\x02\x0b", "label 2, which does not exist"),
        (b"\x41\0\x0e\x01\0\x01\x0b", "label 1, which does not exist"),
        (b"\x02\x40\x0c\x02\x0b\x0b", "label 2, which does not exist"),
        (b"\x10\x03\x0b", "function 3 does not exist"),
        (b"\x41\0\x11\x03\0\x0b", "type 3 does not exist"),
        (b"\x02\x03\x0b\x0b", "type 3 does not exist"),
        (b"\x02\x40\x0b", "does not end with its last block"),
        (b"\x0b\x0b", "code follows the end"),
        (b"\x0b\x01\x0b", "code follows the end"),
        (b"\x0b\x01", "does not end with its last block"),
        (b"", "does not end with its last block"),
        (b"\x05\x0b", "else without an if"),
    ],
)
def test_an_instruction_that_is_not_allowed_is_named(code: bytes, problem: str) -> None:
    text = reason(raw(code))
    assert problem in text
    assert text.startswith("function 2, byte ")


def test_the_offset_points_at_the_instruction() -> None:
    for code, skip in ((b"\x01\x01\x23\0\x0b", 2), (b"\x01\x02\x40\x0c\x05\x0b\x0b", 3)):
        source = raw(code)
        place = source.rindex(code) + skip
        assert f"byte {place}:" in reason(source)


def test_no_opcode_outside_the_table_passes() -> None:
    plain = {code for code in OPCODES if code < 0x100}
    for code in range(0x100):
        if code not in plain and code not in (0xFC, 0xFD):
            assert "is not allowed" in reason(raw(bytes((code, 0, 0, 0, 0x0B))))
    for low in range(0x200):
        if 0xFD00 + low not in OPCODES:
            assert "is not allowed" in reason(raw(b"\xfd" + encode_unsigned(low) + b"\0\0\x0b"))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "not a WebAssembly 1 module"),
        (b"\0asm\x02\0\0\0", "not a WebAssembly 1 module"),
        (MAGIC, "fits no interface"),
        (MAGIC + b"\x01", "ends too early"),
        (MAGIC + b"\x01\x05\0", "a size reaches past"),
        (MAGIC + b"\x01\xff\xff\xff\xff\x1f", "does not fit 32 bits"),
        (MAGIC + b"\x01\x80\x80\x80\x80\x80\0", "does not fit 32 bits"),
        (MAGIC + section(13, b"\0"), "section 13 is not allowed"),
        (MAGIC + section(1, b"\0") * 2, "section 1 is repeated"),
        (MAGIC + section(3, b"\0") + section(1, b"\0"), "section 1 is repeated or out of order"),
        (MAGIC + section(1, b"\0\0"), "section 1 is longer"),
        (MAGIC + section(1, b"\x01\x5f\0"), "not a function type"),
        (MAGIC + section(1, b"\x01\x60\x01\x6e\0"), "a signature uses a type"),
        (MAGIC + section(0, b"\x01\xff"), "not UTF-8"),
        (MAGIC + section(2, b"\x01\x01e\x01m\x02\0\x01"), "'e' 'm' is a memory"),
        (MAGIC + section(2, b"\x01\x01e\x01g\x03\x7f\0"), "'e' 'g' is a global"),
        (MAGIC + section(2, b"\x01\x01e\x01t\x04\0\0"), "'e' 't' is kind 4"),
        (MAGIC + section(3, b"\x01\0"), "type 0 does not exist"),
        (MAGIC + section(1, b"\x01\x60\0\0") + section(3, b"\x01\0"), "and 0 have code"),
        (MAGIC + section(4, b"\x01\x6e\0\0"), "a table has a type"),
        (MAGIC + section(4, b"\x01\x70\x04\0"), "shared or 64-bit"),
        (MAGIC + section(4, b"\x01\x70\0\xff\xff\xff\x7f"), "a table starts with"),
        (MAGIC + section(5, b"\x02\0\0\0\0"), "2 memories, at most 1"),
        (MAGIC + section(5, b"\x01\x03\0\x01"), "shared or 64-bit"),
        (MAGIC + section(5, b"\x01\0\x81\x40"), "the memory starts with 8193 pages"),
        (MAGIC + section(5, b"\x01\x01\0\x81\x80\x04"), "cannot be addressed"),
        (MAGIC + section(6, b"\x01\x7f\x02\x41\0\x0b"), "a global has a type"),
        (MAGIC + section(6, b"\x01\x7f\0\x41\0\x41\0\x6a\x0b"), "not a single constant"),
        (MAGIC + section(6, b"\x01\x7f\0\x23\0\x0b"), "not a plain constant"),
        (MAGIC + section(6, b"\x01\x7f\0\x41\x80\x80\x80\x80\x80\0\x0b"), "too long"),
        (MAGIC + section(6, b"\x01\x7b\0\xfd\x0d" + bytes(16) + b"\x0b"), "not a plain constant"),
        (MAGIC + section(7, b"\x01\x01e\x04\0"), "an export is of kind 4"),
        (MAGIC + section(7, b"\x01\x01e\x03\0"), "an export names global 0"),
        (MAGIC + section(7, b"\x01\x01e\0\0"), "an export names function 0"),
        (MAGIC + section(8, b"\0"), "the start function"),
        (MAGIC + section(9, b"\x01\x08"), "an element segment has an unknown form"),
        (MAGIC + section(9, b"\x01\x01\x01\0"), "an element segment has a type"),
        (MAGIC + section(11, b"\x01\x03"), "a data segment has an unknown form"),
        (MAGIC + section(11, b"\x01\x02\x01"), "a data segment has an unknown form"),
        (MAGIC + section(11, b"\x01\x01\x09"), "ends too early"),
    ],
)
def test_a_malformed_section_is_refused_with_its_place(source: bytes, problem: str) -> None:
    assert problem in reason(source)


def test_every_form_of_segment_and_constant_passes() -> None:
    fields = """
      (table 9 funcref) (table 2 externref)
      (func $f (param i32))
      (elem (i32.const 0) $f $f) (elem func $f) (elem (table 0) (i32.const 1) func $f)
      (elem declare func $f) (elem funcref (ref.func $f) (ref.null func))
      (elem (table 1) (i32.const 0) externref (ref.null extern))
      (data (i32.const 3) "abc") (data "passive")
      (global i64 (i64.const -1)) (global f32 (f32.const 1)) (global f64 (f64.const 1))
      (global v128 (v128.const i64x2 1 2)) (global funcref (ref.func $f))
      (global externref (ref.null extern))
    """
    assert valid(prepared(module(fields)))
    indexed = raw(b"\x0b") + section(11, b"\x01\x02\0\x41\0\x0b\x01x")
    assert valid(prepared(indexed))


@pytest.mark.parametrize(
    ("limits", "fields", "problem"),
    [
        (PrepareLimits(module_bytes_max=40), "", "at most 40 are allowed"),
        (PrepareLimits(types_max=1), "", "types, at most 1"),
        (PrepareLimits(functions_max=1), "", "2 functions, at most 1"),
        (PrepareLimits(globals_max=0), "(global i32 (i32.const 0))", "1 globals, at most 0"),
        (PrepareLimits(exports_max=2), "", "3 exports, at most 2"),
        (PrepareLimits(tables_max=0), "(table 1 funcref)", "1 tables, at most 0"),
        (PrepareLimits(segments_max=0), '(data "x")', "1 data segments, at most 0"),
        (PrepareLimits(signature_values_max=1), "", "2 values in a signature, at most 1"),
        (PrepareLimits(name_bytes_max=5), "", "6 bytes in a name, at most 5"),
        (PrepareLimits(locals_max=3), "(func (local i32 i32 i32 i64))", "2 groups|4 locals"),
        (
            PrepareLimits(operands_max=1),
            "(func (drop (i32.eqz (i32.add (i32.const 1) (i32.const 2)))))",
            "2 operands on",
        ),
        (PrepareLimits(runs_max=3), "(func (block) (block) (block))", "4 branches and ends"),
        (
            PrepareLimits(locals_times_runs_max=8),
            "(func (local i32 i64 f32) (block) (block))",
            "9 locals times branches",
        ),
        (
            PrepareLimits(branch_table_values_max=7),
            "(func (br_table 0 0 (i32.const 0)))",
            "8 values to compare at br_tables",
        ),
        (PrepareLimits(nesting_max=2), "(func (block (block (block))))", "nested more than 2"),
        (PrepareLimits(body_bytes_max=1), "(func)", "bytes in a function, at most 1"),
        (PrepareLimits(prepared_body_bytes_max=60), "(func)", "the prepared function has"),
        (PrepareLimits(prepared_bytes_max=60), "(func)", "the prepared functions need"),
        (
            PrepareLimits(branch_targets_max=100),
            f"(func (br_table {'0 ' * 300} (i32.const 0)))",
            "a br_table has 299 targets",
        ),
        (
            PrepareLimits(table_elements_max=3),
            "(table 3 funcref) (func $f) (elem func $f $f) (elem func $f $f)",
            "too large together",
        ),
    ],
)
def test_a_limit_is_named_with_its_value(limits: PrepareLimits, fields: str, problem: str) -> None:
    text = reason(module(fields), limits)
    assert any(part in text for part in problem.split("|"))


WASI_START = '(func (export "_start"))'


def test_a_wasi_command_is_recognised_with_what_it_imports() -> None:
    imports = """
      (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    """
    outcome = prepare(module("", memory=imports + '(memory (export "memory") 1)', abi=WASI_START))
    assert isinstance(outcome, Prepared)
    assert outcome.interface is Interface.WASI
    assert outcome.imports == ("fd_write", "proc_exit")
    plain = prepare(module(""))
    assert isinstance(plain, Prepared)
    assert (plain.interface, plain.imports) == (Interface.AMBIENT, ())


@pytest.mark.parametrize(
    ("imports", "problem"),
    [
        ('(import "env" "puts" (func (param i32)))', "the import 'env' 'puts' is not available"),
        (
            '(import "wasi_snapshot_preview1" "fd_teleport" (func))',
            "'wasi_snapshot_preview1' 'fd_teleport' is not available",
        ),
        (
            '(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))',
            "the import 'fd_write' has another type",
        ),
    ],
)
def test_an_unknown_import_is_named(imports: str, problem: str) -> None:
    source = module("", memory=imports + '(memory (export "memory") 1)', abi=WASI_START)
    assert problem in reason(source)


def test_a_module_of_neither_kind_is_told_what_is_missing() -> None:
    text = reason(module("", abi='(func (export "run") (result i32) (i32.const 0))'))
    assert "lacks [alloc: (i32) -> i32; run: (i32, i32) -> i64]" in text
    assert "lacks [_start: () -> ()]" in text
    text = reason(module("", memory='(global (export "memory") i32 (i32.const 0))'))
    assert "ambient module lacks [memory]" in text
    imported = '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))'
    text = reason(module("", memory=imported + '(memory (export "memory") 1)'))
    assert "lacks [no imports of wasi_snapshot_preview1]" in text


def test_a_prepared_module_is_not_prepared_again() -> None:
    text = reason(prepared(module("")))
    assert "'__ambient_depth' has a reserved name" in text
    assert "submit the original" in text


def test_the_message_knows_a_function_by_name_and_export() -> None:
    source = module('(func $mine (export "shown") (drop (global.get 0)))')
    text = reason(source)
    assert text.startswith("function 0 (named 'mine', exported as 'shown'), byte ")


@pytest.mark.parametrize(
    "content", [b"", b"\x04name\x01", b"\x04name\x01\x05\x01", b"\x04nam", b"\x05other\x01"]
)
def test_a_damaged_name_section_costs_only_the_name(content: bytes) -> None:
    assert name_of(MAGIC + section(0, content), 0) is None


def test_names_are_found_behind_other_subsections() -> None:
    content = b"\x04name" + section(0, b"\x01m") + section(1, b"\x02\0\x01a\x01\x01b")
    assert name_of(MAGIC + section(0, content), 1) == "b"
    assert name_of(MAGIC + section(0, content), 2) is None


def test_custom_sections_are_dropped() -> None:
    source = module("(func $named)")
    with_note = source + section(0, b"\x04note" + b"x" * 1000)
    assert prepared(with_note) == prepared(source)
    assert b"named" not in prepared(source)


def test_a_local_of_a_foreign_type_is_refused() -> None:
    assert "a local has a type" in reason(raw(b"\x0b", locals_=b"\x01\x01\x6e"))


def test_an_overlong_branch_table_is_refused_and_a_cut_one_too() -> None:
    many = b"\x41\0\x0e\x80\x80\x08" + bytes(10)
    assert "a br_table has 131072 targets" in reason(raw(many))
    for cut in (b"\x41\0\x0e\x80", b"\x41\0\x0e\x80\x01\0\0", b"\x41\0\x0e\x80\x02" + bytes(300)):
        assert "br_table is not followed" in reason(raw(cut)) or "does not end" in reason(raw(cut))


def test_a_module_may_have_both_interfaces() -> None:
    outcome = prepare(module("", abi=ABI + WASI_START))
    assert isinstance(outcome, Prepared)
    assert outcome.interface is Interface.AMBIENT
