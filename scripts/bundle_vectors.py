"""The test vectors of protocols/19-bundles.md: bytes, roots and paths, and what is no bundle."""

from typing import Any

from ambientd.codec.bundles import (
    bundle_of_items,
    bundle_of_outcomes,
    encode_items,
    encode_outcomes,
    item_paths,
)
from ambientd.codec.canonical import encode
from ambientd.model.bundle import ItemOutcome
from ambientd.model.execution import OutcomeKind
from ambientd.rules.bundles import item_seed_of

ITEMS = (b"", b"one", b"two", bytes(300), b"four")
OUTCOMES = (
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=42, output=b""),
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=58, output=b"ONE"),
    ItemOutcome(kind=OutcomeKind.TRAPPED, reason="unreachable", gas=1000, output=b""),
    ItemOutcome(kind=OutcomeKind.COMPLETED, reason="", gas=642, output=bytes(300)),
    ItemOutcome(kind=OutcomeKind.OUT_OF_GAS, reason="", gas=1000, output=b""),
)
SEED = bytes(range(32))


def bundles() -> dict[str, Any]:
    """Vectors of protocols/19-bundles.md."""
    given, came = encode_items(ITEMS), encode_outcomes(OUTCOMES)
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
