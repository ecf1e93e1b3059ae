"""The test vectors of protocols/19-bundles.md: bytes, roots and paths, and what is no bundle."""

from typing import Any

from msgspec.structs import replace

from ambientd.codec.bundles import (
    bundle_of_items,
    bundle_of_outcomes,
    encode_items,
    encode_outcomes,
    item_paths,
    item_result,
    outcome_leaf,
)
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import inclusion_proof, leaf_hash, root
from ambientd.model.base import Digest
from ambientd.model.bundle import Bundle, ItemOutcome, ItemReceipt, ItemResult
from ambientd.model.execution import OutcomeKind
from ambientd.model.task import Assurance
from ambientd.rules.bundles import item_seed_of
from ambientd.rules.item_check import ITEM_VERSION
from tests.ledger.cluster import TestCluster, result
from tests.rules.receipts import file_of

ITEMS = (b"", b"one", b"two", bytes(300), b"four")
OUTCOMES = (
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=42, output=b""),
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=58, output=b"ONE"),
    ItemOutcome(kind=OutcomeKind.TRAPPED, reason="unreachable", gas=1000, output=b""),
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=642, output=bytes(300)),
    ItemOutcome(kind=OutcomeKind.OUT_OF_GAS, reason="", gas=1000, output=b""),
)
SEED = bytes(range(32))
MADE_UP: dict[str, dict[str, object]] = {
    "a hash of 31 bytes": {"output": bytes(31)},
    "no hash": {"output": b""},
    "fewer than no bytes": {"output_size_bytes": -1},
    "more bytes than the task allows": {"output_size_bytes": 1 << 40},
    "no bytes with the hash of some": {"output_size_bytes": 0},
    "some bytes with the hash of none": {"output": sha256(b"")},
    "a trap with an output": {"kind": OutcomeKind.TRAPPED},
    "a kind that there is not": {"kind": 4},
    "more gas than an item has": {"gas": 10_000_000},
    "a reason that is no text": {"reason": "\x1b[2J"},
}
"""How the leaf of an item cannot be, and what it is instead."""


def _settled(given: bytes, came: bytes, bundle: Bundle, **terms: object) -> TestCluster:
    """Give a cluster that has settled the bundle, and closed the batch that it is in."""
    gas = sum(each.gas for each in OUTCOMES)
    answer = replace(result(came, gas=gas), output_size_bytes=bundle)
    cluster = TestCluster()
    named = bundle_of_items(ITEMS, len(given))
    task = cluster.admit(input=sha256(given), input_size_bytes=named, **terms)
    cluster.work(task, {slot.slot: answer for slot in cluster.task(task).slots})
    cluster.close_batch()
    return cluster


def _task_receipt(cluster: TestCluster) -> bytes:
    [(_, entry)] = cluster.state.tasks()
    return encode(file_of(cluster, entry.nonce))


def _made_up(given: bytes, came: ItemResult) -> bytes:
    """Give an item's receipt as one worker alone can sign it, about what no execution gives."""
    leaves = [outcome_leaf(came)] * len(ITEMS)
    bundle = Bundle(size_bytes=1, items=len(ITEMS), root=Digest(root(leaves)))
    terms = {"assurance": Assurance.NONE, "replicas": 1}
    receipt = _task_receipt(_settled(given, b"?", bundle, **terms))
    given_path, _ = item_paths(ITEMS, OUTCOMES, 0)
    came_path = tuple(map(Digest, inclusion_proof(leaves, 0)))
    return _item_receipt(receipt, 0, given_path, came, came_path)


def _receipt(receipt: bytes, place: int) -> bytes:
    given_path, came_path = item_paths(ITEMS, OUTCOMES, place)
    return _item_receipt(receipt, place, given_path, item_result(OUTCOMES[place]), came_path)


def _item_receipt(
    receipt: bytes,
    place: int,
    given_path: tuple[Digest, ...],
    came: ItemResult,
    came_path: tuple[Digest, ...],
) -> bytes:
    return encode(
        ItemReceipt(
            version=ITEM_VERSION,
            receipt=receipt,
            item=place,
            given=Digest(leaf_hash(ITEMS[place])),
            given_path=given_path,
            came=came,
            came_path=came_path,
        )
    )


def bundles() -> dict[str, Any]:
    """Vectors of protocols/19-bundles.md."""
    given, came = encode_items(ITEMS), encode_outcomes(OUTCOMES)
    cluster = _settled(given, came, bundle_of_outcomes(OUTCOMES, len(came)))
    receipt = _task_receipt(cluster)
    paths = [item_paths(ITEMS, OUTCOMES, place) for place in range(len(ITEMS))]
    return {
        "document": "protocols/19-bundles.md",
        "items": [item.hex() for item in ITEMS],
        "given": given.hex(),
        "given_bundle": encode(bundle_of_items(ITEMS, len(given))).hex(),
        "outcomes": [encode(outcome).hex() for outcome in OUTCOMES],
        "came": came.hex(),
        "came_bundle": encode(bundle_of_outcomes(OUTCOMES, len(came))).hex(),
        "paths": [
            {"given": [step.hex() for step in first], "came": [step.hex() for step in second]}
            for first, second in paths
        ],
        "cluster": cluster.state.cluster.hex(),
        "receipt": receipt.hex(),
        "item_receipts": [_receipt(receipt, place).hex() for place in range(len(ITEMS))],
        "made_up_item_receipts": {
            what: _made_up(given, replace(item_result(OUTCOMES[1]), **changes)).hex()  # type: ignore[arg-type]
            for what, changes in MADE_UP.items()
        },
        "seed": SEED.hex(),
        "item_seeds": [item_seed_of(SEED, place).hex() for place in range(len(ITEMS))],
        "refused": {
            "no items": encode(()).hex(),
            "257 items": encode((b"",) * 257).hex(),
            "a longer form of a length": (b"\xdc\x00\x05" + given[1:]).hex(),
            "a byte behind": (given + b"\x00").hex(),
            "an item that is text": encode(("one",)).hex(),
            "cut short": given[:-1].hex(),
        },
    }
