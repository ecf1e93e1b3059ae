"""learning.book: what this node has shown in private studies, and what that has spent, durably."""

from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError
from ambientd.model.base import Digest, Value
from ambientd.model.private_book import Book

VERSION = 1


class _Kept(Value, frozen=True):
    """The file: a digest over the book shows a damaged one."""

    version: int
    book: Book
    digest: Digest


class PrivateBookFile:
    """Keeps the book in one file; where there is none, nothing was ever allowed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Book:
        """Read the book; raise ConfigError for one that cannot be read: nothing is shown then."""
        try:
            kept: _Kept = decode(self._path.read_bytes(), _Kept)
        except FileNotFoundError:
            return Book()
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        except RemoteProtocolError as error:
            raise ConfigError(self._fault(str(error))) from error
        if kept.version != VERSION or kept.digest != _digest(kept.book):
            raise ConfigError(self._fault("it is damaged, or of another version"))
        return kept.book

    def _fault(self, reason: str) -> str:
        return (
            f"{self._path}: {reason}; no private study goes on here without it. Moving it away "
            "forgets what was spent"
        )

    def keep(self, book: Book) -> None:
        """Put the book on disk, to outlive a power cut; raise StoreError when that fails."""
        draft = self._path.with_suffix(".book.new")
        kept = _Kept(version=VERSION, book=book, digest=_digest(book))
        try:
            replace_synced(self._path, draft, encode(kept))
        except OSError as error:
            msg = f"{self._path}: cannot be written: {error.strerror}; nothing was shown"
            raise StoreError(msg) from error


def _digest(book: Book) -> Digest:
    return Digest(tagged("ambient/private-book/1", encode(book)))
