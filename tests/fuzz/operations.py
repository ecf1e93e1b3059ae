"""The typed signature of every plain instruction, read off the table that the rewriter uses.

What is allowed and what the programs draw from is one table, so no instruction can be added to
the first and be forgotten by the second.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ambientd.wasm.opcodes import OPCODES, Immediate, Opcode

SCALARS = ("i32", "i64", "f32", "f64")
TYPES = (*SCALARS, "v128")
_LANE_TYPES = {"i8x16": "i32", "i16x8": "i32", "i32x4": "i32", "i64x2": "i64", "f32x4": "f32",
               "f64x2": "f64"}  # fmt: skip
_COMPARISON = re.compile(r"(eq|ne|lt|gt|le|ge)(_[su])?$")


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction that takes values and gives one, or none for a store."""

    name: str
    params: tuple[str, ...]
    result: str | None
    immediate: Immediate
    lanes: int  # how many lanes a lane immediate can name


def _operation(opcode: Opcode) -> Operation | None:
    """Give the signature; None for what is no computation on values."""
    prefix, _, rest = opcode.name.partition(".")
    lanes = int(prefix.partition("x")[2] or 0)
    if opcode.immediate in (Immediate.MEMORY, Immediate.MEMORY_LANE):
        bits = re.search(r"(?:load|store)(\d+)_lane", rest)
        lanes = 128 // int(bits[1]) if bits else 0
        values = (prefix,) if rest.startswith("store") or bits else ()
        result = None if rest.startswith("store") else prefix
        return Operation(opcode.name, ("i32", *values), result, opcode.immediate, lanes)
    if prefix not in (*TYPES, *_LANE_TYPES) or rest == "const":
        return None
    if prefix in SCALARS:
        named = [word for word in rest.split("_") if word in SCALARS]
        source = named[0] if named else prefix
        result = "i32" if rest == "eqz" or _COMPARISON.match(rest) else prefix
        params = (source,) * (1 - opcode.net)
    else:
        params, result = _vector(prefix, rest, opcode.net)
    return Operation(opcode.name, params, result, opcode.immediate, lanes)


def _vector(shape: str, name: str, net: int) -> tuple[tuple[str, ...], str]:
    lane = _LANE_TYPES.get(shape, "i32")
    if name == "splat":
        return (lane,), "v128"
    if name.startswith("extract_lane"):
        return ("v128",), lane
    if name == "replace_lane":
        return ("v128", lane), "v128"
    if name in ("all_true", "any_true", "bitmask"):
        return ("v128",), "i32"
    if name in ("shl", "shr_s", "shr_u"):
        return ("v128", "i32"), "v128"
    return ("v128",) * (1 - net), "v128"


OPERATIONS: Mapping[str, Operation] = {
    opcode.name: found for opcode in OPCODES.values() if (found := _operation(opcode)) is not None
}


def _by_result() -> dict[str | None, tuple[Operation, ...]]:
    groups: dict[str | None, list[Operation]] = defaultdict(list)
    for operation in OPERATIONS.values():
        groups[operation.result].append(operation)
    return {result: tuple(group) for result, group in groups.items()}


BY_RESULT: Mapping[str | None, tuple[Operation, ...]] = _by_result()
