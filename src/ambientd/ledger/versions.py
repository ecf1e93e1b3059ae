"""The state versions that a program knows: encodings, rules, and the step from one to the next.

A version is in force from the first block of the epoch whose stop names it (protocols/03 section
5, ADR 73). Rules that differ ask the state for its version; entries that are encoded otherwise, and
what happens besides at the end of each block, stand here. A program knows the version before its
newest one as well, so that it works where not everybody was updated; older ones are let go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ambientd.ledger.entries import Entry, Key, Table, decode_entry, encode_entry
from ambientd.model.genesis import FIRST_STATE_VERSION

if TYPE_CHECKING:
    from ambientd.ledger.draft import Draft

Changes = Mapping[Key, Entry | None]
Step = Callable[[Mapping[Key, Entry]], Changes]
"""Gives what changes in the entries of the version before; None deletes one."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the entries of one table are written, where it is not as they are declared."""

    encode: Callable[[Entry], bytes]
    decode: Callable[[bytes], Entry]


def _nothing(_: Mapping[Key, Entry]) -> Changes:
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class StateVersion:
    """One version: how its entries are written, and how a state of the one before becomes one."""

    number: int
    encodings: Mapping[Table, Encoding] = field(default_factory=lambda: MappingProxyType({}))
    step: Step = _nothing
    moves: tuple[Callable[["Draft"], None], ...] = ()
    """What this version does after a block's records, besides what every version does."""

    def encode(self, key: Key, entry: Entry) -> bytes:
        """Give an entry's canonical bytes in this version."""
        encoding = self.encodings.get(key[0])
        return encode_entry(entry) if encoding is None else encoding.encode(entry)

    def decode(self, key: Key, data: bytes) -> Entry:
        """Read the entry of a key; raise RemoteProtocolError when it is malformed."""
        encoding = self.encodings.get(key[0])
        return decode_entry(key, data) if encoding is None else encoding.decode(data)

    def changes(self, items: Mapping[Key, Entry]) -> Changes:
        """Give what the step from the version before writes: all of it, once, in this encoding."""
        return {**items, **self.step(items)}


class Versions:
    """The versions that a program knows, one after another."""

    def __init__(self, *versions: StateVersion) -> None:
        self._known = {version.number: version for version in versions}

    @property
    def newest(self) -> int:
        """Give the highest that is known."""
        return max(self._known)

    def of(self, number: int) -> StateVersion:
        """Give a version; raise ValueError, with what to do, when it is not known."""
        version = self._known.get(number)
        if version is not None:
            return version
        if number > self.newest:
            msg = f"the state is of version {number}, this program knows {self.newest}: update it"
        else:
            msg = f"a state of version {number} is too old for this program: use one in between"
        raise ValueError(msg)


MARKS_VERSION = 2
"""The first with marks: table 41, records MARK, and tasks that allow them (ADR 85)."""

IMAGES_VERSION = 2
"""The first with images of modules: tables 39 and 40, and the records that fill them (ADR 87)."""

HIDERS_VERSION = 2
"""The first that names who was drawn and shows no rows, and bounds what audits repeat (ADR 88)."""

QUEUES_VERSION = 2
"""The first in which a task that comes takes no place that became free while others waited."""

VERSIONS = Versions(StateVersion(FIRST_STATE_VERSION), StateVersion(IMAGES_VERSION))
KNOWN_VERSION = VERSIONS.newest
