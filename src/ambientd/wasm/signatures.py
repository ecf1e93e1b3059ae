"""What each allowed instruction takes from the operand stack and leaves there, by its name.

The names are regular (`f64x2.replace_lane` takes a v128 and an f64), so a few patterns give the
types of nearly all of them. Those whose types depend on where they stand (locals, globals, tables,
calls, blocks, `drop`, `select`) are not here; `pausing_scan.py` knows them.
"""

import re

from ambientd.wasm.opcodes import OPCODES, Opcode, Role

I32, I64, F32, F64, V128 = b"\x7f", b"\x7e", b"\x7d", b"\x7c", b"\x7b"
FUNCREF = b"\x70"

# Pops, bottom first, and pushes.
Effect = tuple[bytes, bytes]

_SCALARS = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}
_LANES = {"i8x16": I32, "i16x8": I32, "i32x4": I32, "i64x2": I64, "f32x4": F32, "f64x2": F64}
_COMPARISON = re.compile(r"(?:eq|ne|[lg][te](?:_[su])?)")
_CONVERSION = re.compile(r"\w+?_(i32|i64|f32|f64)(?:_[su])?")
_TO_I32 = re.compile(r"(?:any_true|all_true|bitmask)")
_BY_NAME: dict[str, Effect] = {
    "nop": (b"", b""),
    "memory.size": (b"", I32),
    "memory.grow": (I32, I32),
    "memory.init": (I32 * 3, b""),
    "memory.copy": (I32 * 3, b""),
    "memory.fill": (I32 * 3, b""),
    "data.drop": (b"", b""),
    "elem.drop": (b"", b""),
    "table.size": (b"", I32),
    "table.init": (I32 * 3, b""),
    "table.copy": (I32 * 3, b""),
    "ref.func": (b"", FUNCREF),
    "v128.const": (b"", V128),
    "v128.bitselect": (V128 * 3, V128),
    "v128.store": (I32 + V128, b""),
}


def _scalar(kind: bytes, operation: str, net: int) -> Effect:
    if operation == "const":
        return b"", kind
    if operation.startswith("load"):
        return I32, kind
    if operation.startswith("store"):
        return I32 + kind, b""
    if operation == "eqz":
        return kind, I32
    if _COMPARISON.fullmatch(operation):
        return kind * 2, I32
    if converted := _CONVERSION.fullmatch(operation):
        return _SCALARS[converted[1]], kind
    return kind * (1 - net), kind


def _vector(shape: str, operation: str, net: int) -> Effect:
    if operation.startswith(("load", "store")):
        loaded = V128 if operation.startswith("load") else b""
        return (I32 + V128 if operation.endswith("lane") else I32), loaded
    if operation == "splat":
        return _LANES[shape], V128
    if operation.startswith("extract_lane"):
        return V128, _LANES[shape]
    if operation == "replace_lane":
        return V128 + _LANES[shape], V128
    if operation.startswith("sh") and operation != "shuffle":
        return V128 + I32, V128
    if _TO_I32.fullmatch(operation):
        return V128, I32
    return V128 * (1 - net), V128


def _effect(opcode: Opcode) -> Effect | None:
    family, _, operation = opcode.name.partition(".")
    if opcode.name in _BY_NAME:
        return _BY_NAME[opcode.name]
    if family in _SCALARS:
        return _scalar(_SCALARS[family], operation, opcode.net)
    if family == "v128" or family in _LANES:
        return _vector(family, operation, opcode.net)
    return None


def _all_effects() -> dict[int, Effect]:
    table = {}
    for code, opcode in OPCODES.items():
        if opcode.role < Role.CALL and opcode.role not in (Role.LOCAL, Role.GLOBAL):
            effect = _effect(opcode)
            if effect is not None:
                assert len(effect[1]) - len(effect[0]) == opcode.net, opcode.name
                table[code] = effect
    return table


EFFECTS: dict[int, Effect] = _all_effects()
