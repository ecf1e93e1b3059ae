"""Modules to publish: manifests and records that are right unless told otherwise."""

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.module import Manifest
from ambientd.model.record import Publish

MODULE = b"\x00asm\x01\x00\x00\x00"


def manifest(publisher: NodeId, **changes: object) -> Manifest:
    values: dict[str, object] = {
        "publisher": publisher,
        "name": "sums",
        "version": "1.0.0",
        "summary": "adds up numbers",
        "module": sha256(MODULE),
        "module_size_bytes": len(MODULE),
        "interface": "ambient",
        "gas_max": 1_000_000,
        "memory_bytes_max": 1 << 20,
        "wall_ms_max": 1_000,
        "output_bytes_max": 1_000,
        "price_msat_per_mgas": 100,
        "licence": "Apache-2.0 OR MIT",
        "source_url": "https://example.org/sums-1.0.0.tar.gz",
        "source_sha256": sha256(b"source"),
    }
    return Manifest(**(values | changes))  # type: ignore[arg-type]


def publish(name: str = "sums", version: str = "1.0.0", **changes: object) -> Publish:
    values: dict[str, object] = {
        "name": name,
        "version": version,
        "summary": "adds up numbers",
        "manifest": Digest(sha256(f"{name} {version}".encode())),
        "module": Digest(sha256(MODULE)),
        "module_size_bytes": len(MODULE),
    }
    return Publish(**(values | changes))  # type: ignore[arg-type]
