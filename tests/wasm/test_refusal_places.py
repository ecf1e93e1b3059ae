"""Every refusal says where: function, byte and opcode inside a body, section and byte outside."""

import re
from typing import Any

import pytest

from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import OPCODES
from ambientd.wasm.sections import Section
from tests.wasm import test_refusals as catalogue
from tests.wasm.running import module
from tests.wasm.test_refusals import MAGIC, raw, reason, section

_OPCODE = "|".join(re.escape(entry.name) for entry in OPCODES.values())
IN_A_BODY = re.compile(rf"function 2, byte \d+: (?:(?:{_OPCODE})\b|opcode 0x)")
_SECTIONS = "|".join(name.lower().replace("_", " ") for name in Section.__members__)
IN_A_SECTION = re.compile(rf"(?:{_SECTIONS}) section, byte \d+: ")
# Said of the module as a whole, or of a section that has no name.
WHOLE = (
    "not a WebAssembly 1 module",
    "fits no interface",
    "and 0 have code",
    "section 13 is not allowed",
)


def cases(test: Any) -> list[Any]:
    """The parameters of a test of the catalogue."""
    return next(mark.args[1] for mark in test.pytestmark if mark.name == "parametrize")


@pytest.mark.parametrize(
    ("code", "problem"), cases(catalogue.test_an_instruction_that_is_not_allowed_is_named)
)
def test_a_refused_body_is_named_with_byte_and_opcode(code: bytes, problem: str) -> None:
    text = reason(raw(code))
    source = raw(code)
    place = re.match(r"function 2, byte (\d+): ", text)
    assert place
    assert len(source) - len(code) <= int(place[1]) <= len(source)
    if int(place[1]) == len(source):  # there is no instruction to name
        assert problem == "does not end with its last block"
    else:
        assert IN_A_BODY.match(text)


@pytest.mark.parametrize(
    ("source", "problem"), cases(catalogue.test_a_malformed_section_is_refused_with_its_place)
)
def test_a_refused_section_is_named_with_its_byte(source: bytes, problem: str) -> None:
    text = reason(source)
    assert problem in WHOLE or IN_A_SECTION.match(text)


@pytest.mark.parametrize(
    ("limits", "place"),
    [
        (PrepareLimits(body_bytes_max=3), r"function 0, byte \d+: 4 bytes in a function"),
        (PrepareLimits(prepared_body_bytes_max=50), r"function 0 \(.*\), byte \d+: the prepared"),
        (PrepareLimits(prepared_bytes_max=50), r"function 0 \(.*\), byte \d+: the prepared"),
        (PrepareLimits(locals_max=1), r"function 0 \(.*\), byte \d+: 2 locals"),
        (PrepareLimits(types_max=1), r"type section, byte \d+: "),
        (PrepareLimits(exports_max=1), r"export section, byte \d+: "),
    ],
)
def test_a_limit_is_named_with_its_place(limits: PrepareLimits, place: str) -> None:
    assert re.match(place, reason(raw(b"\x0b"), limits))


def test_a_deep_block_and_a_long_table_are_named_with_their_bytes() -> None:
    deep = raw(b"\x01\x02\x40\x02\x40\x0b\x0b\x0b")
    text = reason(deep, PrepareLimits(nesting_max=1))
    assert text.startswith(f"function 2, byte {len(deep) - 5}: block: blocks are nested")
    table = b"\x01\x41\0\x0e" + encode_unsigned(300) + bytes(301) + b"\x0b"
    text = reason(raw(table), PrepareLimits(branch_targets_max=299))
    assert text.startswith(f"function 2, byte {len(raw(table)) - len(table) + 3}: a br_table has")


def test_an_import_is_named_with_its_byte() -> None:
    imports = '(import "env" "puts" (func)) (memory (export "memory") 1)'
    source = module("", memory=imports)
    place = source.index(b"\x03env")
    assert reason(source).startswith(f"byte {place}: the import 'env' 'puts'")


def test_an_initial_value_is_named_by_its_opcode() -> None:
    source = MAGIC + section(6, b"\x01\x7f\0\x23\0\x0b")
    assert reason(source).startswith("global section, byte 13: ")
    assert "but global.get." in reason(source)
