"""Worlds of the peg in which it may hold only so much: which these are, and what must hold."""

import random
from collections.abc import Sequence
from typing import Final

from ambientd.ledger.peg import reserves_sat
from ambientd.ledger.peg_entries import PegPaymentEntry
from ambientd.ledger.peg_events import PaymentFinal
from ambientd.ledger.peg_ins import is_earlier
from ambientd.ledger.state import LedgerState
from ambientd.model.peg import CoinState, PaymentKind
from ambientd.rules.bitcoin import AMOUNT_MAX_SAT, Outpoint, Output
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
    """Follows block by block what came in, and what the peg holds then.

    It adds up coins and payments itself: the ledger's own room would agree with itself.
    """

    def __init__(self, ledger: LedgerState, most_sat: int) -> None:
        """Judge a ledger by the most that its genesis lets it hold; 0 is no bound."""
        self._ledger = ledger
        self._most_sat = most_sat or AMOUNT_MAX_SAT
        self._late_most_sat = most_sat // 2 or AMOUNT_MAX_SAT
        self._came_sat = 0

    def check(self, events: Sequence[object]) -> None:
        """Find a peg-in that was counted above the bound.

        What a deep reorganisation undoes is held again, whatever there was room for.
        """
        ledger = self._ledger
        came_sat = ledger.peg.in_sat + ledger.peg_index.late_sat
        has_come, self._came_sat = came_sat > self._came_sat, came_sat
        if has_come and self._late_sat() > self._late_most_sat:
            raise InvariantViolation(
                "half the bound is brought over at most",
                f"{self._late_sat()} sat are on their way, the bound is {self._most_sat}",
            )
        is_undone = any(
            isinstance(each, PaymentFinal) and ledger.peg_index.ends[each.payment].turn
            for each in events
        )
        if has_come and not is_undone and self._room_sat() < 0:
            raise InvariantViolation(
                "no peg-in counts above the bound",
                f"the peg holds {-self._room_sat()} sat more than {self._most_sat}",
            )

    def fitting(self, unspent: dict[Outpoint, Output]) -> list[Outpoint]:
        """List what waits though there is room for it."""
        ledger, found = self._ledger, []
        for coin in unspent:
            entry = ledger.peg_coin(coin.txid, coin.index)
            if entry is None or entry.state is not CoinState.WAITING:
                continue
            is_late = is_earlier(ledger, entry.wallet)
            if entry.value_sat <= self._room_sat(is_late=is_late):
                found.append(coin)
        return found

    def _room_sat(self, *, is_late: bool = False) -> int:
        """Give what may still count, or be brought over from an earlier wallet."""
        late_sat = self._late_sat()
        left_sat = self._most_sat - reserves_sat(self._ledger) - late_sat
        return min(left_sat, self._late_most_sat - late_sat) if is_late else left_sat

    def _late_sat(self) -> int:
        return sum(
            entry.payment.total_sat
            for entry in self._ledger.items().values()
            if isinstance(entry, PegPaymentEntry)
            and entry.final is None
            and entry.payment.kind is PaymentKind.LATE
        )
