"""Execute a module on every installed engine and insist that they agree."""

from functools import cache
from typing import Any

import wasmtime

from ambientd.adapters.engines import installed, open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.engine import CompiledModule, Engine
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute

GAS = 10**9
SEED = bytes(32)
SHOWN_BYTES = 128
# Shows the first bytes of the memory, whatever the body did.
_AMBIENT = """
  (func (export "alloc") (param i32) (result i32) (i32.const 4096))
  (func (export "run") (param i32 i32) (result i64) (call $body) (i64.const 128))
"""


@cache
def engine(name: str) -> Engine:
    return open_engine(name)


def assembled(fields: str, *, memory: str = '(memory (export "memory") 1)') -> bytes:
    """Assemble a module that calls `$body`."""
    return bytes(wasmtime.wat2wasm(f"(module {memory} {fields} {_AMBIENT})"))


def assembled_command(fields: str) -> bytes:
    """Assemble a whole module as it stands."""
    return bytes(wasmtime.wat2wasm(f"(module {fields})"))


def compiled(module: bytes) -> dict[str, CompiledModule]:
    """Prepare and compile; a refusal by any engine fails the test."""
    prepared = prepare(module)
    assert isinstance(prepared, Prepared), prepared
    return {name: engine(name).compile(prepared.module) for name in installed()}


def outcome(module: bytes, data: bytes = b"", **limits: Any) -> ExecutionResult:
    """Return what every engine gives, compiled here and restored; the log is left out."""
    chosen = ExecutionLimits(**{"gas_max": GAS, **limits})
    seen = {}
    for name, ready in compiled(module).items():
        for form, kept in (("compiled", None), ("restored", ready.serialize())):
            executed = ready if kept is None else engine(name).restore(kept)
            result = execute(executed, data, chosen, SEED)
            assert isinstance(result, ExecutionResult), (name, form, result)
            seen[name, form] = (result.kind, result.reason, result.output, result.gas)
    assert len(set(seen.values())) == 1, seen
    kind, reason, output, gas = next(iter(seen.values()))
    return ExecutionResult(kind=kind, reason=reason, output=output, gas=gas, log=b"")


def shown(fields: str, **limits: Any) -> bytes:
    """Return the first bytes of the memory after `$body`, which must complete."""
    result = outcome(assembled(fields), **limits)
    assert result.kind.name == "COMPLETED", result
    return result.output


def number(output: bytes, at: int = 0, size: int = 4) -> int:
    return int.from_bytes(output[at : at + size], "little")
