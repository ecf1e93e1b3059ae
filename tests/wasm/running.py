"""Compile text, run raw and prepared modules on wasmtime, and compare what can be observed."""

from dataclasses import dataclass

import wasmtime

from ambientd.adapters.wasmtime_engine import STACK_BYTES_MAX, allow_stack
from ambientd.wasm.interface import DEPTH_EXPORT, GAS_EXPORT, START_EXPORT
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Prepared, prepare

GAS = 1 << 40
Value = int | float


def engine() -> wasmtime.Engine:
    """An engine that does nothing about NaNs by itself, with room for the deepest call."""
    config = wasmtime.Config()
    allow_stack(config, STACK_BYTES_MAX)
    config.parallel_compilation = False
    return wasmtime.Engine(config)


ENGINE = engine()
ABI = """
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (i64.const 0))
"""


def module(fields: str, *, memory: str = '(memory (export "memory") 1)', abi: str = ABI) -> bytes:
    """Wrap fields into an ambient module; `fields` come first, so function 0 is theirs."""
    return bytes(wasmtime.wat2wasm(f"(module {memory} {fields} {abi})"))


def prepared(source: bytes, limits: PrepareLimits | None = None) -> bytes:
    outcome = prepare(source, limits or PrepareLimits())
    assert isinstance(outcome, Prepared), outcome
    return outcome.module


def valid(source: bytes) -> bool:
    try:
        wasmtime.Module.validate(ENGINE, source)
    except wasmtime.WasmtimeError:
        return False
    return True


@dataclass(frozen=True)
class Seen:
    """Everything observable about one call."""

    value: object
    trap: str | None
    memory: bytes


@dataclass(frozen=True)
class Paid:
    """What the prepared module's globals say afterwards."""

    gas: int
    depth: int


class Instance:
    """One instance, raw or prepared; a raw one has no gas."""

    def __init__(self, source: bytes, gas: int = GAS) -> None:
        self.store = wasmtime.Store(ENGINE)
        compiled = wasmtime.Module(ENGINE, source)
        self.instance = wasmtime.Instance(self.store, compiled, [])
        self.exports = self.instance.exports(self.store)
        self.is_prepared = GAS_EXPORT in [entry.name for entry in compiled.exports]
        if self.is_prepared:
            self.refill(gas)
            if START_EXPORT in [entry.name for entry in compiled.exports]:
                self.exports[START_EXPORT](self.store)

    def refill(self, gas: int) -> None:
        self.exports[GAS_EXPORT].set_value(self.store, wasmtime.Val.i64(gas))

    def paid(self, gas: int = GAS) -> Paid:
        return Paid(
            gas - self.exports[GAS_EXPORT].value(self.store),
            self.exports[DEPTH_EXPORT].value(self.store),
        )

    def call(self, name: str, *arguments: Value) -> Seen:
        value, trap = None, None
        try:
            value = self.exports[name](self.store, *arguments)
        except wasmtime.Trap as caught:
            trap = caught.trap_code.name
        memory = self.exports["memory"]
        return Seen(repr(value), trap, bytes(memory.read(self.store, 0, 4096)))


def gas_of(source: bytes, name: str, *arguments: Value) -> int:
    """Run one call on the prepared module and return the gas it took."""
    instance = Instance(prepared(source))
    seen = instance.call(name, *arguments)
    assert seen.trap is None, seen.trap
    assert instance.paid().depth == 0
    return instance.paid().gas
