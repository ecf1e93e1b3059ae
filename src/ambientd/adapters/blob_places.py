"""Where a node's blobs lie, as config.toml says it: the data directory, or a bucket."""

from pathlib import Path

from ambientd.adapters.blob_files import BLOCK_BYTES, BlobFiles
from ambientd.model.base import NodeId


def open_blobs(
    root: Path, url: str, node: NodeId, quota_bytes: int, block_bytes: int = BLOCK_BYTES
) -> BlobFiles:
    """Open a node's blobs; raise StoreError, ConfigError or UsageError where that cannot be."""
    if not url:
        return BlobFiles(root, quota_bytes=quota_bytes, block_bytes=block_bytes)
    from ambientd.adapters.blob_bucket import BlobBucket  # its price is for those who use it

    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return BlobFiles(
        root, quota_bytes=quota_bytes, block_bytes=block_bytes, place=BlobBucket(url, node, root)
    )
