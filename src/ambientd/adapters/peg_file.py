"""The peg's book on disk: what was signed is here before a signature leaves."""

from pathlib import Path
from typing import Final

from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.errors import ConfigError, RemoteProtocolError, StoreError
from ambientd.roles.pegging.book import PegBook, decode_book, encode_book

MAGIC: Final = b"AMBPBK\x00\x01"


class PegFile:
    """One file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> PegBook:
        """Read the book; an empty one when there is no file.

        Raises:
            ConfigError: when the file is no book of the peg.
            StoreError: when it cannot be read.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return PegBook()
        except OSError as error:
            msg = f"the peg's book {self._path} cannot be read: {error.strerror}"
            raise StoreError(msg) from error
        try:
            if not data.startswith(MAGIC):
                raise RemoteProtocolError("it does not begin as one")
            return decode_book(data[len(MAGIC) :])
        except RemoteProtocolError as error:
            msg = (
                f"{self._path} is no book of the peg: {error}. Put back the one that was there; "
                "without it the node may sign a coin away twice"
            )
            raise ConfigError(msg) from error

    def save(self, book: PegBook) -> None:
        """Put the book in the place of the one before it, and force it to disk.

        Raises:
            StoreError: when the disk refuses; the book before is still there.
        """
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            fresh.unlink(missing_ok=True)
            write_synced(fresh, MAGIC + encode_book(book))
            fresh.replace(self._path)
            sync_directory(self._path.parent)
        except OSError as error:
            msg = f"the peg's book cannot be written to {self._path}: {error.strerror}"
            raise StoreError(msg) from error
