"""Blobs that take their bytes of the quota alone, so that tests can count in small numbers."""

from pathlib import Path

from ambientd.adapters import blob_files
from ambientd.adapters.blob_files import BLOB_BYTES_MAX, MEMORY_BYTES, QUOTA_BYTES
from ambientd.adapters.blob_folder import BlobPlace


class BlobFiles(blob_files.BlobFiles):
    """On a disk whose blocks have one byte."""

    def __init__(
        self,
        root: Path,
        *,
        blob_bytes_max: int = BLOB_BYTES_MAX,
        quota_bytes: int = QUOTA_BYTES,
        memory_bytes: int = MEMORY_BYTES,
        place: BlobPlace | None = None,
    ) -> None:
        super().__init__(
            root,
            blob_bytes_max=blob_bytes_max,
            quota_bytes=quota_bytes,
            memory_bytes=memory_bytes,
            block_bytes=1,
            place=place,
        )
