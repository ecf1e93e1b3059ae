"""The audit trail on disk: lines of JSON, each with the hash of the one before it.

A line is there for a reader at once, and on disk within a second: a power cut can take the last
second's, a crash of the program nothing. Files are `trail/NUMBER.jsonl` by their first entry; the
oldest of them goes when there are too many, and the chain then begins with the next one.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ambientd.codec.digest import tagged
from ambientd.errors import StoreError

FILE_BYTES_MAX = 4 << 20
FILES_MAX = 16
BEGINNING = "0" * 64


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asked this node to change something, what became of it, and the chain so far."""

    number: int
    time_ms: int
    caller: str
    operation: str
    arguments: dict[str, str]
    outcome: str
    previous: str
    times: int | msgspec.UnsetType = msgspec.UNSET
    """How often, where an entry sums up what came again and again."""

    hash: str = ""


class TrailCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What a trail's chain is like; `fault` names the first thing that is wrong with it."""

    entries: int
    first: int
    last: int
    head: str
    fault: str = ""


def hash_of(entry: TrailEntry) -> str:
    """Give an entry's hash, over all before it."""
    plain = msgspec.structs.replace(entry, hash="")
    return tagged("ambient/trail/1", msgspec.json.encode(plain, order="deterministic")).hex()


class TrailFiles:
    """Appends to the trail in one folder."""

    def __init__(
        self, folder: Path, *, bytes_max: int = FILE_BYTES_MAX, files_max: int = FILES_MAX
    ) -> None:
        """Open or begin the trail; a line that a power cut tore is cut off."""
        self._folder = folder
        self._bytes_max = bytes_max
        self._files_max = files_max
        self.is_dirty = False  # something was added that may not be on disk yet
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            names = _files(folder)
            last = _whole(names[-1]) if names else None
            if names and last is None and len(names) > 1:
                last = _whole(names[-2])
            self._number = 0 if last is None else last.number
            self._head = BEGINNING if last is None else last.hash
            self._open(names[-1] if names else folder / f"{1:010}.jsonl")
        except OSError as error:
            msg = f"cannot use the audit trail in {folder}: {error.strerror}; check folder and disk"
            raise StoreError(msg) from error

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def append(
        self,
        time_ms: int,
        caller: str,
        operation: str,
        arguments: dict[str, str],
        outcome: str,
        times: int = 1,
    ) -> None:
        """Add an entry; raise StoreError when the disk refuses, and leave nothing half written."""
        entry = TrailEntry(
            number=self._number + 1,
            time_ms=time_ms,
            caller=caller,
            operation=operation,
            arguments=arguments,
            outcome=outcome,
            previous=self._head,
            times=times if times > 1 else msgspec.UNSET,
        )
        entry = msgspec.structs.replace(entry, hash=hash_of(entry))
        line = msgspec.json.encode(entry) + b"\n"
        try:
            if os.fstat(self._file).st_size + len(line) > self._bytes_max:
                self._turn(entry.number)
            size = os.fstat(self._file).st_size
            if os.write(self._file, line) != len(line):
                os.ftruncate(self._file, size)
                msg = "no space left"
                raise OSError(0, msg)
        except OSError as error:
            msg = f"the audit trail in {self._folder} cannot be written: {error.strerror}"
            raise StoreError(msg) from error
        self._number, self._head, self.is_dirty = entry.number, entry.hash, True

    def _turn(self, number: int) -> None:
        """Begin another file, and let the oldest go."""
        os.fsync(self._file)
        os.close(self._file)
        self._open(self._folder / f"{number:010}.jsonl")
        for path in _files(self._folder)[: -self._files_max]:
            path.unlink(missing_ok=True)

    def sync(self) -> None:
        """Force to disk what was added since the last time."""
        self.is_dirty = False
        with contextlib.suppress(OSError):  # the next append says so
            os.fsync(self._file)


def read_trail(folder: Path) -> Iterator[TrailEntry]:
    """Give all entries, the oldest first; raise StoreError for a line that is none."""
    paths = _files(folder)
    for path in paths:
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    if path == paths[-1]:
                        return  # being written, or torn by a power cut
                    msg = f"{path}: its last line was cut, and others were written after it"
                    raise StoreError(msg)
                try:
                    yield msgspec.json.decode(line, type=TrailEntry)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    msg = f"{path}: a line is no entry: {error}"
                    raise StoreError(msg) from error


def check_trail(folder: Path, head: tuple[int, str] | None = None) -> TrailCheck:
    """Follow the chain; `head` is a number and hash noted earlier that must lie on it."""
    before: TrailEntry | None = None
    first = count = 0
    seen = head is None
    try:
        for entry in read_trail(folder):
            first = first or entry.number
            known = (BEGINNING, 0) if before is None else (before.hash, before.number)
            is_next = entry.previous == known[0] and entry.number == known[1] + 1
            if not is_next and (before is not None or entry.number == 1):
                return _checked(count, first, before, f"entry {entry.number} does not follow")
            if entry.hash != hash_of(entry):
                return _checked(count, first, before, f"entry {entry.number} was changed")
            before, count = entry, count + 1
            seen = seen or (entry.number, entry.hash) == head
    except StoreError as error:
        return _checked(count, first, before, str(error))
    if not seen and head is not None:
        return _checked(count, first, before, f"entry {head[0]} with that hash is not there")
    return _checked(count, first, before, "")


def _checked(count: int, first: int, last: TrailEntry | None, fault: str) -> TrailCheck:
    number, head = (0, BEGINNING) if last is None else (last.number, last.hash)
    return TrailCheck(entries=count, first=first, last=number, head=head, fault=fault)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.jsonl"))


def _whole(path: Path) -> TrailEntry | None:
    """Give a file's last whole entry; what a power cut tore behind it is cut off."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        os.truncate(path, len(whole))
    if not whole:
        return None
    try:
        return msgspec.json.decode(whole.splitlines()[-1], type=TrailEntry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: its last line is no entry: {error}; move the folder away to begin anew"
        raise StoreError(msg) from error
