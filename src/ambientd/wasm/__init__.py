"""Module preparation: one deterministic rewrite before any engine sees a module (protocols/04)."""

from ambientd.wasm.imports import WASI_FUNCTIONS, WASI_MODULE
from ambientd.wasm.interface import (
    DEPTH_EXPORT,
    GAS_EXPORT,
    START_EXPORT,
    Interface,
)
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, Refused, prepare

__all__ = [
    "DEPTH_EXPORT",
    "GAS_EXPORT",
    "REWRITER_VERSION",
    "START_EXPORT",
    "WASI_FUNCTIONS",
    "WASI_MODULE",
    "Interface",
    "PrepareLimits",
    "Prepared",
    "Refused",
    "prepare",
]
