"""Where copies of a log lie: a folder, or a bucket of an object store.

All of it may take long and is called in a thread of its own. Every error is a StoreError or a
UsageError fit for a person.
"""

from typing import BinaryIO, Protocol


class Taker(Protocol):
    """What bytes can be written to."""

    def write(self, data: bytes, /) -> int:
        """Take some more bytes; give their number."""
        ...

    def flush(self) -> None:
        """Do what a file does then, or nothing."""
        ...


class CopyDraft(Taker, Protocol):
    """A copy that is being written: it bears its name once it is whole, or never."""

    def keep(self) -> int:
        """Make it durable under its name; give its size in bytes."""
        ...

    def drop(self) -> None:
        """Leave nothing of it, as far as that is possible; after `keep` do nothing."""
        ...


class CopyPlace(Protocol):
    """Copies by their names."""

    @property
    def where(self) -> str:
        """Name the place for a person."""
        ...

    def begin(self, name: str) -> CopyDraft:
        """Begin a copy; raise UsageError when there is one of this name."""
        ...

    def names(self) -> list[str]:
        """Give the names of all that is there and whole."""
        ...

    def drafts(self) -> list[str]:
        """Give the names of copies that a crash left unfinished, or that are being written."""
        ...

    def drop_draft(self, name: str) -> None:
        """Remove what a crash left of a copy; nothing there is no error."""
        ...

    def delete(self, name: str) -> None:
        """Remove a copy; nothing there is no error."""
        ...

    def fetch(self, name: str, into: BinaryIO) -> None:
        """Write what a copy holds into a file."""
        ...
