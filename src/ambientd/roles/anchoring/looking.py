"""Where the chain is looked at: for what waits, is placed, or is where only the log says so."""

from collections.abc import Callable, Container
from enum import Enum, auto

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import AnchoredRoot, Place, Stage
from ambientd.roles.anchoring.events import Look, View
from ambientd.roles.anchoring.logged import where
from ambientd.roles.anchoring.open_book import OpenBook


class Sight(Enum):
    """What came of looking for an anchor that the log has."""

    THERE = auto()
    LOOK_AGAIN = auto()
    NOT_YET = auto()
    GONE = auto()


class Unseen:
    """Roots of which the log says where they are, and which this chain has not shown yet.

    Each is looked for at the height that its proof claims; where it is not, by its transactions.
    """

    def __init__(self, wait_ms: int) -> None:
        """Leave a chain that has not come to a height so much time."""
        self._wait_ms = wait_ms
        self._is_sought: dict[Digest, bool] = {}

    def __contains__(self, root: object) -> bool:
        return root in self._is_sought

    def __bool__(self) -> bool:
        return bool(self._is_sought)

    def put(self, root: Digest) -> None:
        """Look for a root at the height that its proof claims."""
        self._is_sought[root] = False

    def drop(self, root: Digest) -> None:
        """Look for it no more."""
        self._is_sought.pop(root, None)

    def sought(self, entries: list[AnchoredRoot]) -> list[AnchoredRoot]:
        """Give those of which a transaction is looked for."""
        return [entry for entry in entries if self._is_sought.get(entry.root)]

    def see(self, entry: AnchoredRoot, claimed: Place, view: View, now: int) -> Sight | Place:
        """Say whether a root is where the log says, or where else it is."""
        if not self._is_sought[entry.root]:
            if view.hashes.get(claimed.height) == claimed.block_hash:
                self.drop(entry.root)
                return Sight.THERE
            self._is_sought[entry.root] = claimed.height in view.hashes
            return Sight.LOOK_AGAIN
        if any(version.txid not in view.places for version in entry.transactions):
            return Sight.LOOK_AGAIN
        found = where(entry, view.places, claimed.block_hash)
        if found is None and claimed.height > view.height and now < entry.since_ms + self._wait_ms:
            return Sight.NOT_YET
        self.drop(entry.root)
        return Sight.GONE if found is None else found


def look_at(
    book: OpenBook,
    unseen: Unseen,
    suspects: Container[Digest],
    is_stuck: Callable[[AnchoredRoot], bool],
    is_in_doubt: bool,
) -> Look:
    """Give what to look at now; in doubt that is the place of every root."""
    sent, placed = book.entries(Stage.SENT), book.entries(Stage.MINED, Stage.PROVEN)
    entries = placed
    if not is_in_doubt:
        entries = [each for each in placed if each.stage is Stage.MINED or each.root in unseen]
    heights = {entry.place.height for entry in entries if entry.place}
    # While the highest Bitcoin block with a proven root is there, all below it are.
    highest = book.highest_proven(unseen)
    heights |= set() if highest is None else {highest}
    missing = [entry for entry in sent if entry.root in suspects]
    waiting = book.entries(Stage.WAITING)
    return Look(
        txids=tuple(
            version.txid
            for entry in (*book.entries(Stage.WAITING, Stage.SENT), *unseen.sought(placed))
            for version in entry.transactions
        ),
        heights=tuple(sorted(heights)),
        waiting=tuple(version.txid for entry in missing for version in entry.versions),
        coins=bool(missing or waiting) or any(is_stuck(entry) for entry in sent),
    )
