"""What anchors cost: sizes in virtual bytes, fees in satoshi, rates in millisatoshi a virtual byte.

Whole numbers throughout. An anchor spends P2WPKH coins of one wallet, and pays an OP_RETURN of 36
bytes and the change (protocols/06-receipts.md section 5).
"""

from dataclasses import dataclass
from typing import Final

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
DUST_SAT: Final = 294  # Bitcoin Core's limit for a P2WPKH output
INPUTS_MAX: Final = 20
RELAY_RATE_MSAT_VB: Final = 1_000
FALLBACK_RATE_MSAT_VB: Final = 2_000
RATE_MSAT_VB_MAX: Final = 100_000_000

_WEIGHT: Final = 354
_INPUT_WEIGHT: Final = 272


def anchor_vsize(inputs: int) -> int:
    """Give the most virtual bytes that an anchor with so many inputs has."""
    return -(-(_WEIGHT + _INPUT_WEIGHT * inputs) // 4)


def fee_sat(rate_msat_vb: int, vsize: int) -> int:
    """Give the fee of a size at a rate, rounded up, never under what nodes relay."""
    return -(-max(rate_msat_vb, RELAY_RATE_MSAT_VB) * vsize // 1_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """What anchoring costs at one fee rate."""

    rate_msat_vb: int
    anchor_sat: int
    day_msat: int
    receipt_msat: int


def cost(rate_msat_vb: int, period_ms: int, receipts_a_day: int) -> Cost:
    """Work out what one anchor, a day and a receipt cost when one coin pays for each anchor."""
    anchor_sat = fee_sat(rate_msat_vb, anchor_vsize(1))
    day_msat = anchor_sat * 1_000 * DAY_MS // period_ms
    return Cost(rate_msat_vb, anchor_sat, day_msat, -(-day_msat // receipts_a_day))
