"""The published modules in order, so that no look-up walks over the whole state."""

from bisect import bisect_left, insort

from ambientd.ledger.module_entries import ModuleEntry, ModuleVersion
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId

NAMES_OF_BYTES_MAX = 16
"""So many names of the same bytes are remembered, those first that came first."""


class ModuleIndex:
    """Names by publisher; none ever goes."""

    def __init__(self) -> None:
        self._entries: dict[tuple[NodeId, str], ModuleEntry] = {}
        self._names: list[tuple[NodeId, str]] = []
        self._of_bytes: dict[Digest, list[tuple[NodeId, str]]] = {}

    def see(self, name: bytes, entry: ModuleEntry) -> None:
        """Take note of a module that has changed, under the name of its key."""
        place = NodeId(name[:DIGEST_BYTES]), name[DIGEST_BYTES:].decode()
        if place not in self._entries:
            insort(self._names, place)
        self._entries[place] = entry
        for version in entry.versions:
            places = self._of_bytes.setdefault(version.module, [])
            if place not in places and len(places) < NAMES_OF_BYTES_MAX:
                places.append(place)

    def names(self) -> list[tuple[NodeId, str]]:
        """Give every module's publisher and name, sorted; not to be changed."""
        return self._names

    def of(self, publisher: NodeId) -> list[ModuleEntry]:
        """Give a publisher's modules by name."""
        found = []
        for place in self._names[bisect_left(self._names, (publisher, "")) :]:
            if place[0] != publisher:
                break
            found.append(self._entries[place])
        return found

    def published_as(self, module: Digest) -> list[tuple[NodeId, str, ModuleVersion]]:
        """Give what these bytes are published as: publisher, name and version, the first first."""
        return [
            (*place, version)
            for place in self._of_bytes.get(module, ())
            for version in self._entries[place].versions
            if version.module == module
        ]

    def get(self, publisher: NodeId, name: str) -> ModuleEntry | None:
        """Give a publisher's module."""
        return self._entries.get((publisher, name))
