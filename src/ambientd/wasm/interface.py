"""What a module must export: the ambient ABI v1 or a WASI command (§2)."""

from dataclasses import dataclass
from enum import Enum

from ambientd.wasm.imports import CRYPTO_MODULE, WASI_MODULE
from ambientd.wasm.sections import External, Signature

GAS_EXPORT = "__ambient_gas"  # mutable i64 global; negative <=> out of gas
DEPTH_EXPORT = "__ambient_depth"  # mutable i32 global; above the limit <=> call depth exceeded
START_EXPORT = "__ambient_start"  # the former start function, if there was one
RESERVED_PREFIX = "__ambient_"


class Interface(Enum):
    """How the host talks to a module."""

    AMBIENT = "ambient"
    WASI = "wasi"


@dataclass(frozen=True, slots=True)
class Required:
    """An export that an interface needs; the signature is None for a memory."""

    name: str
    kind: External
    signature: Signature | None
    shown: str


_MEMORY = Required("memory", External.MEMORY, None, "memory")
REQUIRED_EXPORTS: dict[Interface, tuple[Required, ...]] = {
    Interface.AMBIENT: (
        _MEMORY,
        Required("alloc", External.FUNCTION, Signature(b"\x7f", b"\x7f"), "alloc: (i32) -> i32"),
        Required(
            "run", External.FUNCTION, Signature(b"\x7f\x7f", b"\x7e"), "run: (i32, i32) -> i64"
        ),
    ),
    Interface.WASI: (
        _MEMORY,
        Required("_start", External.FUNCTION, Signature(b"", b""), "_start: () -> ()"),
    ),
}
IMPORTED_MODULES: dict[Interface, frozenset[str]] = {
    Interface.AMBIENT: frozenset({CRYPTO_MODULE}),
    Interface.WASI: frozenset({WASI_MODULE, CRYPTO_MODULE}),
}
