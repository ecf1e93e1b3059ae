"""Which proof was made for which assignment: a small file for each, the oldest ones go."""

from pathlib import Path

from ambientd.adapters.durable_files import replace_synced, sync_directory
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.errors import StoreError
from ambientd.model.base import DIGEST_BYTES, Digest
from ambientd.model.effect import Assignment
from ambientd.ports.proving import PROVED_KEPT_MAX

_DRAFT = "draft"


class ProvedFiles:
    """The proofs made here, by assignment."""

    def __init__(self, folder: Path, kept_max: int = PROVED_KEPT_MAX) -> None:
        self._folder = folder
        self._kept_max = kept_max

    def find(self, place: Assignment) -> Digest | None:
        """Give the SHA-256 of the proof; None when none is known.

        Raises:
            StoreError: where the disk does not say.
        """
        try:
            data = self._path(place).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            msg = f"which proof was made could not be read in {self._folder}: {problem}"
            raise StoreError(msg) from problem
        return Digest(data) if len(data) == DIGEST_BYTES else None

    def keep(self, place: Assignment, proof: Digest) -> None:
        """Keep it, durably; raise StoreError where the disk does not."""
        try:
            self._keep(place, proof)
        except OSError as problem:
            msg = f"which proof was made could not be kept in {self._folder}: {problem}"
            raise StoreError(msg) from problem

    def _keep(self, place: Assignment, proof: Digest) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync_directory(self._folder.parent)
        replace_synced(self._path(place), self._folder / _DRAFT, proof)
        kept = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[: -self._kept_max]:
            path.unlink()

    def _path(self, place: Assignment) -> Path:
        return self._folder / sha256(encode((place.task, place.slot, place.attempt))).hex()
