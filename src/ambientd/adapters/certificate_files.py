"""Blame certificates as files, one for each convicted node: the ledger forgets their tasks."""

from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import StoreError

FOLDER_BYTES_MAX = 1 << 30
"""What all certificates may take: each may hold a state of some 60 MiB."""


class CertificateFiles:
    """A folder of certificates, named by the node that each convicts."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made with the first certificate."""
        self._root = root

    def _path(self, node: bytes) -> Path:
        return self._root / f"{node.hex()}.blame"

    def has(self, node: bytes) -> bool:
        """Tell whether a certificate against a node is here."""
        return self._path(node).exists()

    def get(self, node: bytes) -> bytes | None:
        """Give the certificate against a node; None when there is none that can be read."""
        try:
            return self._path(node).read_bytes()
        except OSError:
            return None

    def keep(self, node: bytes, data: bytes) -> None:
        """Keep a certificate durably, in the place of an earlier one; raise StoreError."""
        path = self._path(node)
        self._check_room(len(data))
        draft = path.with_suffix(".draft")
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_synced(path, draft, data)
        except OSError as error:
            msg = f"cannot keep {path}: {error.strerror}; make room or check the folder"
            raise StoreError(msg) from error

    def _check_room(self, size_bytes: int) -> None:
        try:
            held = sum(path.stat().st_size for path in self._root.glob("*.blame"))
        except OSError:
            held = 0  # a folder that cannot be read cannot be written either, which says why
        if held + size_bytes > FOLDER_BYTES_MAX:
            msg = (
                f"{self._root} holds {held:,} bytes and takes at most {FOLDER_BYTES_MAX:,}; "
                "move certificates that you have seen elsewhere"
            )
            raise StoreError(msg)
