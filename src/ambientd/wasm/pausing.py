"""Rewrite a module so that its execution can be paused and taken up elsewhere (protocols/08).

A second pass over the prepared module: the same gas at every place, the same outputs, and in
addition a way to leave every function under way, handing its locals to the host, and to enter them
all again. Ordinary executions run the prepared module and pay nothing for this.
"""

from dataclasses import dataclass

from ambientd.wasm.imports import PAUSE_FUNCTIONS, PAUSE_MODULE
from ambientd.wasm.leb import Reader, encode_signed, encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.opcodes import Opcode, Role
from ambientd.wasm.pausing_emit import (
    ENTERING,
    NEXT_AT_ONCE,
    NEXT_NEVER,
    NORMAL,
    Frame,
    FunctionWriter,
    Names,
)
from ambientd.wasm.pausing_scan import (
    ADDED_IMPORTS,
    Scanner,
    Typing,
    ill_typed,
    refuse_table_changes,
)
from ambientd.wasm.prepare import Prepared, Refused, prepare
from ambientd.wasm.refusal import RefusalError
from ambientd.wasm.sections import (
    FUNCTION_FORM,
    MAGIC,
    ORDER,
    REFERENCE_TYPES,
    External,
    Module,
    Section,
    decode_module,
)
from ambientd.wasm.tokens import opcode_of, tokenise

PAUSER_VERSION: int = 2

STATE_EXPORT = "__ambient_state"  # i32 global: 0 running, 1 leaving, 2 entering again
NEXT_EXPORT = "__ambient_next"  # mutable i64 global: pause when the gas left is not above it
SAVE_EXPORT = "__ambient_save"  # () -> (): push the globals, end leaving
LOAD_EXPORT = "__ambient_load"  # () -> (): pop the globals, begin to enter again
GROW_EXPORT = "__ambient_grow"  # (i32) -> i32: memory.grow without a charge

# A function without loops and calls into the module, and of this size, runs through unpaused.
BRIEF_BYTES_MAX = 1_024

_NO_LIMITS = PrepareLimits(
    **dict.fromkeys(PrepareLimits.__dataclass_fields__, 1 << 31),
)
_REF_FUNC, _REF_NULL = 0xD2, 0xD0
_END = b"\x0b"


@dataclass(frozen=True, slots=True)
class Pausable:
    """The module for executions that may be paused, beside the one for all others."""

    module: bytes
    prepared: Prepared


def make_pausable(module: bytes, limits: PrepareLimits | None = None) -> Pausable | Refused:
    """Prepare a module twice: as always, and so that it can be paused; or say why not."""
    limits = limits or PrepareLimits()
    prepared = prepare(module, limits)
    if isinstance(prepared, Refused):
        return prepared
    rewriter = _Rewriter(module, prepared.module, limits)
    try:
        return Pausable(module=rewriter.run(), prepared=prepared)
    except RefusalError as refusal:
        where = "" if refusal.function is None else f"function {refusal.function}: "
        return Refused(
            f"the module can run, but not be paused: {where}{refusal.problem}. {refusal.remedy} "
            "As it is, a dispute about it is settled by executing it again as a whole."
        )


class _Rewriter:
    """One module on its way; indices behind the imports move up by the added imports."""

    def __init__(self, original: bytes, prepared: bytes, limits: PrepareLimits) -> None:
        self._original = original
        self._limits = limits
        self._data = prepared
        self._module: Module = decode_module(prepared, _NO_LIMITS)
        self._own_bodies = decode_module(original, limits).bodies
        self._globals = _decode_globals(self._module)
        imports = len(self._module.imports)
        self._names = Names(
            gas=len(self._globals) - 2,
            state=len(self._globals),
            next=len(self._globals) + 1,
            pop=imports,
            push=imports + 1,
        )

    def run(self) -> bytes:
        module, sections = self._module, dict(self._module.raw)
        types, functions = len(module.types), module.function_count() + ADDED_IMPORTS
        sections[Section.TYPE] = _append(sections.get(Section.TYPE), _ADDED_TYPES)
        sections[Section.IMPORT] = _append(
            sections.get(Section.IMPORT),
            [
                _name(PAUSE_MODULE) + _name(name) + b"\0" + encode_unsigned(types + index)
                for index, name in enumerate(sorted(PAUSE_FUNCTIONS))
            ],
        )
        sections[Section.FUNCTION] = _append(
            sections.get(Section.FUNCTION),
            [encode_unsigned(types + kind) for kind in (_TYPE_VOID, _TYPE_VOID, _TYPE_GROW)],
        )
        sections[Section.GLOBAL] = self._global_section()
        sections[Section.EXPORT] = self._exports(functions)
        if Section.ELEMENT in sections:
            sections[Section.ELEMENT] = self._elements(sections[Section.ELEMENT])
        bodies = [*self._bodies(), *self._added_bodies()]
        sections[Section.CODE] = encode_unsigned(len(bodies)) + b"".join(bodies)
        return MAGIC + b"".join(
            bytes((number,)) + encode_unsigned(len(sections[number])) + sections[number]
            for number in ORDER
            if number in sections
        )

    def _renumbered(self, function: int) -> int:
        return function + ADDED_IMPORTS * (function >= len(self._module.imports))

    def _global_section(self) -> bytes:
        entries = [
            bytes((kind, mutable)) + self._constant(Reader(init, 0, len(init)))
            for kind, mutable, init in self._globals
        ]
        entries.append(b"\x7f\x01\x41" + encode_signed(NORMAL) + _END)
        entries.append(b"\x7e\x01\x42" + encode_signed(NEXT_NEVER) + _END)
        return encode_unsigned(len(entries)) + b"".join(entries)

    def _constant(self, reader: Reader) -> bytes:
        """Copy a constant expression, with its function renumbered."""
        start, code = reader.position, reader.byte()
        if code == _REF_FUNC:
            index = self._renumbered(reader.unsigned())
            reader.byte()
            return bytes((code,)) + encode_unsigned(index) + _END
        _skip_constant(reader, code)
        return reader.data[start : reader.position]

    def _exports(self, functions: int) -> bytes:
        entries = []
        for entry in self._module.exports:
            is_function = entry.kind is External.FUNCTION
            index = self._renumbered(entry.index) if is_function else entry.index
            entries.append(_export(entry.name, entry.kind, index))
        entries.append(_export(STATE_EXPORT, External.GLOBAL, self._names.state))
        entries.append(_export(NEXT_EXPORT, External.GLOBAL, self._names.next))
        for offset, name in enumerate((SAVE_EXPORT, LOAD_EXPORT, GROW_EXPORT)):
            entries.append(_export(name, External.FUNCTION, functions + offset))
        return encode_unsigned(len(entries)) + b"".join(entries)

    def _elements(self, raw: bytes) -> bytes:
        reader = Reader(raw, 0, len(raw))
        out = [encode_unsigned(count := reader.unsigned())]
        for _ in range(count):
            flags = reader.unsigned()
            out.append(encode_unsigned(flags))
            passive, explicit, expressions = flags & 1, flags & 2, flags & 4
            if explicit and not passive:
                out.append(encode_unsigned(reader.unsigned()))
            if not passive:
                out.append(self._constant(reader))
            if passive or explicit:
                out.append(reader.take(1))
            out.append(encode_unsigned(size := reader.unsigned()))
            for _ in range(size):
                if expressions:
                    out.append(self._constant(reader))
                else:
                    out.append(encode_unsigned(self._renumbered(reader.unsigned())))
        return b"".join(out)

    def _bodies(self) -> list[bytes]:
        imports = len(self._module.imports)
        decoded = [self._tokens(start, end) for start, end in self._module.bodies]
        steps: dict[bytes, Opcode] = {}
        brief = frozenset(
            imports + index
            for index, ((start, end), (_, tokens)) in enumerate(
                zip(self._module.bodies, decoded, strict=True)
            )
            if self._is_brief(steps, tokens, end - start)
        )
        typing = Typing(self._module, bytes(kind for kind, _, _ in self._globals), brief)
        bodies, size_bytes = [], 0
        for index, (reader, tokens) in enumerate(decoded):
            try:
                bodies.append(self._body(typing, index, reader, tokens))
            except RefusalError as refusal:
                refusal.function = imports + index
                raise
            size_bytes += len(bodies[-1])
            if size_bytes > 2 * self._limits.prepared_bytes_max:
                raise RefusalError("the pausable functions are too large", "Split the module.")
        return bodies

    def _tokens(self, start: int, end: int) -> tuple[Reader, list[bytes]]:
        """Step over the locals; returns the reader of the whole body and its instructions."""
        reader = Reader(self._data, start, end)
        _decode_locals(reader)
        tokens = tokenise(self._data, reader.position, end, self._limits.branch_targets_max)
        return Reader(self._data, start, end), tokens

    def _is_brief(self, steps: dict[bytes, Opcode], tokens: list[bytes], size_bytes: int) -> bool:
        brief = size_bytes <= BRIEF_BYTES_MAX
        for token in dict.fromkeys(tokens):
            opcode = steps.get(token)
            if opcode is None:
                found = opcode_of(token)
                if found is None:
                    raise ill_typed()
                opcode = steps[token] = found[0]
                refuse_table_changes(opcode)
            if opcode.role in (Role.LOOP, Role.CALL_INDIRECT):
                brief = False
            elif opcode.role is Role.CALL:
                brief &= _index(token) < len(self._module.imports)
        return brief

    def _body(self, typing: Typing, index: int, reader: Reader, tokens: list[bytes]) -> bytes:
        function = len(self._module.imports) + index
        signature = self._module.signature(function)
        groups, group_count, declared = _decode_locals(reader)
        if function in typing.brief:
            code = b"".join(
                token[:1] + encode_unsigned(self._renumbered(_index(token)))
                if token[0] == _REF_FUNC
                else token
                for token in tokens
            )
            body = encode_unsigned(group_count) + groups + code
            return encode_unsigned(len(body)) + body
        start, end = self._own_bodies[index]
        _, _, own_declared = _decode_locals(Reader(self._original, start, end))
        own = len(signature.params) + len(own_declared)
        frame = Frame(groups, group_count, signature.params + declared, own)
        if not REFERENCE_TYPES.isdisjoint(frame.types[:own]):
            raise RefusalError("a local holds a reference", "Keep it in a table.")
        body_, items = Scanner(typing, frame.types).scan(tokens)
        writer = FunctionWriter(
            self._names, frame, signature.results, self._limits.prepared_body_bytes_max
        )
        return writer.write(body_, items)

    def _added_bodies(self) -> list[bytes]:
        kept = [
            (encode_unsigned(index), kind)
            for index, (kind, mutable, _) in enumerate(self._globals)
            if mutable
        ]
        if any(kind in REFERENCE_TYPES for _, kind in kept):
            raise RefusalError("a mutable global holds a reference", "Keep it in a table.")
        names = self._names
        save = b"".join(names.hand_over(b"\x23" + index, kind) for index, kind in kept)
        load = b"".join(names.take_back(b"\x24" + index, kind) for index, kind in reversed(kept))
        at_once = names.set_next(b"\x42" + encode_signed(NEXT_AT_ONCE))
        bodies = [
            b"\0" + save + names.set_state(NORMAL) + _END,
            b"\0" + load + names.set_state(ENTERING) + at_once + _END,
            b"\0" + b"\x20\0\x40\0" + _END,
        ]
        return [encode_unsigned(len(body)) + body for body in bodies]


# Of `pop`, `push`, saving and loading, and growing: in the order of `_ADDED_TYPES`.
_TYPE_VOID, _TYPE_GROW = 2, 3
_ADDED_TYPES = [
    bytes((FUNCTION_FORM, 0, 1, 0x7E)),
    bytes((FUNCTION_FORM, 1, 0x7E, 0)),
    bytes((FUNCTION_FORM, 0, 0)),
    bytes((FUNCTION_FORM, 1, 0x7F, 1, 0x7F)),
]


def _index(token: bytes) -> int:
    return Reader(token, 1, len(token)).unsigned()


def _append(section: bytes | None, entries: list[bytes]) -> bytes:
    """Add entries behind those of a section."""
    section = section or b"\0"
    reader = Reader(section, 0, len(section))
    count = reader.unsigned() + len(entries)
    return encode_unsigned(count) + section[reader.position :] + b"".join(entries)


def _name(name: str) -> bytes:
    return encode_unsigned(len(name)) + name.encode()


def _export(name: str, kind: External, index: int) -> bytes:
    encoded = name.encode()
    return encode_unsigned(len(encoded)) + encoded + bytes((kind,)) + encode_unsigned(index)


def _decode_globals(module: Module) -> list[tuple[int, int, bytes]]:
    """Return type, mutability and initial value of each global."""
    raw = module.raw[Section.GLOBAL]
    reader, out = Reader(raw, 0, len(raw)), []
    for _ in range(reader.unsigned()):
        kind, mutable, start = reader.byte(), reader.byte(), reader.position
        _skip_constant(reader, reader.byte())
        out.append((kind, mutable, raw[start : reader.position]))
    return out


def _skip_constant(reader: Reader, code: int) -> None:
    """Step over what follows the opcode of a constant expression, and its end."""
    match code:
        case 0x41 | 0x42:
            reader.skip_signed(10)
        case 0x43:
            reader.take(4)
        case 0x44:
            reader.take(8)
        case 0xFD:
            reader.take(17)
        case _:
            reader.unsigned()
    reader.byte()


def _decode_locals(reader: Reader) -> tuple[bytes, int, bytes]:
    """Return the groups of locals raw, their number, and the type of each local."""
    count, start, types = reader.unsigned(), reader.position, bytearray()
    for _ in range(count):
        size = reader.unsigned()
        types += reader.take(1) * size
    return reader.data[start : reader.position], count, bytes(types)
