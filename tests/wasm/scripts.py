"""Modules that make a list of host calls and show what came of them."""

from dataclasses import dataclass, field

import wasmtime

from ambientd.wasm.imports import CRYPTO_MODULE, HOST_FUNCTIONS, IMPORTABLE, WASI_MODULE

RESULTS = 0x8000  # one 4-byte answer a call
_VECTOR = 0x7FF0
Call = tuple[str | int, ...]


@dataclass(frozen=True)
class Script:
    """A WASI command: fill the memory, make the calls, write answers and a range to the output."""

    calls: tuple[Call, ...]
    data: dict[int, bytes] = field(default_factory=dict)
    shown: tuple[int, int] = (0, 0)
    pages: int = 1

    def module(self) -> bytes:
        """Assemble it."""
        start, size_bytes = self.shown
        vectors = _words(RESULTS, 4 * len(self.calls), start, size_bytes)
        show: Call = ("fd_write", 1, _VECTOR, 2, _VECTOR - 4)
        body = "".join(_call(call, RESULTS + 4 * at) for at, call in enumerate(self.calls))
        names = {str(call[0]) for call in (*self.calls, show)}
        segments = "".join(
            f'(data (i32.const {at}) "{_escaped(content)}")'
            for at, content in {**self.data, _VECTOR: vectors}.items()
        )
        return _assemble(
            f"""{_imports(names)} (memory (export "memory") {self.pages}) {segments}
            (func (export "_start") {body} (drop {_operation(show)}))"""
        )


def verifier() -> bytes:
    """An ambient module: key, signature and message in, the host's answer out."""
    return _ambient(
        "ed25519_verify",
        """(i32.store (i32.const 0) (call $ed25519_verify (local.get 0)
            (i32.add (local.get 0) (i32.const 96)) (i32.sub (local.get 1) (i32.const 96))
            (i32.add (local.get 0) (i32.const 32))))
        (i64.const 4)""",
    )


def hasher(name: str) -> bytes:
    """An ambient module: the input's hash is the output."""
    return _ambient(
        name, f"(call ${name} (local.get 0) (local.get 1) (i32.const 0)) (i64.const 32)"
    )


def _ambient(name: str, run: str) -> bytes:
    return _assemble(
        f"""{_imports({name})} (memory (export "memory") 32)
        (func (export "alloc") (param i32) (result i32) (i32.const 256))
        (func (export "run") (param i32 i32) (result i64) {run})"""
    )


def _assemble(fields: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {fields})"))


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def _imports(names: set[str]) -> str:
    lines = []
    for name in sorted(names):
        space = WASI_MODULE if name in IMPORTABLE[WASI_MODULE] else CRYPTO_MODULE
        function = HOST_FUNCTIONS[name]
        params = "".join(f"(param {_TYPES[kind]})" for kind in function.params)
        result = "(result i32)" if function.results else ""
        lines.append(f'(import "{space}" "{name}" (func ${name} {params} {result}))')
    return "".join(lines)


def _operation(call: Call) -> str:
    name, *arguments = call
    kinds = HOST_FUNCTIONS[str(name)].params
    operands = (
        f"({_TYPES[kind]}.const {argument})"
        for kind, argument in zip(kinds, arguments, strict=True)
    )
    return f"(call ${name} {' '.join(operands)})"


def _call(call: Call, answer_at: int) -> str:
    if HOST_FUNCTIONS[str(call[0])].results:
        return f"(i32.store (i32.const {answer_at}) {_operation(call)})"
    return _operation(call)


_TYPES = {"i": "i32", "l": "i64"}
