"""Copies of a log in a folder: on another disk, a stick, a share that knows no links."""

import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from ambientd.adapters.durable_files import sync_directory
from ambientd.errors import StoreError, UsageError

DRAFT_ENDING = ".new"
_DRAFT = re.compile(r"(.+?)(?:\.[0-9a-f]{8})?\.new", re.DOTALL)
_T = TypeVar("_T")


class FileDraft:
    """A file beside the one that it will be, mode 0600; no two drafts share one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}{DRAFT_ENDING}")
        self._is_kept = False
        if path.exists():
            raise _taken(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._file = _told(path, lambda: os.fdopen(os.open(self._draft, flags, 0o600), "wb"))

    def write(self, data: bytes, /) -> int:
        """Take some more bytes."""
        return _told(self._path, lambda: self._file.write(data))

    def flush(self) -> None:
        """Do nothing: `keep` does it."""

    def keep(self) -> int:
        """Force it to disk and give it its name, which is taken first and by nobody else.

        A crash between the two leaves an empty file of that name, which counts as a draft. A hard
        link would take one step, and many shares and sticks have none.
        """
        return _told(self._path, self._keep)

    def _keep(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        size_bytes = self._file.tell()
        self._file.close()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(self._path, flags, 0o600))
        except FileExistsError as error:
            raise _taken(self._path) from error
        try:
            self._draft.replace(self._path)
        except OSError:
            with suppress(OSError):  # the name is free for another try
                self._path.unlink()
            raise
        self._is_kept = True
        sync_directory(self._path.parent)
        return size_bytes

    def drop(self) -> None:
        """Remove what was written; a disk that refuses keeps what was no copy yet."""
        if self._is_kept:
            return
        with suppress(OSError):  # the last bytes find no room either, and nobody wants them now
            self._file.close()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


class CopyFolder:
    """All copies in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def where(self) -> str:
        """Name the folder."""
        return str(self._folder)

    def begin(self, name: str) -> FileDraft:
        """Begin a copy."""
        return FileDraft(self._folder / name)

    def names(self) -> list[str]:
        """Name what is whole: an empty file is a name that was taken just before a crash."""
        found = self._files().items()
        return [name for name, size in found if size and not name.endswith(DRAFT_ENDING)]

    def drafts(self) -> list[str]:
        """Name what is not."""
        found = self._files().items()
        meant = {_meant(name) or (None if size else name) for name, size in found}
        return sorted(filter(None, meant))

    def _files(self) -> dict[str, int]:
        """Give the files there are, with their sizes."""
        try:
            with os.scandir(self._folder) as found:
                return dict(filter(None, map(_sized, found)))
        except OSError as error:
            msg = f"cannot read {self._folder}: {error.strerror}"
            raise StoreError(msg) from error

    def drop_draft(self, name: str) -> None:
        """Remove all drafts of a name, and the empty file of that name."""
        path = self._folder / name
        for draft in self._files():
            if _meant(draft) == name:
                self.delete(draft)
        if path.exists() and not path.stat().st_size:
            self.delete(name)

    def delete(self, name: str) -> None:
        """Remove a copy."""
        path = self._folder / name
        _told(path, lambda: path.unlink(missing_ok=True))

    def fetch(self, name: str, into: BinaryIO) -> None:
        """Copy a copy."""
        path = self._folder / name

        def copied() -> None:
            with path.open("rb") as file:
                shutil.copyfileobj(file, into)

        try:
            copied()
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror}") from error


def _meant(draft: str) -> str | None:
    """Give the name that a draft will bear; None for what is no draft."""
    found = _DRAFT.fullmatch(draft)
    return None if found is None else found[1]


def _sized(entry: os.DirEntry[str]) -> tuple[str, int] | None:
    """Give a file's name and size; None for what is none, or is gone by now."""
    try:
        is_file = entry.is_file(follow_symlinks=False)
        return (entry.name, entry.stat().st_size) if is_file else None
    except FileNotFoundError:
        return None


def _taken(path: Path) -> UsageError:
    return UsageError(f"{path} exists already and is not overwritten: name another file")


def _told(path: Path, do: Callable[[], _T]) -> _T:
    """Do it; raise StoreError with the path where the disk refuses."""
    try:
        return do()
    except OSError as error:
        msg = f"cannot write the backup {path}: {error.strerror}; name a folder with room"
        raise StoreError(msg) from error
