"""Pinned modules: what a written name means on this node, and which bytes it keeps."""

from collections.abc import Iterator
from typing import Protocol

from ambientd.config.module_pins import Pin
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId

PINS_MAX = 256


class PinFile(Protocol):
    """Where pins lie."""

    def load(self) -> tuple[Pin, ...]:
        """Read them; raise ConfigError when they cannot be read."""
        ...

    def keep(self, pins: tuple[Pin, ...]) -> None:
        """Put them there durably."""
        ...


class Pins:
    """The pins of one node; on disk before they count."""

    def __init__(self, file: PinFile | None = None) -> None:
        self._file = file
        self._pins = () if file is None else file.load()

    def __iter__(self) -> Iterator[Pin]:
        """Walk all pins."""
        return iter(self._pins)

    def __len__(self) -> int:
        """Count them."""
        return len(self._pins)

    def publisher_of(self, written: str, name: str) -> NodeId | None:
        """Give the key that a publisher's written name meant when this module was pinned."""
        found = (each for each in self._pins if (each.written, each.name) == (written, name))
        return next((NodeId(bytes.fromhex(each.publisher)) for each in found), None)

    def of(self, publisher: NodeId, name: str, version: str) -> Pin | None:
        """Give the pin of a version."""
        place = publisher.hex(), name, version
        return next((each for each in self._pins if each.place == place), None)

    def versions_of(self, publisher: NodeId, name: str) -> list[str]:
        """Give the versions of a module that are pinned."""
        place = publisher.hex(), name
        return [each.version for each in self._pins if (each.publisher, each.name) == place]

    def add(self, pin: Pin) -> None:
        """Take a pin, in the place of one of the same version."""
        others = (each for each in self._pins if each.place != pin.place)
        self._put(tuple(sorted((*others, pin), key=lambda each: each.place)))

    def drop(self, pin: Pin) -> None:
        """Let a pin go."""
        self._put(tuple(each for each in self._pins if each != pin))

    def _put(self, pins: tuple[Pin, ...]) -> None:
        if self._file is not None:
            self._file.keep(pins)
        self._pins = pins

    def kept(self, ledger: LedgerState, node: NodeId) -> set[bytes]:
        """Name the blobs that stay: of what is pinned, and of what this node offers others."""
        kept = {bytes.fromhex(text) for each in self._pins for text in (each.module, each.manifest)}
        for entry in ledger.modules.of(node):
            for each in entry.versions:
                if not each.yanked:
                    kept |= {each.module, each.manifest}
        return kept
