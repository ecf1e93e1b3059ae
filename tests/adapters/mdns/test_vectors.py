"""The vectors of protocols/21-discovery.md, read without our codec."""

import hashlib
import json
from pathlib import Path

from nacl.signing import VerifyKey
from zeroconf import DNSIncoming, DNSText

from ambientd.adapters.libp2p.statements import verify

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "protocols/vectors/discovery.json").read_text())
STATEMENT = bytes.fromhex(VECTORS["statement"])


def field(data: bytes, number: int) -> bytes:
    """Give a field of a protobuf message whose fields are all short byte strings."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        if tag >> 3 == number:
            return data[at + 2 : at + 2 + size]
        at += 2 + size
    raise AssertionError(number)


def test_the_service_names_the_mesh_by_a_hash_alone() -> None:
    tag = hashlib.sha256(b"ambient mesh tag" + bytes.fromhex(VECTORS["cluster"])).hexdigest()[:16]
    assert VECTORS["service"] == f"_p2p-{tag}._udp.local"


def test_the_statement_is_signed_as_libp2p_signs_peer_records() -> None:
    domain = b"libp2p-peer-record"
    kind, payload = field(STATEMENT, 2), field(STATEMENT, 3)
    signed = b"".join(bytes([len(each)]) + each for each in (domain, kind, payload))
    key = field(STATEMENT, 1)[-32:]
    assert key.hex() == VECTORS["node"]
    VerifyKey(key).verify(signed, field(STATEMENT, 5))


def test_the_statement_says_what_it_should() -> None:
    where = verify(STATEMENT)
    assert where is not None
    assert where.node_id.hex() == VECTORS["node"]
    assert str(where.number) == VECTORS["number"]
    assert [str(each) for each in where.addresses] == VECTORS["addresses"]


def test_the_messages_are_read_by_another_implementation() -> None:
    question = DNSIncoming(bytes.fromhex(VECTORS["question"]))
    assert [each.name for each in question.questions] == [VECTORS["service"] + "."]
    _, text = DNSIncoming(bytes.fromhex(VECTORS["answer"])).answers()
    assert isinstance(text, DNSText)
    assert text.text[1:] == b"ambient=" + STATEMENT
