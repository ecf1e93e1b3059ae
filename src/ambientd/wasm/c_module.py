"""A prepared module in C, from which its proven image is compiled (protocols/18 §4).

A pure function of a valid prepared module and the hash of the submitted one; it refuses what it
cannot translate, and never guesses. The runtime in `native/proofs/guest` is read around it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ambientd.wasm.c_body import C_TYPES, Body, Surroundings, letters, pointer_type, signed
from ambientd.wasm.interface import DEPTH_EXPORT, GAS_EXPORT, START_EXPORT
from ambientd.wasm.leb import Reader, decode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.refusal import RefusalError
from ambientd.wasm.sections import Module, Section, Signature, decode_module
from ambientd.wasm.tokens import tokenise

TRANSLATION_VERSION: int = 1
MEMORY_AT = 0x24000000
_PAGE_BYTES = 65_536
# The stack ends where the image begins.
_ENTRY = (
    '__asm__(".section .text.start\\n.globl _start\\n"\n'
    '        "_start: lui sp, 0x20000\\n tail begin\\n");'
)
LIMITS = PrepareLimits(
    module_bytes_max=64 << 20, body_bytes_max=PrepareLimits().prepared_body_bytes_max
)


@dataclass(frozen=True, slots=True)
class Translated:
    """The C text, and what of the memory is not zero at the start, by address."""

    text: str
    data_at: tuple[int, ...]  # the section `.memoryN` lies at the N-th of these


@dataclass(slots=True)
class _Parts:
    declared: list[str] = field(default_factory=list)
    instantiate: list[str] = field(default_factory=list)
    data_at: list[int] = field(default_factory=list)


def translate(prepared: bytes, submitted_hash: bytes) -> Translated:
    """Write a valid prepared module in C, or raise `RefusalError`."""
    module = decode_module(prepared, LIMITS)
    if module.imports:
        raise RefusalError(
            f"it imports {module.imports[0].name!r}, and host functions cannot be proven yet",
            "Use the ambient interface: export alloc and run, import nothing.",
        )
    exports = {entry.name: entry.index for entry in module.exports}
    parts = _Parts()
    _add_globals(module, parts)
    global_types = bytes(kind for kind, *_ in globals_of(module))
    around = Surroundings(module, global_types, _type_numbers(module))
    prototypes, functions = _functions(prepared, around)
    _add_tables(module, parts)
    _add_data(module, parts)
    assert module.memory is not None
    assert module.memory.maximum is not None
    grows = b"\x40\x00" in module.raw.get(Section.CODE, b"")  # or bytes that look like it
    start = f"f{exports[START_EXPORT]}()" if START_EXPORT in exports else ""
    hashed = ", ".join(str(byte) for byte in submitted_hash)
    text = [
        f"#define MODULE_SHA256 {{{hashed}}}",
        f"#define PAGES_MIN {module.memory.minimum}",
        f"#define PAGES_MAX {module.memory.maximum}u",
        f"#define MEMORY_GROWS {int(grows)}",
        f"#define GAS g{exports[GAS_EXPORT]}",
        f"#define DEPTH g{exports[DEPTH_EXPORT]}",
        f"#define ALLOC(size) f{exports['alloc']}(size)",
        f"#define RUN(at, size) f{exports['run']}(at, size)",
        f"#define START {start}",
        '#include "runtime.h"',
        *prototypes,
        *parts.declared,
        *functions,
        "static void instantiate(void) {",
        *(f"  {line}" for line in parts.instantiate),
        "}",
        '#include "main.h"',
        _ENTRY,
    ]
    return Translated("\n".join(text) + "\n", tuple(parts.data_at))


def _type_numbers(module: Module) -> tuple[int, ...]:
    first: dict[Signature, int] = {}
    return tuple(
        first.setdefault(signature, number) for number, signature in enumerate(module.types)
    )


def globals_of(module: Module) -> Iterator[tuple[int, int, bytes]]:
    """Give type, mutability and first value of each global."""
    reader = Reader(module.globals_raw, 0, len(module.globals_raw))
    for _ in range(module.globals_count):
        kind, mutable = reader.byte(), reader.byte()
        yield kind, mutable, _constant(reader)


def _constant(reader: Reader) -> bytes:
    """Read a constant expression; decoding has made sure that it is one."""
    start, opcode = reader.position, reader.byte()
    if opcode in (0x41, 0x42):
        reader.skip_signed(10)
    elif opcode == 0xD0:
        reader.byte()
    elif opcode == 0xD2:
        reader.unsigned()
    elif opcode == 0xFD:
        reader.take(17)
    else:
        reader.take(4 if opcode == 0x43 else 8)
    constant = reader.data[start : reader.position]
    reader.byte()
    return constant


def _value(constant: bytes) -> str:
    opcode = constant[0]
    if opcode == 0x41:
        return f"{signed(constant, 1) & 0xFFFFFFFF}u"
    if opcode == 0x42:
        return f"{signed(constant, 1) & (1 << 64) - 1}ull"
    if opcode == 0xD0:
        return "0"
    if opcode == 0xD2:
        return f"{decode_unsigned(constant, 1)[0] + 1}u"
    if opcode == 0xFD:
        low, high = (int.from_bytes(constant[n : n + 8], "little") for n in (2, 10))
        return f"{{{low}ull, {high}ull}}"
    letters(b"\x7d")  # refuses
    raise AssertionError


def _add_globals(module: Module, parts: _Parts) -> None:
    for number, (kind, mutable, constant) in enumerate(globals_of(module)):
        constness = "" if mutable else "const "
        c_type = C_TYPES[letters(bytes((kind,)))]
        parts.declared.append(f"static {constness}{c_type} g{number} = {_value(constant)};")


def _functions(prepared: bytes, around: Surroundings) -> tuple[list[str], list[str]]:
    module = around.module
    prototypes, functions, entries = [], [], []
    for index, (start, end) in enumerate(module.bodies):
        signature = module.signature(index)
        try:
            head = _head(index, signature)
            prototypes.append(f"{head};")
            functions.append(f"{head} {{\n{_body(prepared, around, signature, start, end)}\n}}")
        except RefusalError as refusal:
            refusal.function = index
            raise
        entries.append(f"{{f{index}, {around.type_numbers[module.functions[index]]}u}}")
    widest = max((len(each.results) for each in module.types), default=0)
    more = [
        f"static {C_TYPES[kind]} more{number}{kind};"
        for number in range(1, widest)
        for kind in "ilvr"
    ]
    table = f"static const function_entry functions[] = {{{', '.join(entries)}}};"
    return [*more, *prototypes, table], functions


def _head(index: int, signature: Signature) -> str:
    params = ", ".join(
        f"{C_TYPES[kind]} p{number}" for number, kind in enumerate(letters(signature.params))
    )
    result = pointer_type(signature).partition(" ")[0]
    return f"static {result} f{index}({params or 'void'})"


def _body(prepared: bytes, around: Surroundings, signature: Signature, start: int, end: int) -> str:
    reader, declared = Reader(prepared, start, end), ""
    for _ in range(reader.unsigned()):
        count = reader.unsigned()
        declared += letters(bytes((reader.byte(),))) * count
    tokens = tokenise(prepared, reader.position, end, LIMITS.branch_targets_max)
    return Body(around, signature, letters(signature.params) + declared).translate(tokens)


def _bytes(values: Iterator[int] | bytes | list[int]) -> str:
    return ",".join(str(value) for value in values)


def _add_tables(module: Module, parts: _Parts) -> None:
    initial = [[0] * bounds.minimum for _, bounds in module.tables]
    raw = module.raw.get(Section.ELEMENT, b"")
    reader = Reader(raw, 0, len(raw))
    failed = False
    for number in range(reader.unsigned() if raw else 0):
        table, offset, values = _element_segment(reader)
        if table is None:
            parts.declared += [
                f"static const u32 e{number}[] = {{{_bytes(values) or '0'}}};",
                f"static u32 e{number}_size = {len(values) if offset is None else 0};",
            ]
            continue
        parts.declared += [
            f"static const u32 e{number}[] = {{0}};",
            f"static u32 e{number}_size = 0;",
        ]
        assert offset is not None
        if failed or offset + len(values) > len(initial[table]):
            failed = True
        else:
            initial[table][offset : offset + len(values)] = values
    for number, ((_, bounds), values) in enumerate(zip(module.tables, initial, strict=True)):
        assert bounds.maximum is not None
        size = max(bounds.maximum, 1)
        parts.declared += [
            f"static u32 t{number}[{size}] = {{{_bytes(values) or '0'}}};",
            f"static u32 t{number}_now = {bounds.minimum};",
            f"#define t{number}_max {bounds.maximum}u",
        ]
    if failed:
        parts.instantiate.append("trap(TABLE_BOUNDS);")


def _element_segment(reader: Reader) -> tuple[int | None, int | None, list[int]]:
    """Read a segment: its table and offset, or None and whether it is there to be used."""
    flags = reader.unsigned()
    passive, explicit, expressions = flags & 1, flags & 2, flags & 4
    table = reader.unsigned() if explicit and not passive else 0
    offset = None if passive else signed(_constant(reader), 1) & 0xFFFFFFFF
    if passive or explicit:
        reader.byte()
    values = []
    for _ in range(reader.unsigned()):
        if expressions:
            constant = _constant(reader)
            values.append(decode_unsigned(constant, 1)[0] + 1 if constant[0] == 0xD2 else 0)
        else:
            values.append(reader.unsigned() + 1)
    if passive:
        return None, (0 if explicit else None), values  # a declared one is dropped at once
    return table, offset, values


def _add_data(module: Module, parts: _Parts) -> None:
    assert module.memory is not None
    size = module.memory.minimum * _PAGE_BYTES
    raw = module.raw.get(Section.DATA, b"")
    reader = Reader(raw, 0, len(raw))
    placed: list[tuple[int, bytes]] = []
    failed = False
    for number in range(reader.unsigned() if raw else 0):
        flags = reader.unsigned()
        if flags == 2:
            reader.unsigned()
        offset = None if flags == 1 else signed(_constant(reader), 1) & 0xFFFFFFFF
        data = reader.take(reader.unsigned())
        kept = data if offset is None else b""
        parts.declared += [
            f"static const u8 d{number}[] = {{{_bytes(kept) or '0'}}};",
            f"static u32 d{number}_size = {len(kept)};",
        ]
        if offset is None:
            continue
        if offset + len(data) > size:
            failed = True
        if not failed and data:
            placed.append((offset, data))
    if failed:
        parts.instantiate.append("trap(MEMORY_BOUNDS);")
    for number, (offset, data) in enumerate(_joined(placed)):
        parts.data_at.append(MEMORY_AT + offset)
        parts.declared.append(
            f'const u8 __attribute__((used, section(".memory{number}"))) '
            f"memory{number}[] = {{{_bytes(data)}}};"
        )


def _joined(placed: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Lay segments over each other in their order; give what touches as one run, word-aligned."""
    words: dict[int, bytearray] = {}
    for offset, data in placed:
        for at, byte in enumerate(data, offset):
            words.setdefault(at // 4, bytearray(4))[at % 4] = byte
    run_at, run = -1, bytearray()
    for word in sorted(words):
        if run and word * 4 != run_at + len(run):
            yield run_at, bytes(run)
            run = bytearray()
        if not run:
            run_at = word * 4
        run += words[word]
    if run:
        yield run_at, bytes(run)
