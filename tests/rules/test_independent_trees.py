"""Trees, proofs and notes that other code made: golang.org/x/mod/sumdb, of Go's checksum database.

`tests/independent/main.go` writes them.
"""

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ambientd.codec.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    root_from_inclusion,
    verify_consistency,
)
from ambientd.model.base import Digest, NodeId
from ambientd.model.receipt import CheckpointNote, Cosignature
from ambientd.rules.notes import note_text, signed_note

FILE = Path(__file__).parent.parent / "independent" / "vectors.json"
MADE: dict[str, Any] = json.loads(FILE.read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in MADE["Leaves"]]
ROOTS = [bytes.fromhex(each) for each in MADE["Roots"]]


def path_of(vector: dict[str, Any]) -> list[bytes]:
    return [bytes.fromhex(each) for each in vector["Path"]]


def test_heads_of_all_sizes_are_the_same() -> None:
    assert [root(LEAVES[:size]) for size in range(1, len(LEAVES) + 1)] == ROOTS


def test_inclusion_proofs_are_the_same_and_hold() -> None:
    assert len(MADE["Inclusion"]) == 1 + 2 + 3 + 8 + 13 + 21
    for vector in MADE["Inclusion"]:
        leaf, size, path = vector["Leaf"], vector["Size"], path_of(vector)
        assert inclusion_proof(LEAVES[:size], leaf) == path
        assert root_from_inclusion(LEAVES[leaf], leaf, size, path) == ROOTS[size - 1]


def test_consistency_proofs_are_the_same_and_hold() -> None:
    assert len(MADE["Consistency"]) == 1 + 2 + 3 + 8 + 13 + 21
    for vector in MADE["Consistency"]:
        old, new, path = vector["Old"], vector["New"], path_of(vector)
        assert consistency_proof(LEAVES[:new], old) == path
        assert verify_consistency(old, ROOTS[old - 1], new, ROOTS[new - 1], path)


def test_a_note_with_its_signatures_is_the_same_byte_for_byte() -> None:
    cluster, size, head = bytes.fromhex(MADE["Cluster"]), MADE["Size"], bytes.fromhex(MADE["Root"])
    text = note_text(cluster, size, head)
    keys = [Ed25519PrivateKey.from_private_bytes(bytes.fromhex(s["Seed"])) for s in MADE["Signers"]]
    cosignatures = tuple(
        Cosignature(member=NodeId(key.public_key().public_bytes_raw()), signature=key.sign(text))
        for key in keys
    )
    note = CheckpointNote(size=size, root=Digest(head), cosignatures=cosignatures)
    assert signed_note(cluster, note, {}) == MADE["Note"]
