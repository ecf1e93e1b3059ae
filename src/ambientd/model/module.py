"""Published modules: what their publishers say of each version (protocols/15-modules.md)."""

from ambientd.model.base import Digest, NodeId, Value


class Manifest(Value, frozen=True):
    """One version of a module in its publisher's words; limits and price are what it advises.

    No `source_url` and no `source_sha256` mean that nothing is said of its source.
    """

    publisher: NodeId
    name: str
    version: str
    summary: str
    module: Digest
    module_size_bytes: int
    interface: str
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int
    price_msat_per_mgas: int
    licence: str
    source_url: str
    source_sha256: bytes


class SignedManifest(Value, frozen=True):
    """A manifest with its publisher's signature (domain `manifest`)."""

    manifest: Manifest
    signature: bytes
