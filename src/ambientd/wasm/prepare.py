"""Prepare a submitted module, or say why not (protocols/04).

A pure function of the bytes and the limits: it never raises and never looks at the
world. It decodes the structure; whether types fit is left to the engine, which
validates the prepared module. The rewriter adds no function, so every index that the
submitted module may use keeps its meaning, and one behind its own is refused.
"""

from dataclasses import dataclass

from ambientd.wasm.body import rewrite_body
from ambientd.wasm.context import BodyContext
from ambientd.wasm.emit import Globals
from ambientd.wasm.imports import IMPORTABLE
from ambientd.wasm.interface import (
    DEPTH_EXPORT,
    GAS_EXPORT,
    IMPORTED_MODULES,
    REQUIRED_EXPORTS,
    RESERVED_PREFIX,
    START_EXPORT,
    Interface,
)
from ambientd.wasm.leb import encode_unsigned
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.names import name_of
from ambientd.wasm.refusal import SHRINK, RefusalError
from ambientd.wasm.sections import (
    FUNCTION_FORM,
    MAGIC,
    ORDER,
    Bounds,
    External,
    Module,
    Section,
    decode_module,
)

REWRITER_VERSION: int = 3


@dataclass(frozen=True, slots=True)
class Prepared:
    """The module that engines run, and what it needs from the host."""

    module: bytes
    interface: Interface
    imports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A sentence for the submitter: where, what is wrong, what to do."""

    reason: str


_DEFAULT_LIMITS = PrepareLimits()


def prepare(module: bytes, limits: PrepareLimits = _DEFAULT_LIMITS) -> Prepared | Refused:
    """Rewrite a module for deterministic, paid execution."""
    decoded: Module | None = None
    try:
        decoded = decode_module(module, limits)
        _check_imports(decoded)
        interface = _interface_of(decoded)
        return Prepared(
            module=_rewrite(module, decoded, limits),
            interface=interface,
            imports=tuple(sorted({entry.name for entry in decoded.imports})),
        )
    except RefusalError as refusal:
        return Refused(_sentence(refusal, module, decoded))


def _sentence(refusal: RefusalError, data: bytes, module: Module | None) -> str:
    where = []
    if refusal.function is not None:
        where.append(_function_shown(refusal.function, data, module))
    elif refusal.section is not None:
        where.append(f"{refusal.section} section")
    if refusal.offset is not None:
        where.append(f"byte {refusal.offset}")
    place = ", ".join(where) + ": " if where else ""
    instruction = f"{refusal.instruction}: " if refusal.instruction else ""
    return f"{place}{instruction}{refusal.problem}. {refusal.remedy}"


def _function_shown(function: int, data: bytes, module: Module | None) -> str:
    exported = sorted(
        repr(export.name)
        for export in (module.exports if module else ())
        if export.kind is External.FUNCTION and export.index == function
    )
    name = name_of(data, function)
    known = [f"named {name!r}"] * bool(name) + [f"exported as {e}" for e in exported[:1]]
    return f"function {function}" + (f" ({', '.join(known)})" * bool(known))


def _check_imports(module: Module) -> None:
    for entry in module.imports:
        known = IMPORTABLE.get(entry.module, {}).get(entry.name)
        if known is None:
            raise RefusalError(
                f"the import {entry.module!r} {entry.name!r} is not available",
                f"Only functions of {', '.join(IMPORTABLE)} may be imported.",
                entry.offset,
            )
        if module.types[entry.type_index] != known.signature():
            raise RefusalError(
                f"the import {entry.name!r} has another type than the host gives it",
                "Declare it with the type that protocols/04 §9 gives it.",
            )


def _interface_of(module: Module) -> Interface:
    """Tell the interface by the exports; the ambient ABI is looked for first."""
    exports = {entry.name: entry for entry in module.exports}
    reserved = sorted(name for name in exports if name.startswith(RESERVED_PREFIX))
    if reserved:
        raise RefusalError(
            f"the export {reserved[0]!r} has a reserved name",
            "Rename it; if the module is a prepared one already, submit the original.",
            exports[reserved[0]].offset,
        )
    missing: dict[Interface, list[str]] = {}
    for interface, required in REQUIRED_EXPORTS.items():
        missing[interface] = [
            want.shown
            for want in required
            if (found := exports.get(want.name)) is None
            or found.kind is not want.kind
            or (want.signature is not None and module.signature(found.index) != want.signature)
        ]
        foreign = {entry.module for entry in module.imports} - IMPORTED_MODULES[interface]
        missing[interface] += [f"no imports of {name}" for name in sorted(foreign)]
        if not missing[interface]:
            return interface
    raise RefusalError(
        "the module fits no interface: an ambient module lacks "
        f"[{'; '.join(missing[Interface.AMBIENT])}], "
        f"a WASI command lacks [{'; '.join(missing[Interface.WASI])}]",
        "Export one of the two sets with exactly these types.",
    )


def _rewrite(data: bytes, module: Module, limits: PrepareLimits) -> bytes:
    names = Globals(gas=module.globals_count, depth=module.globals_count + 1)
    context = BodyContext(data, module, limits, names)
    bodies: list[bytes] = []
    size_bytes = 0
    for index, (start, end) in enumerate(module.bodies):
        function = len(module.imports) + index
        try:
            bodies.append(rewrite_body(context, function, start, end))
            size_bytes += len(bodies[-1])
            if size_bytes > limits.prepared_bytes_max:
                raise RefusalError(
                    f"the prepared functions need more than {limits.prepared_bytes_max} bytes",
                    SHRINK,
                    start,
                )
        except RefusalError as refusal:
            refusal.function = function
            raise
    sections = dict(module.raw)
    sections.pop(Section.START, None)
    if context.added_types:
        sections[Section.TYPE] = _types(module, context.added_types)
    if module.memory:
        sections[Section.MEMORY] = b"\x01" + _bounds(module.memory, limits.memory_pages_max)
    if module.tables:
        sections[Section.TABLE] = encode_unsigned(len(module.tables)) + b"".join(
            bytes((kind,)) + _bounds(bounds, limits.table_elements_max)
            for kind, bounds in module.tables
        )
    sections[Section.GLOBAL] = (
        encode_unsigned(module.globals_count + 2)
        + module.globals_raw
        + b"\x7e\x01\x42\x00\x0b"  # gas: mutable i64, 0, so nothing runs unpaid
        + b"\x7f\x01\x41\x00\x0b"  # depth: mutable i32, 0
    )
    sections[Section.EXPORT] = _exports(module, names)
    if Section.CODE in sections:
        sections[Section.CODE] = encode_unsigned(len(bodies)) + b"".join(bodies)
    return MAGIC + b"".join(
        bytes((number,)) + encode_unsigned(len(sections[number])) + sections[number]
        for number in ORDER
        if number in sections
    )


def _types(module: Module, added: list[bytes]) -> bytes:
    signatures = [(entry.params, entry.results) for entry in module.types]
    signatures += [(b"", results) for results in added]
    return encode_unsigned(len(signatures)) + b"".join(
        bytes((FUNCTION_FORM,))
        + encode_unsigned(len(params))
        + params
        + encode_unsigned(len(results))
        + results
        for params, results in signatures
    )


def _bounds(bounds: Bounds, limit: int) -> bytes:
    maximum = limit if bounds.maximum is None else min(bounds.maximum, limit)
    return b"\x01" + encode_unsigned(bounds.minimum) + encode_unsigned(maximum)


def _exports(module: Module, names: Globals) -> bytes:
    entries = [(entry.name.encode(), entry.kind, entry.index) for entry in module.exports]
    entries.append((GAS_EXPORT.encode(), External.GLOBAL, names.gas))
    entries.append((DEPTH_EXPORT.encode(), External.GLOBAL, names.depth))
    if module.start is not None:
        entries.append((START_EXPORT.encode(), External.FUNCTION, module.start))
    return encode_unsigned(len(entries)) + b"".join(
        encode_unsigned(len(name)) + name + bytes((kind,)) + encode_unsigned(index)
        for name, kind, index in entries
    )
