"""The port to what a device keeps of modules it has prepared, so that it does so once only."""

from dataclasses import dataclass
from typing import Protocol

from ambientd.wasm.interface import Interface


@dataclass(frozen=True, slots=True)
class ReadyModule:
    """A prepared module in the form in which this device's engine loads it fastest.

    `source` is the SHA-256 of what was submitted, `prepared` that of the prepared bytes, as
    receipts name it; `code` is what `Engine.restore` takes if `is_compiled`, and the prepared
    bytes otherwise.
    """

    source: bytes
    prepared: bytes
    interface: Interface
    imports: tuple[str, ...]
    code: bytes
    is_compiled: bool


class ModuleCache(Protocol):
    """Ready modules by the SHA-256 of what was submitted, each for one engine in one version.

    Functions block on the disk and may be called from several threads. A cache may forget and
    may fail to keep, but what it finds is what was kept here, or nothing.
    """

    def find(self, source: bytes, engine: str) -> ReadyModule | None:
        """Give what was kept; `engine` is its name and version."""
        ...

    def keep(self, engine: str, module: ReadyModule) -> None:
        """Keep a module that this device has prepared and compiled itself."""
        ...

    def discard(self, source: bytes) -> None:
        """Forget a module; forgetting an unknown one is no error."""
        ...
