"""A manifest is read only as its publisher signed it, and within its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_manifest
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import NodeId
from ambientd.model.module import Manifest, SignedManifest
from ambientd.rules.modules import MANIFEST_BYTES_MAX, read_manifest
from tests.ledger.publishing import manifest

CLUSTER = bytes(range(32))
SIGNER = Signer(b"p" * 32, CLUSTER)
SAID = manifest(NodeId(SIGNER.public_key))


def signed(said: Manifest) -> bytes:
    return encode(sign_manifest(SIGNER, said))


def test_a_signed_manifest_is_read() -> None:
    assert read_manifest(signed(SAID), CLUSTER) == SAID
    silent = replace(SAID, summary="", source_url="", source_sha256=b"", price_msat_per_mgas=0)
    assert read_manifest(signed(silent), CLUSTER) == silent


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        encode(SAID),
        encode(SignedManifest(manifest=SAID, signature=bytes(64))),
        encode(SignedManifest(manifest=SAID, signature=b"")),
        encode(SignedManifest(manifest=SAID, signature=bytes(388))),
        encode(sign_manifest(Signer(b"q" * 32, CLUSTER), SAID)),
        encode(sign_manifest(Signer(b"p" * 32, bytes(32)), SAID)),
        signed(SAID) + b"\x00",
        bytes(MANIFEST_BYTES_MAX + 1),
    ],
    ids=range(10),
)
def test_bytes_that_the_publisher_did_not_sign_so_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        read_manifest(data, CLUSTER)


def test_a_manifest_that_was_changed_is_refused() -> None:
    found = sign_manifest(SIGNER, SAID)
    for change in ({"module": bytes(32)}, {"version": "1.0.1"}, {"price_msat_per_mgas": 0}):
        with pytest.raises(RemoteProtocolError, match="did not sign"):
            read_manifest(encode(replace(found, manifest=replace(SAID, **change))), CLUSTER)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../up"},
        {"version": "latest"},
        {"summary": "a" * 101},
        {"summary": "\x1b]0;"},
        {"module": b"short"},
        {"module_size_bytes": 0},
        {"interface": "python"},
        {"gas_max": 0},
        {"memory_bytes_max": 2**53},
        {"wall_ms_max": -1},
        {"output_bytes_max": 0},
        {"price_msat_per_mgas": -1},
        {"licence": ""},
        {"licence": "MIT  OR X"},
        {"licence": "M" * 101},
        {"source_url": "javascript:alert(1)"},
        {"source_url": "http://example.org"},
        {"source_url": "https://example.org/a b"},
        {"source_url": "https://user@example.org/"},
        {"source_url": "https://example.org/" + "a" * 200},
        {"source_url": ""},
        {"source_sha256": b"short"},
    ],
)
def test_a_signature_lets_nothing_out_of_bounds_in(change: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        read_manifest(signed(replace(SAID, **change)), CLUSTER)


@given(st.binary(max_size=MANIFEST_BYTES_MAX), st.integers(0, 400))
def test_a_reader_only_ever_refuses(data: bytes, at: int) -> None:
    right = signed(SAID)
    for bent in (data, right[:at] + data[:8] + right[at + 8 :]):
        if bent != right:
            with pytest.raises(RemoteProtocolError):
                read_manifest(bent, CLUSTER)


def test_the_largest_manifest_fits() -> None:
    largest = replace(
        SAID,
        name="a" * 63,
        version="999999999.999999999.999999999-ab",
        summary="a" * 100,
        licence="M" * 100,
        source_url="https://example.org/" + "a" * 180,
        **dict.fromkeys(("gas_max", "memory_bytes_max", "wall_ms_max"), 2**53 - 1),
    )
    assert len(largest.version) == 32
    assert read_manifest(signed(largest), CLUSTER) == largest
