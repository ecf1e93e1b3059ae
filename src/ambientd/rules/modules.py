"""What may be published as a module, and what a manifest is held to (protocols/15-modules.md)."""

import re
from collections.abc import Iterator

from ambientd.codec.canonical import decode
from ambientd.codec.signing import SIGNATURE_BYTES
from ambientd.codec.statements import verify_manifest
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.module import Manifest, SignedManifest
from ambientd.model.record import Publish, Yank
from ambientd.rules.receipt_text import plain_fault
from ambientd.rules.versions import version_fault

PUBLISH_FEE_MSAT = 1_000_000
"""What a version costs its publisher; it goes to the fee pool, and nothing of it comes back."""

MODULES_MAX = 32
"""Names that a publisher may give."""

VERSIONS_MAX = 64
"""Versions that a name may have."""

SUMMARY_CHARS_MAX = 100
REASON_CHARS_MAX = 100
MODULE_BYTES_MAX = 64 << 20
MANIFEST_BYTES_MAX = 2048
INTERFACES = ("ambient", "wasi")
_LICENCE_CHARS_MAX = 100
_URL_CHARS_MAX = 200
_NUMBER_MAX = 2**53 - 1
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LICENCE = re.compile(r"[A-Za-z0-9.+:()-]+(?: [A-Za-z0-9.+:()-]+)*")
_URL = re.compile(r"https://[A-Za-z0-9][A-Za-z0-9.-]*(?::[0-9]{1,5})?(?:/[!-~]*)?")


def name_fault(name: str) -> str | None:
    """Say why a module cannot have this name, or None."""
    if _NAME.fullmatch(name) is None:
        return f"{name[:64]!r} cannot name a module: take lower-case letters, digits, - and _"
    return None


def publish_fault(body: Publish) -> str | None:
    """Say why a version cannot be published as this, whatever is there already, or None."""
    if not 0 < body.module_size_bytes <= MODULE_BYTES_MAX:
        return f"a module has 1 to {MODULE_BYTES_MAX} bytes, not {body.module_size_bytes}"
    return (
        name_fault(body.name)
        or version_fault(body.version)
        or plain_fault("the summary", body.summary, SUMMARY_CHARS_MAX)
    )


def yank_fault(body: Yank) -> str | None:
    """Say why a yank says nothing that helps, or None."""
    if not body.reason.strip():
        return "no reason is given"
    return plain_fault("the reason", body.reason, REASON_CHARS_MAX)


def manifest_fault(manifest: Manifest) -> str | None:
    """Say what in a manifest is out of bounds, or None."""
    return next((fault for fault in _manifest_faults(manifest) if fault is not None), None)


def _manifest_faults(manifest: Manifest) -> Iterator[str | None]:
    yield name_fault(manifest.name)
    yield version_fault(manifest.version)
    yield plain_fault("the summary", manifest.summary, SUMMARY_CHARS_MAX)
    if len(manifest.module) != DIGEST_BYTES:
        yield "the module is not named by a SHA-256"
    if not 0 < manifest.module_size_bytes <= MODULE_BYTES_MAX:
        yield f"a module has 1 to {MODULE_BYTES_MAX} bytes"
    if manifest.interface not in INTERFACES:
        yield f"the interface is none of {', '.join(INTERFACES)}"
    for name in ("gas_max", "memory_bytes_max", "wall_ms_max", "output_bytes_max"):
        if not 0 < getattr(manifest, name) <= _NUMBER_MAX:
            yield f"{name} is not from 1 to 2^53 - 1"
    if not 0 <= manifest.price_msat_per_mgas <= _NUMBER_MAX:
        yield "price_msat_per_mgas is not from 0 to 2^53 - 1"
    yield _source_fault(manifest)


def _source_fault(manifest: Manifest) -> str | None:
    licence, url = manifest.licence, manifest.source_url
    if len(licence) > _LICENCE_CHARS_MAX or _LICENCE.fullmatch(licence) is None:
        return "the licence is no SPDX expression, such as MIT or 'Apache-2.0 OR MIT'"
    if url and (len(url) > _URL_CHARS_MAX or _URL.fullmatch(url) is None):
        return f"the source's URL is not https://..., of at most {_URL_CHARS_MAX} characters"
    if manifest.source_sha256 and len(manifest.source_sha256) != DIGEST_BYTES:
        return "the source is not named by a SHA-256"
    if manifest.source_sha256 and not url:
        return "the source has a SHA-256, but no URL"
    return None


def read_manifest(data: bytes, cluster: bytes) -> Manifest:
    """Read a signed manifest; raise RemoteProtocolError unless its publisher signed it as it is."""
    signed: SignedManifest = decode(data, SignedManifest, MANIFEST_BYTES_MAX)
    fault = manifest_fault(signed.manifest)
    if fault is not None:
        raise RemoteProtocolError(fault)
    is_plain = len(signed.signature) == SIGNATURE_BYTES
    if not (is_plain and verify_manifest(signed, cluster)):
        raise RemoteProtocolError("the named publisher did not sign the manifest for this cluster")
    return signed.manifest
