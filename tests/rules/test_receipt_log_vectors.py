"""Trees, notes and cosignatures as Go's own implementations make them (protocols/vectors/go)."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ambientd.codec import merkle
from ambientd.codec.signing import Signer, verify_note
from ambientd.model.receipt import CheckpointNote, Cosignature
from ambientd.rules.notes import cosignature_line, cosigned_text, note_text, signed_note
from ambientd.rules.receipt_tree import ReceiptTree

FILE = Path(__file__).parents[2] / "protocols" / "vectors" / "receipt-log-go.json"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return json.loads(FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def tree(made: dict[str, Any]) -> ReceiptTree:
    return ReceiptTree(merkle.leaf_hash(b"receipt %d" % number) for number in range(made["leaves"]))


def test_every_head_is_the_same(made: dict[str, Any], tree: ReceiptTree) -> None:
    assert [tree.root(size).hex() for size in range(1, tree.size + 1)] == made["roots"]


def test_every_inclusion_path_is_the_same_and_holds(
    made: dict[str, Any], tree: ReceiptTree
) -> None:
    for one in made["inclusion"]:
        path = [bytes.fromhex(step) for step in one["path"]]
        assert tree.inclusion_path(one["index"], one["size"]) == path
        leaf = merkle.leaf_hash(b"receipt %d" % one["index"])
        root = merkle.root_from_inclusion(leaf, one["index"], one["size"], path)
        assert root is not None
        assert root.hex() == made["roots"][one["size"] - 1]


def test_every_consistency_path_is_the_same_and_holds(
    made: dict[str, Any], tree: ReceiptTree
) -> None:
    for one in made["consistency"]:
        old_size, size = one["old_size"], one["size"]
        path = [bytes.fromhex(step) for step in one["path"]]
        assert tree.consistency_path(old_size, size) == path
        old, new = (bytes.fromhex(made["roots"][at - 1]) for at in (old_size, size))
        assert merkle.verify_consistency(old_size, old, size, new, path)
        if old_size < size:
            assert not merkle.verify_consistency(old_size, new, size, new, path)


def test_our_note_is_the_one_that_go_signs(made: dict[str, Any]) -> None:
    cluster, size = bytes.fromhex(made["cluster"]), made["leaves"]
    root = bytes.fromhex(made["roots"][-1])
    text = note_text(cluster, size, root)
    assert text.decode() == made["text"]
    signers = [Signer(bytes([number]) * 32, cluster) for number in (1, 2, 3)]
    assert [each.public_key.hex() for each in signers] == [one["key"] for one in made["members"]]
    cosignatures = tuple(
        Cosignature(member=each.public_key, signature=each.sign_note(text)) for each in signers
    )
    note = CheckpointNote(size=size, root=root, cosignatures=cosignatures)
    names = {bytes.fromhex(one["key"]): one["name"] for one in made["members"]}
    assert signed_note(cluster, note, names) == made["signed"]


def test_our_cosignature_is_the_one_that_go_makes(made: dict[str, Any]) -> None:
    signer = Signer(b"\x09" * 32, bytes.fromhex(made["cluster"]))
    name, key = made["witness"]["name"], signer.public_key
    assert key.hex() == made["witness"]["key"]
    line = made["cosigned"].splitlines(keepends=True)[-1]
    blob = base64.b64decode(line.split(" ")[2])
    time_s, signature = int.from_bytes(blob[4:12], "big"), blob[12:]
    text = cosigned_text(made["text"].encode(), time_s)
    assert verify_note(key, text, signature)
    assert signer.sign_note(text) == signature
    assert cosignature_line(name, key, time_s, signature) == line
    assert made["cosigned"] == made["signed"] + line
