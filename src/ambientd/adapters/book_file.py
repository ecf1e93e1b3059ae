"""Books on disk: what was signed is here before anybody else sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError

B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class BookKind(Generic[B]):
    """How one kind of book is written, and how people are told of it."""

    magic: bytes
    empty: Callable[[], B]
    encode: Callable[[B], bytes]
    decode: Callable[[bytes], B]
    name: str
    contents: str
    contents_in: str
    danger: str
    """What the node may do without its book."""


class BookFile(Generic[B]):
    """One file, replaced as a whole."""

    def __init__(self, path: Path, kind: BookKind[B]) -> None:
        self._path = path
        self._kind = kind

    def load(self) -> B:
        """Read the book; an empty one when there is no file.

        Raises:
            ConfigError: when the file is no such book.
            StoreError: when it cannot be read.
        """
        kind = self._kind
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return kind.empty()
        except OSError as error:
            msg = f"{kind.contents_in} {self._path} cannot be read: {error.strerror}"
            raise StoreError(msg) from error
        try:
            if not data.startswith(kind.magic):
                raise RemoteProtocolError("it does not begin as one")
            return kind.decode(data[len(kind.magic) :])
        except RemoteProtocolError as error:
            msg = (
                f"{self._path} is no {kind.name}: {error}. Put back the one that was there; "
                f"without it the node may {kind.danger}"
            )
            raise ConfigError(msg) from error

    def save(self, book: B) -> None:
        """Put the book in the place of the one before it, and force it to disk.

        Raises:
            StoreError: when the disk refuses; the book before is still there.
        """
        draft = self._path.with_name(self._path.name + ".new")
        try:
            replace_synced(self._path, draft, self._kind.magic + self._kind.encode(book))
        except OSError as error:
            msg = f"{self._kind.contents} cannot be written to {self._path}: {error.strerror}"
            raise StoreError(msg) from error
