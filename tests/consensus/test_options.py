"""What the operator and the composition root can get wrong."""

import random
from typing import Any

import pytest

from ambientd.consensus.core import Consensus
from ambientd.errors import ConfigError
from sim.replica import Store, is_valid
from tests.consensus.bench import keys, options


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"members": ()}, "has 0 members"),
        ({"members": options(4).members[::-1]}, "sorted"),
        ({"members": (options(4).members[0],) * 4}, "sorted"),
        ({"self_id": b"short"}, "32 bytes"),
        ({"cluster": b"short"}, "32 bytes"),
        ({"beacon_tips": ()}, "one 32-byte tip"),
        ({"beacon_tips": (b"short",) * 4}, "one 32-byte tip"),
        ({"epoch": -1}, "starts at 0"),
        ({"t0_ms": 39}, "every term would time out"),
        ({"batch_ms": 400}, "batch_ms"),
        ({"records_max": 0}, "at least 1"),
        ({"include_ms": 0}, "at least 1"),
        ({"block_bytes_max": 9_000_000}, "at most 8000000"),
        ({"fetch_blocks_max": 2_000}, "above 1024"),
    ],
)
def test_wrong_options_say_what_is_wrong(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        options(4, **changes)


def build(**changes: Any) -> Consensus:
    return Consensus(
        options(4, **changes),
        keys(4)[0],
        None,
        random.Random(1),
        is_valid=is_valid,
        state_root=lambda _: None,
        blocks=Store(),
    )


def test_a_signer_with_another_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="signer's key"):
        build(self_id=options(4).members[1])


def test_a_member_without_its_beacon_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="beacon_secret"):
        build(beacon_secret=b"another")


def test_before_it_starts_a_node_is_due_at_once_and_knows_its_coordinator() -> None:
    core = build()
    assert core.next_deadline is not None
    assert core.coordinator in core.options.members
    assert core.pending_records == 0
