"""wasmer and wasmi, compiled from `native/engines`: the same shape for both (docs/adr/0009).

The determinism settings lie in the native package, beside the engine that they configure. Here its
errors become the port's.
"""

import ambientd_engines as native

from ambientd.model.execution import TrapReason
from ambientd.ports.engine import (
    EngineFailureError,
    HostCalls,
    ModuleInvalidError,
    ModuleShape,
    TrapError,
)
from ambientd.wasm.imports import BOUND


class NativeInstance:
    """One instance in its own store."""

    def __init__(self, instance: native.Instance) -> None:
        self._instance = instance
        self.memory_bytes = instance.memory_bytes
        self.read = instance.read
        self.write = instance.write
        self.global_value = instance.global_value
        self.close = instance.close

    def leave_out(self, page: int) -> None:
        """Refuse: where the memory lies, this binding does not say."""
        msg = f"this engine cannot leave page {page} out; say `--engine wasmtime`"
        raise EngineFailureError(msg)

    def set_global(self, name: str, value: int) -> None:
        """Write an exported i64 global."""
        try:
            self._instance.set_global(name, value)
        except native.FailureError as failure:
            raise EngineFailureError(str(failure)) from None

    def call(self, name: str, *arguments: int) -> int | None:
        """Call an exported function; a host call's exception comes out unchanged."""
        try:
            return self._instance.call(name, *arguments)
        except native.TrapError as trap:
            raise _translate(trap) from None
        except native.FailureError as failure:
            raise EngineFailureError(str(failure)) from None


class NativeModule:
    """A compiled module."""

    def __init__(self, module: native.Module) -> None:
        self._module = module
        self.shape = ModuleShape(
            functions=module.functions(),
            integer_globals=frozenset(module.integer_globals()),
            memory_pages_min=module.memory_pages_min(),
            imported_modules=frozenset(module.imported_modules()),
        )

    def instantiate(self, memory_bytes_max: int, host: HostCalls | None) -> NativeInstance:
        """Make a fresh instance in a fresh store."""
        try:
            return NativeInstance(self._module.instantiate(memory_bytes_max, host))
        except native.TrapError as trap:
            raise _translate(trap) from None
        except native.FailureError as failure:
            raise EngineFailureError(str(failure)) from None

    def serialize(self) -> bytes | None:
        """Return the machine code, for `restore` of this engine in this version alone."""
        return self._module.serialize()


class NativeEngine:
    """Compiles prepared modules in this process; nobody else's machine code is ever loaded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.version = native.VERSIONS[name]
        imports = {
            module: {item: (kind.params, kind.results) for item, kind in functions.items()}
            for module, functions in BOUND.items()
        }
        self._engine = native.Engine(name, imports)

    def compile(self, module: bytes) -> NativeModule:
        """Validate and compile a prepared module; raise ModuleInvalidError."""
        try:
            return NativeModule(self._engine.compile(module))
        except ValueError as error:
            raise ModuleInvalidError(str(error)) from None

    def restore(self, compiled: bytes | memoryview) -> NativeModule:
        """Load what `serialize` gave here; raise EngineFailureError if it does not fit."""
        try:
            return NativeModule(self._engine.restore(compiled))
        except native.FailureError as failure:
            raise EngineFailureError(str(failure)) from None


def _translate(trap: native.TrapError) -> TrapError:
    name, detail = trap.args
    return TrapError(TrapReason(name), detail)
