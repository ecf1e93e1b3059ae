"""A file of lines that grows at its end, is read once, and is written anew when it has too many."""

import os
from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import StoreError


class LineFile:
    """Appends lines; a line that a power cut tore is cut off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def load(self) -> list[bytes]:
        """Give the whole lines, and open the file for more; raise StoreError."""
        try:
            self._file = os.open(
                self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            data = self._path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if len(whole) != len(data):
                os.ftruncate(self._file, len(whole))
        except OSError as error:
            raise self._fault(error) from error
        return whole.splitlines()

    def append(self, line: bytes) -> None:
        """Add a line, which outlives the program at once; raise StoreError, and add nothing."""
        try:
            size = os.fstat(self._file).st_size
            if os.write(self._file, line + b"\n") != len(line) + 1:
                os.ftruncate(self._file, size)
                msg = "no space left"
                raise OSError(0, msg)
        except OSError as error:
            raise self._fault(error) from error

    def sync(self) -> None:
        """Let what was added outlive a power cut as well; raise StoreError."""
        try:
            os.fsync(self._file)
        except OSError as error:
            raise self._fault(error) from error

    def rewrite(self, lines: list[bytes]) -> None:
        """Put other lines in the place of all, durably; raise StoreError."""
        draft = self._path.with_name(f".{self._path.name}.draft")
        try:
            replace_synced(self._path, draft, b"".join(line + b"\n" for line in lines))
            fresh = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
            os.close(self._file)
            self._file = fresh
        except OSError as error:
            raise self._fault(error) from error

    def _fault(self, error: OSError) -> StoreError:
        return StoreError(f"{self._path}: {error.strerror}; check the folder and its disk")
