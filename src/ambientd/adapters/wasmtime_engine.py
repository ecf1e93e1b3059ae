"""The engine that always installs: wasmtime, configured to be deterministic (docs/adr/0003).

Everything that could differ between two hosts is off or fixed: no proposals beyond what the
rewriter lets through, no interruption, no fuel, memory reserved in full before the start. NaN
bits, gas and call depth are the rewriter's; the stack is so large that its limit comes first.
"""

import ctypes
import re
import sys
from collections.abc import Callable
from typing import Any

from wasmtime import (
    Config,
    Engine,
    ExportType,
    FuncType,
    GlobalType,
    Linker,
    MemoryType,
    Module,
    Store,
    Trap,
    TrapCode,
    ValType,
    WasmtimeError,
    _ffi,
)
from wasmtime import Instance as NativeInstance
from wasmtime._func import enter_wasm

from ambientd.adapters.packages import installed_version
from ambientd.errors import ConfigError
from ambientd.model.execution import PAGE_BYTES, TrapReason
from ambientd.ports.engine import (
    EngineFailureError,
    HostCalls,
    ModuleInvalidError,
    ModuleShape,
    PageLeftOutError,
    TrapError,
)
from ambientd.wasm.imports import BOUND

# The rewriter's depth limit bites at a third of this; the usual main stack has 8 MiB.
STACK_BYTES_MAX = 6 << 20
# All that a 32-bit address can reach, so growing never moves or allocates anything.
RESERVATION_BYTES = 4 << 30
GUARD_BYTES = 32 << 20
TABLE_ELEMENTS_MAX = 1 << 18
TABLES_MAX = 8
_MAGIC = b"\0asm"

_PROTECTION_NONE = 0
_FAULT = re.compile(r"memory fault at wasm address 0x([0-9a-f]{1,8}) ")

_I32, _I64 = 0, 1  # kinds of values in the C interface
_KINDS = {"i": _I32, "l": _I64}

_SWITCHED_OFF = (
    "wasm_threads",
    "wasm_tail_call",
    "wasm_multi_memory",
    "wasm_memory64",
    "wasm_relaxed_simd",
    "wasm_exceptions",
    "wasm_function_references",
    "wasm_gc",
    "wasm_wide_arithmetic",
    "wasm_custom_page_sizes",
    "wasm_stack_switching",
    "wasm_component_model",
    "shared_memory",
    "epoch_interruption",
    "consume_fuel",
    "parallel_compilation",
    "cranelift_nan_canonicalization",
    "memory_may_move",
    "memory_init_cow",  # needs files in memory, which the lock-down denies
    "debug_info",
)
_SWITCHED_ON = ("wasm_simd", "wasm_bulk_memory", "wasm_multi_value", "wasm_reference_types")

_REASONS = {
    TrapCode.UNREACHABLE: TrapReason.UNREACHABLE,
    TrapCode.MEMORY_OUT_OF_BOUNDS: TrapReason.MEMORY_OUT_OF_BOUNDS,
    TrapCode.TABLE_OUT_OF_BOUNDS: TrapReason.TABLE_OUT_OF_BOUNDS,
    TrapCode.INDIRECT_CALL_TO_NULL: TrapReason.INDIRECT_CALL_TO_NULL,
    TrapCode.BAD_SIGNATURE: TrapReason.INDIRECT_CALL_TYPE_MISMATCH,
    TrapCode.INTEGER_DIVISION_BY_ZERO: TrapReason.INTEGER_DIVIDE_BY_ZERO,
    TrapCode.INTEGER_OVERFLOW: TrapReason.INTEGER_OVERFLOW,
    TrapCode.BAD_CONVERSION_TO_INTEGER: TrapReason.BAD_CONVERSION_TO_INTEGER,
}


def _translate(trap: Trap) -> Exception:
    code = trap.trap_code
    reason = None if code is None else _REASONS.get(code)
    if reason is None:
        # For one, STACK_OVERFLOW: where this engine's stack ends is no property of the module.
        return EngineFailureError(f"wasmtime gave up: {trap.message}")
    return TrapError(reason, trap.message)


class WasmtimeInstance:
    """One instance in its own store.

    Calls and counters go through the C interface. The package's own wrappers wrap every export
    and look every type up again at each use, which took four fifths of a short execution.
    """

    def __init__(self, store: Store, native: NativeInstance, shape: ModuleShape) -> None:
        self._store = store
        self._context = store._context()
        self._native = native._instance
        self._functions = shape.functions
        self._found: dict[str, Any] = {}
        self._memory = self._export("memory").memory
        # The memory never moves, so neither does its first byte.
        start = _ffi.wasmtime_memory_data(self._context, self._memory)
        self._base = ctypes.addressof(start.contents)
        self._left_out: set[int] = set()

    def _export(self, name: str) -> Any:  # noqa: ANN401 - a C union, told apart by its reader
        found = self._found.get(name)
        if found is None:
            encoded, item = name.encode(), _ffi.wasmtime_extern_t()
            known = _ffi.wasmtime_instance_export_get(
                self._context, self._native, encoded, len(encoded), item
            )
            if not known:
                raise KeyError(name)
            found = self._found[name] = item.of
        return found

    def memory_bytes(self) -> int:
        """Return the present size of the linear memory."""
        return int(_ffi.wasmtime_memory_data_size(self._context, self._memory))

    def read(self, address: int, size_bytes: int) -> bytes:
        """Copy bytes out of the linear memory; the caller has checked the range."""
        if self._left_out:
            self._require(address, size_bytes)
        return ctypes.string_at(self._base + address, size_bytes)

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes into the linear memory; the caller has checked the range."""
        if self._left_out:
            self._require(address, len(data))
        ctypes.memmove(self._base + address, data, len(data))

    def leave_out(self, page: int) -> None:
        """Take every right to a page: code that touches it traps, anything else ends the process.

        Memory lies where it lay, and growing it gives rights to what is new alone.
        """
        place = ctypes.c_void_p(self._base + page * PAGE_BYTES)
        size, none = ctypes.c_size_t(PAGE_BYTES), ctypes.c_int(_PROTECTION_NONE)
        if sys.platform != "linux" or ctypes.CDLL(None).mprotect(place, size, none) != 0:
            msg = f"page {page} of the memory cannot be left out on this platform"
            raise EngineFailureError(msg)
        self._left_out.add(page)

    def _require(self, address: int, size_bytes: int) -> None:
        """Raise PageLeftOutError if some of these bytes are not known."""
        for page in range(address // PAGE_BYTES, -(-(address + size_bytes) // PAGE_BYTES)):
            if page in self._left_out:
                raise PageLeftOutError(page)

    def global_value(self, name: str) -> int:
        """Read an exported integer global."""
        value: Any = _ffi.wasmtime_val_t()
        _ffi.wasmtime_global_get(self._context, self._export(name).global_, value)
        return int(value.of.i32 if value.kind == _I32 else value.of.i64)

    def set_global(self, name: str, value: int) -> None:
        """Write an exported i64 global."""
        raw = _ffi.wasmtime_val_t(kind=_I64)
        raw.of.i64 = value
        error: Any = _ffi.wasmtime_global_set(self._context, self._export(name).global_, raw)
        if error:
            msg = f"wasmtime failed: {WasmtimeError._from_ptr(error)}"
            raise EngineFailureError(msg)

    def call(self, name: str, *arguments: int) -> int | None:
        """Call an exported function; a host call's exception comes out unchanged."""
        kinds, _, result_kinds = self._functions[name].partition("->")
        values: Any = (_ffi.wasmtime_val_t * len(arguments))()
        for value, kind, argument in zip(values, kinds, arguments, strict=True):
            value.kind = _KINDS[kind]
            if kind == "i":
                value.of.i32 = argument
            else:
                value.of.i64 = argument
        results: Any = (_ffi.wasmtime_val_t * len(result_kinds))()
        function = self._export(name).func
        try:
            # A host call's exception waits in the package; enter_wasm raises it instead.
            with enter_wasm(self._store) as trap_at:
                error: Any = _ffi.wasmtime_func_call(
                    self._context, function, values, len(values), results, len(results), trap_at
                )
                if error:
                    raise WasmtimeError._from_ptr(error)
        except Trap as trap:
            if self._left_out and trap.trap_code is TrapCode.MEMORY_OUT_OF_BOUNDS:
                raise self._missed(trap.message) from None
            raise _translate(trap) from None
        except WasmtimeError as failure:
            msg = f"wasmtime failed: {failure}"
            raise EngineFailureError(msg) from None
        if not result_kinds:
            return None
        return int(results[0].of.i32 if result_kinds == "i" else results[0].of.i64)

    def _missed(self, message: str) -> PageLeftOutError:
        """Name the page that a fault was in.

        A fault behind the memory's end cannot be told from one here with certainty, as modules
        choose some of the words around it. So it is never an outcome, and the page is only a hint.
        """
        found = _FAULT.search(message)
        page = None if found is None else int(found[1], 16) // PAGE_BYTES
        return PageLeftOutError(page if page in self._left_out else None)

    def close(self) -> None:
        """Give back the store and its memory at once."""
        self._store.close()


class WasmtimeModule:
    """A compiled module, linked once; one instance at a time may be running."""

    def __init__(self, engine: Engine, module: Module) -> None:
        self._engine = engine
        self._module = module
        self._host: HostCalls | None = None
        linker = Linker(engine)
        imports = [(entry.module, entry.name or "") for entry in module.imports]
        for space, name in sorted(set(imports)):
            function = BOUND.get(space, {}).get(name)
            if function is not None:
                kind = FuncType(_types(function.params), _types(function.results))
                linker.define_func(space, name, kind, self._serve(name))
        try:
            self._pre = linker.instantiate_pre(module)
        except WasmtimeError as error:
            raise ModuleInvalidError(str(error)) from None
        self.shape = _shape(module.exports, frozenset(space for space, _ in imports))

    def serialize(self) -> bytes | None:
        """Return the machine code, for `restore` of this engine in this version alone."""
        return bytes(self._module.serialize())

    def _serve(self, name: str) -> Callable[..., int | None]:
        def serve(*arguments: int) -> int | None:
            assert self._host is not None
            return self._host.call(name, *arguments)

        return serve

    def instantiate(self, memory_bytes_max: int, host: HostCalls | None) -> WasmtimeInstance:
        """Make a fresh instance in a fresh store."""
        self._host = host
        store = Store(self._engine)
        store.set_limits(
            memory_size=memory_bytes_max,
            table_elements=TABLE_ELEMENTS_MAX,
            instances=1,
            tables=TABLES_MAX,
            memories=1,
        )
        try:
            return WasmtimeInstance(store, self._pre.instantiate(store), self.shape)
        except Trap as trap:
            store.close()
            raise _translate(trap) from None
        except WasmtimeError as error:
            store.close()
            msg = f"wasmtime could not instantiate: {error}"
            raise EngineFailureError(msg) from None


def allow_stack(config: Config, size_bytes: int) -> None:
    """Let calls take so much stack; the limit may not pass that of asynchronous calls."""
    # The package does not wrap this one.
    _ffi.dll.wasmtime_config_async_stack_size_set(config.ptr(), ctypes.c_size_t(size_bytes))
    config.max_wasm_stack = size_bytes


class WasmtimeEngine:
    """Compiles prepared modules in this process; nobody else's machine code is ever loaded."""

    name = "wasmtime"

    def __init__(self) -> None:
        found = installed_version("wasmtime")
        if found is None:  # compiled code is kept by version, so none may be guessed
            msg = "the package wasmtime does not say its version. Install ambientd anew"
            raise ConfigError(msg)
        self.version = found
        self._engine = Engine(self.configuration())

    def configuration(self) -> Config:
        """Switch everything off or fix it that could differ between two hosts."""
        config = Config()
        for feature in _SWITCHED_OFF:
            setattr(config, feature, False)
        for feature in _SWITCHED_ON:
            setattr(config, feature, True)
        config.strategy = "cranelift"
        config.cranelift_opt_level = "speed"
        allow_stack(config, STACK_BYTES_MAX)
        config.memory_reservation = RESERVATION_BYTES
        config.memory_guard_size = GUARD_BYTES
        return config

    def compile(self, module: bytes) -> WasmtimeModule:
        """Validate and compile a prepared module; raise ModuleInvalidError."""
        if not module.startswith(_MAGIC):
            # The package would take it for the text format and assemble it.
            raise ModuleInvalidError("magic header not detected: no binary module")
        try:
            return WasmtimeModule(self._engine, Module(self._engine, module))
        except WasmtimeError as error:
            raise ModuleInvalidError(str(error)) from None

    def restore(self, compiled: bytes | memoryview) -> WasmtimeModule:
        """Load what `serialize` gave here; raise EngineFailureError if it does not fit."""
        # The package's `Module.deserialize` copies first, which took as long as all the rest.
        kind = ctypes.c_uint8 * len(compiled)
        is_ours = isinstance(compiled, memoryview) and not compiled.readonly
        code = kind.from_buffer(compiled) if is_ours else kind.from_buffer_copy(compiled)
        native: Any = ctypes.POINTER(_ffi.wasmtime_module_t)()
        error: Any = _ffi.wasmtime_module_deserialize(
            self._engine.ptr(), code, len(compiled), ctypes.byref(native)
        )
        if error:
            failure = WasmtimeError._from_ptr(error)
            msg = f"wasmtime does not take its own compiled module back: {failure}"
            raise EngineFailureError(msg)
        return WasmtimeModule(self._engine, Module._from_ptr(native))


def _types(letters: str) -> list[ValType]:
    return [ValType.i32() if letter == "i" else ValType.i64() for letter in letters]


def _letters(types: list[ValType]) -> str:
    return "".join(_letter(kind) for kind in types)


def _letter(kind: ValType) -> str:
    # Asking a type for its kind ends the process where it is v128; comparing types does not.
    for letter, known in (("i", ValType.i32()), ("l", ValType.i64())):
        if _ffi.wasmtime_wasm_valtype_equal(kind.ptr(), known.ptr()):
            return letter
    return "?"


def _shape(exports: list[ExportType], imported_modules: frozenset[str]) -> ModuleShape:
    functions, integer_globals, memory_pages_min = {}, set(), None
    for entry in exports:
        kind = entry.type
        if isinstance(kind, FuncType):
            functions[entry.name] = f"{_letters(kind.params)}->{_letters(kind.results)}"
        elif isinstance(kind, GlobalType) and _letters([kind.content]) != "?" and kind.mutable:
            integer_globals.add(entry.name)
        elif isinstance(kind, MemoryType) and entry.name == "memory":
            memory_pages_min = kind.limits.min
    return ModuleShape(functions, frozenset(integer_globals), memory_pages_min, imported_modules)
