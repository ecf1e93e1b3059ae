"""learning.book: what this node has shown in private studies, and what that has spent, durably."""

from pathlib import Path
from typing import TypeVar

from ambientd.adapters.durable_files import replace_synced
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import tagged
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError
from ambientd.model.base import Digest, Value
from ambientd.model.learning import StudyId
from ambientd.model.private_book import Book, Charge, OwnRound, StudyBook

VERSION = 3


class _Kept(Value, frozen=True):
    """The file: a digest over the book shows a damaged one."""

    version: int
    book: Book
    digest: Digest


class _SecondBook(Value, frozen=True):
    """Version 2, which knew no bound over all studies."""

    studies: tuple[StudyBook, ...]


class _Second(Value, frozen=True):
    version: int
    book: _SecondBook
    digest: Digest


class _FirstStudyBook(Value, frozen=True):
    """One study in version 1, which did not keep what rounds were over."""

    study: StudyId
    limit_micro: int | None
    charges: tuple[Charge, ...]
    rounds: tuple[OwnRound, ...]
    wasted: int


class _FirstBook(Value, frozen=True):
    studies: tuple[_FirstStudyBook, ...]


class _First(Value, frozen=True):
    version: int
    book: _FirstBook
    digest: Digest


_File = TypeVar("_File", _Kept, _Second, _First)


class PrivateBookFile:
    """Keeps the book in one file; where there is none, nothing was ever allowed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Book:
        """Read the book; raise ConfigError for one that cannot be read: nothing is shown then."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return Book()
        except OSError as error:
            msg = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigError(msg) from error
        kept = _read(data, _Kept, VERSION)
        if kept is not None:
            return kept.book
        second = _read(data, _Second, 2)
        if second is not None:
            return Book(studies=second.book.studies)
        first = _read(data, _First, 1)
        if first is None:
            raise ConfigError(self._fault("it is damaged, or of another version"))
        return _of_first(first.book)

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


def _read(data: bytes, kind: type[_File], version: int) -> _File | None:
    try:
        kept: _File = decode(data, kind)
    except RemoteProtocolError:
        return None
    return kept if (kept.version, kept.digest) == (version, _digest(kept.book)) else None


def _of_first(book: _FirstBook) -> Book:
    """Take a book of version 1 over: the rounds before one under way are over.

    Without one, as many rounds are over as there were releases: each was in another round.
    """
    return Book(
        studies=tuple(
            StudyBook(
                study=each.study,
                limit_micro=each.limit_micro,
                charges=each.charges,
                rounds=each.rounds,
                wasted=each.wasted,
                over=_over(each),
            )
            for each in book.studies
        )
    )


def _over(lines: _FirstStudyBook) -> int:
    if lines.rounds:
        return max(own.round for own in lines.rounds) - 1
    return sum(each.releases for each in lines.charges)


def _digest(book: Book | _SecondBook | _FirstBook) -> Digest:
    return Digest(tagged("ambient/private-book/1", encode(book)))
