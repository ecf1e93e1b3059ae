import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ambientd.rules.notes import note_text, signed_note
from tests.ledger.cluster import TestCluster


def settled() -> TestCluster:
    cluster = TestCluster()
    cluster.work(cluster.admit())
    return cluster


def test_the_text_is_origin_size_and_root_a_line_each() -> None:
    cluster = settled()
    root = cluster.state.receipt_log_root(1)
    lines = note_text(cluster.id, 1, root).decode().split("\n")
    assert lines == [f"ambient/{cluster.id.hex()}", "1", base64.b64encode(root).decode(), ""]


def test_a_whole_note_is_read_by_the_rules_of_the_format() -> None:
    """C2SP signed-note: text, an empty line, then `— name base64(key hash, signature)` lines."""
    cluster = settled()
    note = cluster.note()
    names = {cluster.node(0): "node-0.example"}
    text, signatures = signed_note(cluster.id, note, names).split("\n\n")
    assert (text + "\n").encode() == note_text(cluster.id, note.size, note.root)
    lines = signatures.removesuffix("\n").split("\n")
    assert len(lines) == 3
    for line, cosignature in zip(lines, note.cosignatures, strict=True):
        dash, name, blob = line.split(" ")
        raw = base64.b64decode(blob, validate=True)
        assert dash == "—"
        assert name == names.get(cosignature.member, cosignature.member.hex())
        key = hashlib.sha256(name.encode() + b"\n\x01" + cosignature.member).digest()[:4]
        assert raw[:4] == key
        verifier = Ed25519PublicKey.from_public_bytes(cosignature.member)
        verifier.verify(raw[4:], (text + "\n").encode())


def test_a_name_that_the_format_forbids_is_replaced_by_the_key() -> None:
    cluster = settled()
    note = cluster.note()
    for bad in ("two words", "a+b", "line\nbreak", ""):
        whole = signed_note(cluster.id, note, {cluster.node(0): bad})
        assert f"— {cluster.node(0).hex()} " in whole
