"""Decoding the sections that may appear in a submitted module (§3)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from ambientd.wasm.leb import Reader
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import OPCODES
from ambientd.wasm.refusal import REBUILD, SHRINK, TARGET, RefusalError

PAGES_ADDRESSABLE = 65_536
MAGIC = b"\0asm\x01\0\0\0"
FUNCTION_FORM = 0x60
FUNCREF, EXTERNREF = 0x70, 0x6F
REFERENCE_TYPES = frozenset((FUNCREF, EXTERNREF))
VALUE_TYPES = frozenset((0x7F, 0x7E, 0x7D, 0x7C, 0x7B, FUNCREF, EXTERNREF))


class Section(IntEnum):
    """The sections that are understood; any other is refused."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12


_SHOWN = {section.value: section.name.lower().replace("_", " ") for section in Section}
ORDER = (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11)


class External(IntEnum):
    """What an import or export is."""

    FUNCTION = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter and result types, one byte each."""

    params: bytes
    results: bytes


@dataclass(frozen=True, slots=True)
class Import:
    """An imported function."""

    module: str
    name: str
    type_index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Export:
    """One export."""

    name: str
    kind: External
    index: int
    offset: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a memory or table, `maximum` None when absent."""

    minimum: int
    maximum: int | None


@dataclass(slots=True)
class Module:
    """What preparation needs to know; sections it does not change stay raw in `raw`."""

    types: list[Signature] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    tables: list[tuple[int, Bounds]] = field(default_factory=list)
    memory: Bounds | None = None
    globals_count: int = 0
    globals_raw: bytes = b""
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    bodies: list[tuple[int, int]] = field(default_factory=list)
    raw: dict[int, bytes] = field(default_factory=dict)

    def signature(self, function: int) -> Signature:
        """Return the type of a function by its index, imports first."""
        if function < len(self.imports):
            return self.types[self.imports[function].type_index]
        return self.types[self.functions[function - len(self.imports)]]

    def function_count(self) -> int:
        """Return how many functions there are, imports included."""
        return len(self.imports) + len(self.functions)


def decode_module(data: bytes, limits: PrepareLimits) -> Module:
    """Decode every section, or raise `RefusalError`."""
    if len(data) > limits.module_bytes_max:
        raise RefusalError(
            f"the module has {len(data)} bytes, at most {limits.module_bytes_max} are allowed",
            SHRINK,
        )
    if data[:8] != MAGIC:
        raise RefusalError("the bytes are not a WebAssembly 1 module", REBUILD, 0)
    module, reader, last = Module(), Reader(data, 8, len(data)), -1
    while not reader.done():
        start, number = reader.position, reader.byte()
        try:
            content = reader.sub(reader.unsigned())
            if number == Section.CUSTOM:
                content.utf8(content.count("bytes in a name", len(data)))
                continue
            last = _rank(number, last, start)
            module.raw[number] = data[content.position : content.end]
            _DECODERS[number](content, module, limits)
            if not content.done():
                raise RefusalError(
                    f"section {number} is longer than its contents", REBUILD, content.position
                )
        except RefusalError as refusal:
            if number in _SHOWN:
                refusal.section = _SHOWN[number]
            raise
    if len(module.bodies) != len(module.functions):
        raise RefusalError(
            f"{len(module.functions)} functions are declared and {len(module.bodies)} have code",
            REBUILD,
        )
    return module


def _rank(number: int, last: int, start: int) -> int:
    """Return a section's place in the order, which is behind that of the last one."""
    if number not in ORDER:
        raise RefusalError(f"section {number} is not allowed", TARGET, start)
    rank = ORDER.index(number)
    if rank <= last:
        raise RefusalError(f"section {number} is repeated or out of order", REBUILD, start)
    return rank


def _value_types(reader: Reader, limits: PrepareLimits) -> bytes:
    count = reader.count("values in a signature", limits.signature_values_max)
    start, types = reader.position, reader.take(count)
    if not VALUE_TYPES.issuperset(types):
        raise RefusalError("a signature uses a type that is not allowed", TARGET, start)
    return types


def _decode_types(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    for _ in range(reader.count("types", limits.types_max)):
        start = reader.position
        if reader.byte() != FUNCTION_FORM:
            raise RefusalError("a type is not a function type", TARGET, start)
        module.types.append(Signature(_value_types(reader, limits), _value_types(reader, limits)))


def _type_index(reader: Reader, module: Module) -> int:
    start, index = reader.position, reader.unsigned()
    if index >= len(module.types):
        raise RefusalError(f"type {index} does not exist", REBUILD, start)
    return index


def _name(reader: Reader, limits: PrepareLimits) -> str:
    return reader.utf8(reader.count("bytes in a name", limits.name_bytes_max))


def _decode_imports(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    for _ in range(reader.count("imports", limits.imports_max)):
        start = reader.position
        space, name = _name(reader, limits), _name(reader, limits)
        kind = reader.byte()
        if kind != External.FUNCTION:
            what = {1: "a table", 2: "a memory", 3: "a global"}.get(kind, f"kind {kind}")
            raise RefusalError(
                f"the import {space!r} {name!r} is {what}, only functions may be imported",
                "Define it in the module instead.",
                start,
            )
        module.imports.append(Import(space, name, _type_index(reader, module), start))


def _decode_functions(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    count = reader.count("functions", limits.functions_max)
    module.functions = [_type_index(reader, module) for _ in range(count)]


def _bounds(reader: Reader) -> Bounds:
    start, flags = reader.position, reader.byte()
    if flags > 1:
        raise RefusalError("a memory or table is shared or 64-bit", TARGET, start)
    return Bounds(reader.unsigned(), reader.unsigned() if flags else None)


def _decode_tables(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    for _ in range(reader.count("tables", limits.tables_max)):
        start, kind = reader.position, reader.byte()
        if kind not in REFERENCE_TYPES:
            raise RefusalError("a table has a type that is not allowed", TARGET, start)
        bounds = _bounds(reader)
        if bounds.minimum > limits.table_elements_max:
            raise RefusalError(
                f"a table starts with {bounds.minimum} elements, "
                f"at most {limits.table_elements_max} are allowed",
                SHRINK,
                start,
            )
        module.tables.append((kind, bounds))


def _decode_memory(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    if not reader.count("memories", 1, TARGET):
        return
    start, bounds = reader.position, _bounds(reader)
    if bounds.minimum > limits.memory_pages_max:
        raise RefusalError(
            f"the memory starts with {bounds.minimum} pages, "
            f"at most {limits.memory_pages_max} are allowed",
            "Lower the initial memory or the size of static data.",
            start,
        )
    if bounds.maximum is not None and bounds.maximum > PAGES_ADDRESSABLE:
        raise RefusalError("the memory's maximum cannot be addressed", REBUILD, start)
    module.memory = bounds


def _constant(reader: Reader) -> None:
    """Step over `value end`; no other constant expression is allowed."""
    start, opcode = reader.position, reader.byte()
    match opcode:
        case 0x41:
            reader.skip_signed(5)
        case 0x42:
            reader.skip_signed(10)
        case 0x43:
            reader.take(4)
        case 0x44:
            reader.take(8)
        case 0xD0 if reader.byte() in REFERENCE_TYPES:
            pass
        case 0xD2:
            reader.unsigned()
        case 0xFD if reader.byte() == 0x0C:
            reader.take(16)
        case _:
            name = OPCODES[opcode].name if opcode in OPCODES else f"opcode 0x{opcode:02x}"
            raise RefusalError(
                f"an initial value is not a plain constant but {name}", TARGET, start
            )
    if reader.byte() != 0x0B:
        raise RefusalError("an initial value is not a single constant", TARGET, start)


def _decode_globals(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    module.globals_count = reader.count("globals", limits.globals_max)
    start = reader.position
    for _ in range(module.globals_count):
        at = reader.position
        if reader.byte() not in VALUE_TYPES or reader.byte() > 1:
            raise RefusalError("a global has a type that is not allowed", TARGET, at)
        _constant(reader)
    module.globals_raw = reader.data[start : reader.position]


def _decode_exports(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    for _ in range(reader.count("exports", limits.exports_max)):
        begin, name, start = reader.position, _name(reader, limits), reader.position
        kind, index = reader.byte(), reader.unsigned()
        if kind > External.GLOBAL:
            raise RefusalError(f"an export is of kind {kind}", TARGET, start)
        sizes = (
            module.function_count(),
            len(module.tables),
            1 if module.memory else 0,
            module.globals_count,
        )
        if index >= sizes[kind]:
            raise RefusalError(
                f"an export names {External(kind).name.lower()} {index}, which does not exist",
                REBUILD,
                start,
            )
        module.exports.append(Export(name, External(kind), index, begin))


def _decode_start(reader: Reader, module: Module, _limits: PrepareLimits) -> None:
    start, index = reader.position, reader.unsigned()
    if index >= module.function_count() or module.signature(index) != Signature(b"", b""):
        raise RefusalError("the start function does not exist as () -> ()", REBUILD, start)
    module.start = index


def _decode_elements(reader: Reader, _module: Module, limits: PrepareLimits) -> None:
    total = 0
    for _ in range(reader.count("element segments", limits.segments_max)):
        start, flags = reader.position, reader.unsigned()
        if flags > 7:
            raise RefusalError("an element segment has an unknown form", TARGET, start)
        passive, explicit, expressions = flags & 1, flags & 2, flags & 4
        if explicit and not passive:
            reader.unsigned()
        if not passive:
            _constant(reader)
        if (passive or explicit) and reader.byte() not in (
            REFERENCE_TYPES if expressions else (0,)
        ):
            raise RefusalError("an element segment has a type that is not allowed", TARGET, start)
        count = reader.count("elements", limits.table_elements_max)
        total += count
        if total > limits.table_elements_max:
            raise RefusalError("the element segments are too large together", SHRINK, start)
        for _ in range(count):
            if expressions:
                _constant(reader)
            else:
                reader.unsigned()


def _decode_code(reader: Reader, module: Module, limits: PrepareLimits) -> None:
    for index in range(reader.count("function bodies", limits.functions_max)):
        try:
            body = reader.sub(reader.count("bytes in a function", limits.body_bytes_max))
        except RefusalError as refusal:
            refusal.function = len(module.imports) + index
            raise
        module.bodies.append((body.position, body.end))


def _decode_data(reader: Reader, _module: Module, limits: PrepareLimits) -> None:
    for _ in range(reader.count("data segments", limits.segments_max)):
        start, flags = reader.position, reader.unsigned()
        if flags > 2 or (flags == 2 and reader.unsigned() != 0):
            raise RefusalError("a data segment has an unknown form", TARGET, start)
        if flags != 1:
            _constant(reader)
        reader.take(reader.unsigned())


def _decode_data_count(reader: Reader, _module: Module, _limits: PrepareLimits) -> None:
    reader.unsigned()


_DECODERS: dict[int, Callable[[Reader, Module, PrepareLimits], None]] = {
    Section.TYPE: _decode_types,
    Section.IMPORT: _decode_imports,
    Section.FUNCTION: _decode_functions,
    Section.TABLE: _decode_tables,
    Section.MEMORY: _decode_memory,
    Section.GLOBAL: _decode_globals,
    Section.EXPORT: _decode_exports,
    Section.START: _decode_start,
    Section.ELEMENT: _decode_elements,
    Section.CODE: _decode_code,
    Section.DATA: _decode_data,
    Section.DATA_COUNT: _decode_data_count,
}
