"""The instruction sequences that preparation inserts (§5 to §7)."""

from dataclasses import dataclass

from ambientd.wasm.leb import encode_signed, encode_unsigned
from ambientd.wasm.opcodes import BYTES_SHIFT, PAGE_GAS, Role

BLOCK, END, BR, BR_IF, RETURN, CALL = b"\x02", b"\x0b", b"\x0c", b"\x0d", b"\x0f", b"\x10"
LOCAL_GET, LOCAL_SET, LOCAL_TEE = b"\x20", b"\x21", b"\x22"
GLOBAL_GET, GLOBAL_SET = b"\x23", b"\x24"
I32_CONST, I64_CONST = b"\x41", b"\x42"
I32_GT_U, I32_ADD, I32_SUB = b"\x4b", b"\x6a", b"\x6b"
I64_LT_S, I64_SUB, I64_MUL, I64_SHR_U = b"\x53", b"\x7d", b"\x7e", b"\x88"
I64_EXTEND_I32_U = b"\xad"
UNREACHABLE, SELECT, NO_RESULT = b"\x00", b"\x1b", b"\x40"
I32, I64, F32, F64, V128 = b"\x7f", b"\x7e", b"\x7d", b"\x7c", b"\x7b"

_NAN_F32, _NAN_F64 = b"\x00\x00\xc0\x7f", b"\x00\x00\x00\x00\x00\x00\xf8\x7f"
_F32_GE, _F64_GE = b"\x60", b"\x66"  # of a value with itself: a cheaper test than eq
_F32X4_NE, _F64X2_NE = b"\xfd\x42", b"\xfd\x48"
_V128_OR = b"\xfd\x50"

# Local type that a canonicalising sequence needs, and what stands before and behind reading the
# value twice. A lane with a NaN becomes all ones, which costs no constant and no blend.
_CANONICAL: dict[int, tuple[bytes, bytes, bytes]] = {
    Role.OBSERVE_F32: (F32, b"\x43" + _NAN_F32, _F32_GE + SELECT),
    Role.OBSERVE_F64: (F64, b"\x44" + _NAN_F64, _F64_GE + SELECT),
    Role.LANES_F32: (V128, b"", _F32X4_NE + _V128_OR),
    Role.LANES_F64: (V128, b"", _F64X2_NE + _V128_OR),
}
_SIZE_TO_GAS: dict[int, bytes] = {
    Role.SIZED_PAGES: I64_CONST + encode_signed(PAGE_GAS) + I64_MUL,
    Role.SIZED_BYTES: I64_CONST + encode_signed(BYTES_SHIFT) + I64_SHR_U,
    Role.SIZED_ELEMENTS: b"",
}


@dataclass(frozen=True, slots=True)
class Globals:
    """The global indices of gas and call depth in the prepared module."""

    gas: int
    depth: int


@dataclass(frozen=True, slots=True)
class Scratch:
    """The rewriter's own locals in one function, and what makes a NaN canonical with them."""

    groups: int
    locals: bytes
    canonical: dict[int, bytes]


class Charges(dict[int, bytes]):
    """Sequences that take gas without looking, made when they are first needed."""

    def __init__(self, gas_get: bytes, gas_set: bytes) -> None:
        super().__init__({0: b""})
        self._gas_get, self._gas_set = gas_get, gas_set

    def __missing__(self, gas: int) -> bytes:
        """Make the sequence for an amount of gas."""
        charge = self._gas_get + I64_CONST + encode_signed(gas) + I64_SUB + self._gas_set
        self[gas] = charge
        return charge


class Emitter:
    """Sequences for functions with so many locals: their scratch locals follow."""

    def __init__(self, names: Globals, first_local: int) -> None:
        self._first_local = first_local
        self._scratch: dict[frozenset[int], Scratch] = {}
        depth, gas, size = (encode_unsigned(first_local + offset) for offset in range(3))
        gas_global, depth_global = encode_unsigned(names.gas), encode_unsigned(names.depth)
        self._gas_get, self._gas_set, self._gas_tee = (
            LOCAL_GET + gas,
            LOCAL_SET + gas,
            LOCAL_TEE + gas,
        )
        self._size_get, self._size_tee = LOCAL_GET + size, LOCAL_TEE + size
        self._depth_get, self._depth_tee = LOCAL_GET + depth, LOCAL_TEE + depth
        self._load, self._store = GLOBAL_GET + gas_global, GLOBAL_SET + gas_global
        self._depth_global_get = GLOBAL_GET + depth_global
        self._depth_global_set = GLOBAL_SET + depth_global
        self._negative = I64_CONST + b"\x00" + I64_LT_S + BR_IF
        self.charges = Charges(self._gas_get, self._gas_set)
        self.flush = self._gas_get + self._store
        self.reload = self._load + self._gas_set

    def scratch(self, roles: frozenset[int]) -> Scratch:
        """Lay the scratch locals out for a function in which these roles occur."""
        if roles not in self._scratch:
            self._scratch[roles] = self._lay_out(roles)
        return self._scratch[roles]

    def _lay_out(self, roles: frozenset[int]) -> Scratch:
        types = [I32, I64, I32]  # depth, gas, a size
        canonical: dict[int, bytes] = {}
        for role, (kind, before, behind) in _CANONICAL.items():
            if role in roles:
                if kind not in types:
                    types.append(kind)
                local = encode_unsigned(self._first_local + types.index(kind))
                get = LOCAL_GET + local
                canonical[role] = LOCAL_TEE + local + before + get + get + behind
        return Scratch(len(types), b"".join(b"\x01" + kind for kind in types), canonical)

    def charge_checked(self, gas: int, label: int) -> bytes:
        """Take gas and leave for `label` if there was not enough."""
        taken = self._gas_get + I64_CONST + encode_signed(gas) + I64_SUB + self._gas_tee
        return taken + self._negative + encode_unsigned(label)

    def check(self, label: int) -> bytes:
        """Leave for `label` if gas taken so far was not there."""
        return self._gas_get + self._negative + encode_unsigned(label)

    def charge_size(self, role: int, label: int) -> bytes:
        """Take gas for the unsigned i32 on top of the stack and check; the operand stays."""
        size = self._size_get + I64_EXTEND_I32_U + _SIZE_TO_GAS[role]
        taken = self._size_tee + self._gas_get + size + I64_SUB + self._gas_tee
        return taken + self._negative + encode_unsigned(label)

    def prologue(self, result: bytes, gas: int, weight: int, weight_max: int) -> bytes:
        """Open both blocks, pay for entry, then claim stack; label 1 is the way out."""
        return (
            BLOCK + NO_RESULT + BLOCK + result
            + self._load + I64_CONST + encode_signed(gas) + I64_SUB + self._gas_tee
            + self._negative + b"\x01"
            + self._depth_global_get + I32_CONST + encode_signed(weight) + I32_ADD
            + self._depth_tee + self._depth_global_set
            + self._depth_get + I32_CONST + encode_signed(weight_max) + I32_GT_U + BR_IF + b"\x01"
        )  # fmt: skip

    def epilogue(self, *, check: bool, weight: int) -> bytes:
        """Close the inner block and return; behind it, the one place that gives up."""
        return (
            END
            + (self.check(0) if check else b"")
            + self.flush
            + self._depth_get + I32_CONST + encode_signed(weight) + I32_SUB + self._depth_global_set
            + RETURN + END
            + self.flush + UNREACHABLE + END
        )  # fmt: skip
