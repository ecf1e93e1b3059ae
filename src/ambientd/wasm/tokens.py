"""Cutting a function body into instructions, one regular expression made from the table (§4).

Every shape has exactly one reading, so no engine can see other instructions in the
same bytes: alignments are one byte below 64 (no memory index may follow), prefixed
opcodes are in their shortest form, and reserved bytes are zero.
"""

import re
from collections import defaultdict
from functools import cache

from ambientd.wasm.leb import decode_unsigned
from ambientd.wasm.opcodes import OPCODES, Immediate, Opcode
from ambientd.wasm.refusal import REBUILD, TARGET, RefusalError

_LEB32 = rb"[\x80-\xff]{0,4}[\x00-\x7f]"
_LEB64 = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_MEMORY = rb"[\x00-\x04]" + _LEB32
# a value type or "nothing", or a type index, which is a signed integer that is not negative
_BLOCK_TYPE = rb"(?:[\x40\x6f\x70\x7b-\x7f\x00-\x3f]|[\x80-\xff]{1,4}[\x00-\x3f])"
_INLINE_LABELS_MAX = 127

_SHAPES: dict[Immediate, bytes] = {
    Immediate.INDEX: _LEB32,  # tried in this order: the frequent ones first
    Immediate.NONE: b"",
    Immediate.I32: _LEB32,
    Immediate.MEMORY: _MEMORY,
    Immediate.BLOCK_TYPE: _BLOCK_TYPE,
    Immediate.I64: _LEB64,
    Immediate.FOUR_BYTES: rb"[\x00-\xff]{4}",
    Immediate.EIGHT_BYTES: rb"[\x00-\xff]{8}",
    Immediate.TWO_INDICES: _LEB32 + _LEB32,
    Immediate.SIXTEEN_BYTES: rb"[\x00-\xff]{16}",
    Immediate.LANE: rb"[\x00-\x1f]",
    Immediate.MEMORY_LANE: _MEMORY + rb"[\x00-\x1f]",
    Immediate.SELECT_TYPE: rb"\x01[\x6f\x70\x7b-\x7f]",
    Immediate.REFERENCE_TYPE: rb"[\x6f\x70]",
    Immediate.ZERO: rb"\x00",
    Immediate.TWO_ZEROS: rb"\x00\x00",
    Immediate.INDEX_ZERO: _LEB32 + rb"\x00",
    # the count says how many labels follow, and one more
    Immediate.LABELS: b"(?:"
    + b"|".join(
        re.escape(bytes((count,))) + b"(?:" + _LEB32 + b"){%d}" % (count + 1)
        for count in range(_INLINE_LABELS_MAX + 1)
    )
    + b")",
}


def _alternatives(prefix: int) -> bytes:
    """Return one alternative for each immediate shape among the opcodes of a prefix."""
    groups: defaultdict[Immediate, list[int]] = defaultdict(list)
    for code, opcode in sorted(OPCODES.items()):
        if code >> 8 == prefix:
            groups[opcode.immediate].append(code & 0xFF)
    parts = []
    for shape, pattern in _SHAPES.items():
        for long in (False, True):
            # 0xFD80 and above take two bytes: the low seven bits, then 1
            codes = [c for c in groups[shape] if (prefix != 0 and c >= 0x80) == long]
            if codes:
                members = b"".join(b"\\x%02x" % code for code in codes)
                parts.append(b"[" + members + b"]" + (rb"\x01" if long else b"") + pattern)
    return b"(?:" + b"|".join(parts) + b")"


_INSTRUCTION = b"|".join(
    (
        _alternatives(0),
        rb"\xfc" + _alternatives(0xFC),
        rb"\xfd" + _alternatives(0xFD),
    )
)
_EACH = re.compile(_INSTRUCTION + rb"|[\x00-\xff]", re.DOTALL)  # what fits nothing: one byte
_BRANCH_TABLE = 0x0E
_LONG_TABLE = re.compile(rb"\x0e[\x80-\xff]")  # or bytes that look like one, which does no harm

_FOREIGN = {
    0x06: "exceptions", 0x07: "exceptions", 0x08: "exceptions", 0x09: "exceptions",
    0x0A: "exceptions", 0x18: "exceptions", 0x19: "exceptions", 0x1F: "exceptions",
    0x12: "tail calls", 0x13: "tail calls", 0x14: "typed references",
    0x15: "typed references", 0xFB: "garbage collection", 0xFE: "threads",
}  # fmt: skip


@cache
def _run() -> re.Pattern[bytes]:
    """Return what matches as many instructions as fit; few modules need it, so not at import."""
    return re.compile(b"(?:" + _INSTRUCTION + b")*+", re.DOTALL)


def tokenise(data: bytes, start: int, end: int, targets_max: int) -> list[bytes]:
    """Cut `data[start:end]` into instructions; one that fits nothing is left as a single byte."""
    if _LONG_TABLE.search(data, start, end):
        return _tokenise_around_tables(data, start, end, targets_max)
    tokens: list[bytes] = _EACH.findall(data, start, end)
    return tokens


def _tokenise_around_tables(data: bytes, start: int, end: int, targets_max: int) -> list[bytes]:
    """Do the same with branch tables of 128 labels or more; ends with what fits nothing."""
    tokens: list[bytes] = []
    position = start
    while position < end:
        run = _run().match(data, position, end)
        stop = run.end() if run else position
        tokens += _EACH.findall(data, position, stop)
        if stop == end:
            break
        is_table = data[stop] == _BRANCH_TABLE
        position = _branch_table_end(data, stop, end, targets_max) if is_table else stop + 1
        tokens.append(data[stop:position])
        if position == stop + 1:
            break
    return tokens


_LABEL = re.compile(_LEB32, re.DOTALL)


def _branch_table_end(data: bytes, start: int, end: int, targets_max: int) -> int:
    count_match = _LABEL.match(data, start + 1, end)
    if not count_match:
        return start + 1
    count, position = decode_unsigned(data, start + 1)
    if count > targets_max:
        raise RefusalError(
            f"a br_table has {count} targets, at most {targets_max} are allowed",
            "Split the switch statement.",
            start,
        )
    if position + count < end and data[position : position + count + 1].isascii():
        return position + count + 1  # each label is one byte, as nearly always
    for _ in range(count + 1):
        label = _LABEL.match(data, position, end)
        if not label:
            return start + 1
        position = label.end()
    return position


def opcode_of(token: bytes) -> tuple[Opcode, int] | None:
    """Return the token's opcode and where its immediates begin, or None if it is not allowed."""
    first = token[0]
    if first in (0xFC, 0xFD) and len(token) > 1:
        low, position = decode_unsigned(token, 1)
        return OPCODES[first << 8 | low], position
    opcode = OPCODES.get(first)
    if opcode and (len(token) > 1 or opcode.immediate is Immediate.NONE):
        return opcode, 1
    return None


def not_allowed(data: bytes, offset: int) -> RefusalError:
    """Say what is wrong with the bytes at `offset`, which fit no allowed instruction."""
    first, second, third = data[offset : offset + 3].ljust(3, b"\0")
    whole = first << 8 | second if first in (0xFC, 0xFD) and second < 0x80 else first
    if whole in OPCODES:
        name = OPCODES[whole].name
        return RefusalError(f"{name} is not followed by what belongs to it", TARGET, offset)
    relaxed = first == 0xFD and second >= 0x80 and third >= 0x02
    feature = "relaxed SIMD" if relaxed else _FOREIGN.get(first, "")
    code = f"0x{first:02x}" + (f" 0x{second:02x}" if first >= 0xFB else "")
    return RefusalError(
        f"opcode {code}{f' ({feature})' if feature else ''} is not allowed",
        TARGET if feature or first in (0xFC, 0xFD) else REBUILD,
        offset,
    )


def labels_of(token: bytes) -> list[int]:
    """Return the labels of a br_table, the default last."""
    count, position = decode_unsigned(token, 1)
    if token[position:].isascii():
        return list(token[position:])  # each label is one byte, as nearly always
    labels = []
    for _ in range(count + 1):
        label, position = decode_unsigned(token, position)
        labels.append(label)
    return labels


def block_type_of(token: bytes) -> int | bytes:
    """Return a type index, or the result types of a short block type."""
    first = token[1]
    if len(token) == 2 and first >= 0x40:
        return b"" if first == 0x40 else token[1:]
    return decode_unsigned(token, 1)[0]
