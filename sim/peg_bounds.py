"""Worlds of the peg in which it may hold only so much: which these are, and what must hold."""

import random
from collections.abc import Sequence
from typing import Final

from ambientd.ledger.peg_events import PaymentFinal
from ambientd.ledger.peg_ins import is_earlier, most_sat, room_sat
from ambientd.ledger.state import LedgerState
from ambientd.model.peg import CoinState
from ambientd.rules.bitcoin import Outpoint, Output
from sim.checkers import InvariantViolation

CHANCE: Final = 0.25
MOST_SAT: Final = (20_000, 60_000, 300_000, 1_500_000)


def drawn_most_sat(seed: int) -> int:
    """Give the most that the peg of a seed may hold; 0 for no bound, as most have none.

    Drawn apart from all else, so that worlds without a bound are what they were before.
    """
    dice = random.Random(f"most {seed}")
    return dice.choice(MOST_SAT) if dice.random() < CHANCE else 0


class BoundWatch:
    """Follows block by block what came in, and what the peg holds then."""

    def __init__(self, ledger: LedgerState) -> None:
        self._ledger = ledger
        self._came_sat = 0

    def check(self, events: Sequence[object]) -> None:
        """Find a peg-in that was counted above the bound.

        What a deep reorganisation undoes is held again, whatever there was room for.
        """
        ledger = self._ledger
        came_sat = ledger.peg.in_sat + ledger.peg_index.late_sat
        has_come, self._came_sat = came_sat > self._came_sat, came_sat
        is_undone = any(
            isinstance(each, PaymentFinal) and ledger.peg_index.ends[each.payment].turn
            for each in events
        )
        if has_come and not is_undone and room_sat(ledger, ledger.peg) < 0:
            above_sat = -room_sat(ledger, ledger.peg)
            raise InvariantViolation(
                "no peg-in counts above the bound",
                f"the peg holds {above_sat} sat more than {most_sat(ledger)}",
            )

    def fitting(self, unspent: dict[Outpoint, Output]) -> list[Outpoint]:
        """List what waits though there is room for it."""
        ledger, found = self._ledger, []
        for coin in unspent:
            entry = ledger.peg_coin(coin.txid, coin.index)
            if entry is None or entry.state is not CoinState.WAITING:
                continue
            is_late = is_earlier(ledger, entry.wallet)
            if entry.value_sat <= room_sat(ledger, ledger.peg, is_late=is_late):
                found.append(coin)
        return found
