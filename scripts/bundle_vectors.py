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
)
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import leaf_hash
from ambientd.model.base import Digest
from ambientd.model.bundle import ItemOutcome, ItemReceipt
from ambientd.model.execution import OutcomeKind
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


def _settled(given: bytes, came: bytes) -> TestCluster:
    """Give a cluster that has settled the bundle, and closed the batch that it is in."""
    answer = replace(
        result(came, gas=sum(each.gas for each in OUTCOMES)),
        output_size_bytes=bundle_of_outcomes(OUTCOMES, len(came)),
    )
    cluster = TestCluster()
    named = bundle_of_items(ITEMS, len(given))
    task = cluster.admit(input=sha256(given), input_size_bytes=named)
    cluster.work(task, {0: answer, 1: answer})
    cluster.close_batch()
    return cluster


def _receipt(receipt: bytes, place: int) -> bytes:
    given_path, came_path = item_paths(ITEMS, OUTCOMES, place)
    return encode(
        ItemReceipt(
            version=ITEM_VERSION,
            receipt=receipt,
            item=place,
            given=Digest(leaf_hash(ITEMS[place])),
            given_path=given_path,
            came=item_result(OUTCOMES[place]),
            came_path=came_path,
        )
    )


def bundles() -> dict[str, Any]:
    """Vectors of protocols/19-bundles.md."""
    given, came = encode_items(ITEMS), encode_outcomes(OUTCOMES)
    cluster = _settled(given, came)
    [(_, entry)] = cluster.state.tasks()
    receipt = encode(file_of(cluster, entry.nonce))
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
