"""The port to a WebAssembly engine: compile prepared modules, instantiate, call.

An adapter translates the engine's own traps into `TrapReason`s. Whatever it cannot translate is
the host's failure, not the module's: an outcome must not depend on the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ambientd.errors import AmbientError
from ambientd.model.execution import TrapReason


class ModuleInvalidError(AmbientError):
    """The engine's validation refuses the module; its text is the engine's own wording."""


class TrapError(AmbientError):
    """The module trapped; `detail` is the engine's own wording, for the log only."""

    def __init__(self, reason: TrapReason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


class EngineFailureError(AmbientError):
    """The engine gave up for a reason of its own, such as a full host stack."""


class PageLeftOutError(AmbientError):
    """The module touched memory that is not known here: no outcome, and no host's failure."""

    def __init__(self, page: int | None) -> None:
        which = "memory" if page is None else f"page {page} of the memory"
        super().__init__(f"{which} is left out, and the execution touches it")
        self.page = page


class HostCalls(Protocol):
    """What a module's imports lead to; an exception from `call` ends the execution unchanged."""

    def call(self, name: str, *arguments: int) -> int | None:
        """Serve the import `name`; arguments arrive as signed integers."""
        ...


class Instance(Protocol):
    """One instance in its own store. Callers check ranges before `read` and `write`."""

    def memory_bytes(self) -> int:
        """Return the present size of the linear memory."""
        ...

    def read(self, address: int, size_bytes: int) -> bytes:
        """Copy bytes out of the linear memory."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes into the linear memory."""
        ...

    def leave_out(self, page: int) -> None:
        """Let nobody touch a page; whatever does raises PageLeftOutError or ends the process."""
        ...

    def global_value(self, name: str) -> int:
        """Read an exported integer global."""
        ...

    def set_global(self, name: str, value: int) -> None:
        """Write an exported i64 global."""
        ...

    def call(self, name: str, *arguments: int) -> int | None:
        """Call an exported function; raise TrapError, EngineFailureError or a host call's own."""
        ...

    def close(self) -> None:
        """Give back the store and its memory at once."""
        ...


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """What a compiled module exports, as far as the host cares.

    A signature reads `ii->l`: i and l for i32 and i64, `?` for any other type.
    """

    functions: Mapping[str, str]
    integer_globals: frozenset[str]
    memory_pages_min: int | None  # of the exported `memory`; None if there is none
    imported_modules: frozenset[str]


class CompiledModule(Protocol):
    """A module compiled by this process; it can be instantiated any number of times."""

    @property
    def shape(self) -> ModuleShape:
        """Describe the exports."""
        ...

    def instantiate(self, memory_bytes_max: int, host: HostCalls | None) -> Instance:
        """Make a fresh instance; `memory.grow` fails beyond the maximum and only there."""
        ...

    def serialize(self) -> bytes | None:
        """Return what `restore` takes, or None where compiling again is as fast."""
        ...


class Engine(Protocol):
    """A WebAssembly engine, configured to be deterministic."""

    @property
    def name(self) -> str:
        """Return the engine's name, as receipts give it."""
        ...

    @property
    def version(self) -> str:
        """Return the engine's version, as receipts give it."""
        ...

    def compile(self, module: bytes) -> CompiledModule:
        """Validate and compile a prepared module; raise ModuleInvalidError."""
        ...

    def restore(self, compiled: bytes | memoryview) -> CompiledModule:
        """Load what `serialize` gave on this device, in this version; raise EngineFailureError.

        It is machine code, or not validated again: bytes from anywhere else must never come here.
        """
        ...
