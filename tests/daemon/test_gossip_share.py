"""The share of gossip that a daemon leaves each author suffices for whoever is honest."""

from typing import get_type_hints

from ambientd.adapters.libp2p.bucket import TokenBucket
from ambientd.adapters.libp2p.gossip import AUTHOR_BURST_S
from ambientd.config.telemetry_options import TelemetryOptions
from ambientd.daemon.composition import AUTHOR_BATCHES_PER_S
from ambientd.telemetry.core import TelemetryOptions as CoreOptions

STALL_S = 4
"""So long a network may hold back what it then brings at once."""


def least_interval_ms() -> int:
    hint = get_type_hints(TelemetryOptions, include_extras=True)["interval_ms"]
    return int(hint.__metadata__[0].ge)


def test_a_node_with_the_least_interval_is_heard_also_when_its_batches_come_late_together() -> None:
    """It says one more at each check: a change of mode is told at once."""
    bucket = TokenBucket(AUTHOR_BATCHES_PER_S, AUTHOR_BURST_S * AUTHOR_BATCHES_PER_S)
    said_ms = sorted(
        [*range(0, 120_000, least_interval_ms()), *range(0, 120_000, CoreOptions().check_ms)]
    )
    stall_ms = STALL_S * 1000
    heard_ms = [each if each < 60_000 else -(-each // stall_ms) * stall_ms for each in said_ms]
    assert all(bucket.take(1, each / 1000) for each in heard_ms)
