"""The anchor book while it is worked with: entries by root, oldest first, and what follows."""

from collections.abc import Container, Iterable

from msgspec.structs import replace

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import (
    HEARD_KEPT_MAX,
    TURNS,
    AnchorBook,
    AnchoredRoot,
    Coin,
    Stage,
    Turn,
)
from ambientd.rules.anchor_costs import DAY_MS
from ambientd.rules.bitcoin import Outpoint


class OpenBook:
    """Entries, and what was spent today."""

    def __init__(self, book: AnchorBook) -> None:
        self._entries = {entry.root: entry for entry in book.roots}
        self._day, self._day_fee_sat = book.day, book.day_fee_sat

    def close(self) -> AnchorBook:
        """Give the book as it is to stand on disk."""
        entries = tuple(self._entries.values())
        return AnchorBook(roots=entries, day=self._day, day_fee_sat=self._day_fee_sat)

    def get(self, root: Digest) -> AnchoredRoot | None:
        """Give a root's entry."""
        return self._entries.get(root)

    def entries(self, *stages: Stage) -> list[AnchoredRoot]:
        """Give the entries in some stages, or all."""
        return [entry for entry in self._entries.values() if not stages or entry.stage in stages]

    def put(self, entry: AnchoredRoot) -> AnchoredRoot:
        """Keep an entry as it now is."""
        self._entries[entry.root] = entry
        return entry

    def turn(self, entry: AnchoredRoot, turn: Turn) -> AnchoredRoot:
        """Keep an entry after what happened to it."""
        return self.put(replace(entry, stage=TURNS[entry.stage, turn]))

    def drop(self, entry: AnchoredRoot) -> None:
        """Forget a root."""
        del self._entries[entry.root]

    def oldest(self, kept_max: int, wanted: Container[Digest]) -> list[AnchoredRoot]:
        """Give the smallest batches beyond what is watched: proven, undone, or merely heard of."""
        theirs = [entry for entry in self.entries(Stage.SENT) if not entry.has_own]
        undone = [entry for entry in theirs if entry.reorganised]
        heard = [each for each in theirs if not each.reorganised and each.root not in wanted]
        beyond = []
        for entries, most in (
            (self.entries(Stage.PROVEN), kept_max),
            (undone, kept_max),
            (heard, HEARD_KEPT_MAX),
        ):
            entries.sort(key=lambda entry: entry.size)
            beyond += entries[: max(0, len(entries) - most)]
        return beyond

    def highest_proven(self, unseen: Container[Digest]) -> int | None:
        """Give the height of the highest Bitcoin block with a proven root, of those seen there."""
        proven = (entry for entry in self.entries(Stage.PROVEN) if entry.root not in unseen)
        return max((entry.place.height for entry in proven if entry.place), default=None)

    def has_child(self, entry: AnchoredRoot) -> bool:
        """Tell whether another root's anchor, itself not mined, spends the newest version's change.

        A child of a version that was replaced waits for that one, which can come no more, or only
        in the place of the newest.
        """
        newest = entry.newest
        # What is taken for another member's is not replaced, only joined by one of ours.
        return (
            newest is not None
            and entry.newest_is_ours
            and any(coin.txid == newest.txid for coin in self._coins_in_use(entry))
        )

    def gone(self, entry: AnchoredRoot, unspent: Iterable[Coin]) -> set[Outpoint]:
        """Give an entry's coins that are neither there nor the change of an anchor to be mined."""
        there = {coin.outpoint for coin in unspent}
        to_come = {
            version.txid
            for other in self.entries(Stage.SENT)
            if other.root != entry.root
            for version in other.versions
        }
        coins = (coin for version in entry.versions for coin in version.coins)
        return {
            coin.outpoint
            for coin in coins
            if coin.outpoint not in there and coin.txid not in to_come
        }

    def free(self, coins: Iterable[Coin]) -> list[Coin]:
        """Leave out the coins of transactions that the network has merely forgotten."""
        used = {coin.outpoint for coin in self._coins_in_use(None)}
        return [coin for coin in coins if coin.outpoint not in used]

    def _coins_in_use(self, apart_from: AnchoredRoot | None) -> list[Coin]:
        return [
            coin
            for entry in self.entries(Stage.SENT)
            if apart_from is None or entry.root != apart_from.root
            for version in entry.versions
            for coin in version.coins
        ]

    def spent_today(self, now: int) -> int:
        """Give the fees of the day, in satoshi; days begin at midnight UTC."""
        return self._day_fee_sat if now // DAY_MS == self._day else 0

    def spend(self, fee_sat: int, now: int) -> None:
        """Add to the fees of the day."""
        self._day, self._day_fee_sat = now // DAY_MS, self.spent_today(now) + fee_sat
