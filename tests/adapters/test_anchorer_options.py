"""When a node anchors, by its config; one without a chain knows when the others do."""

from ambientd.adapters.anchoring_times import anchorer_options
from ambientd.config.options import BitcoinOptions, ChainKind
from ambientd.roles.anchorer import TURN_MS

OWN = BitcoinOptions(chain=ChainKind.EMBEDDED, block_interval_ms=500, anchor_period_ms=7)
OFF = BitcoinOptions(chain=ChainKind.OFF)


def test_a_node_anchors_as_its_config_says_with_short_turns_on_the_embedded_chain() -> None:
    embedded = anchorer_options(OWN, "regtest")
    assert (embedded.enabled, embedded.period_ms, embedded.turn_ms) == (True, 7, 30_000)
    served = anchorer_options(BitcoinOptions(chain=ChainKind.RPC), "testnet4")
    assert (served.enabled, served.period_ms, served.turn_ms) == (True, 86_400_000, TURN_MS)


def test_a_node_without_a_chain_expects_anchors_as_often_as_its_cluster_makes_them() -> None:
    looking = anchorer_options(OFF, "regtest")
    assert (looking.enabled, looking.period_ms, looking.turn_ms) == (False, 0, 60_000)
    daily = anchorer_options(OFF, "testnet4")
    assert (daily.enabled, daily.period_ms, daily.turn_ms) == (False, 86_400_000, TURN_MS)
