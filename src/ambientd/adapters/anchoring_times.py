"""When a node anchors, as its config has it."""

from typing import Final

from ambientd.config.options import BitcoinOptions, ChainKind
from ambientd.roles.anchorer import TURN_MS, AnchorerOptions

_EMBEDDED_TURN_BLOCKS: Final = 60
_EMBEDDED_NETWORK: Final = "regtest"


def anchorer_options(bitcoin: BitcoinOptions, network: str) -> AnchorerOptions:
    """Give when this node anchors, or, without a chain, when it expects the others to."""
    is_on = bitcoin.chain is not ChainKind.OFF
    # A node that joined without a chain knows the others' only by the network of the genesis.
    looks_on = not is_on and network == _EMBEDDED_NETWORK
    is_embedded = bitcoin.chain is ChainKind.EMBEDDED or looks_on
    return AnchorerOptions(
        enabled=is_on,
        period_ms=0 if looks_on else bitcoin.anchor_period_ms,
        receipts_max=bitcoin.anchor_receipts_max,
        turn_ms=_EMBEDDED_TURN_BLOCKS * bitcoin.block_interval_ms if is_embedded else TURN_MS,
    )
