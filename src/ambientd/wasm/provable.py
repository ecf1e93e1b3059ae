"""Whether the images that interpret take a module, found without executing it (protocols/18 §8).

A look of the same kinds of values and instructions as `native/proofs/guest` takes; that the module
is valid, and how many cycles it takes, only the image itself tells.
"""

from ambientd.wasm.c_module import LIMITS, globals_of
from ambientd.wasm.leb import Reader
from ambientd.wasm.refusal import RefusalError
from ambientd.wasm.sections import Module, decode_module
from ambientd.wasm.tokens import opcode_of, tokenise

INTERPRETED = frozenset(b"\x7f\x7e\x70\x6f")
"""The types of values: i32, i64, and references."""

VECTORS_FROM = 0xFD00


def not_interpreted(prepared: bytes) -> str | None:
    """Say what of a prepared module no image interprets, or None."""
    try:
        module = decode_module(prepared, LIMITS)
        return _fault(prepared, module)
    except RefusalError as refusal:
        return refusal.problem


def _fault(prepared: bytes, module: Module) -> str | None:
    if module.imports:
        return f"it imports {module.imports[0].name!r}, a host function"
    types = {kind for each in module.types for kind in each.params + each.results}
    types |= {kind for kind, *_ in globals_of(module)}
    if types - INTERPRETED:
        return "it has values of floating point, or vectors"
    for index, (start, end) in enumerate(module.bodies):
        fault = _body_fault(prepared, start, end)
        if fault is not None:
            return f"function {index}: {fault}"
    return None


def _body_fault(prepared: bytes, start: int, end: int) -> str | None:
    reader = Reader(prepared, start, end)
    for _ in range(reader.unsigned()):
        reader.unsigned()
        if reader.byte() not in INTERPRETED:
            return "a local of floating point, or a vector"
    for token in set(tokenise(prepared, reader.position, end, LIMITS.branch_targets_max)):
        found = opcode_of(token)
        if found is None:
            return "an instruction that no module has"
        opcode, _ = found
        if opcode.code >= VECTORS_FROM or "f32" in opcode.name or "f64" in opcode.name:
            return f"{opcode.name} is not interpreted"
    return None
