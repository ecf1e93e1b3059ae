"""The tasks of the race, as everybody but the mesh executes them; imported by their workers.

Both are there twice: as WebAssembly, the same modules that the mesh executes, a fresh instance
for each task; and natively.
"""

import hashlib
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import wasmtime

ROUNDS = 8_000


def native_noop(_data: bytes) -> bytes:
    return b""


def native_digest(data: bytes) -> bytes:
    for _ in range(ROUNDS):
        data = hashlib.sha256(data).digest()
    return data


def wasm_noop(data: bytes) -> bytes:
    return _execute(os.environ["RACE_NOOP"], data)


def wasm_digest(data: bytes) -> bytes:
    return _execute(os.environ["RACE_DIGEST"], data)


TASKS: dict[str, Callable[[bytes], bytes]] = {
    "wasm-noop": wasm_noop,
    "wasm-digest": wasm_digest,
    "native-noop": native_noop,
    "native-digest": native_digest,
}


@cache
def _compiled(path: str) -> Any:  # noqa: ANN401 - wasmtime's own
    engine = wasmtime.Engine()
    return engine, wasmtime.Module.from_file(engine, path)


def _execute(path: str, data: bytes) -> bytes:
    engine, module = _compiled(path)
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, module, []).exports(store)
    memory, address = exports["memory"], exports["alloc"](store, len(data))
    memory.write(store, data, address)
    place = exports["run"](store, address, len(data)) & (1 << 64) - 1
    start, size = place >> 32, place & 0xFFFFFFFF
    return bytes(memory.read(store, start, start + size))
