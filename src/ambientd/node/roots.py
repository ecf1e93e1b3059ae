"""What voters compare two blocks later: the last few state roots, and the epochs then due."""

from collections import OrderedDict

from ambientd.model.record import Epoch

KEPT_MAX = 64


class RecentRoots:
    """State roots, and what was due to end the epoch, by block index."""

    def __init__(self, index: int, root: bytes, due: Epoch | None = None) -> None:
        self._states: OrderedDict[int, tuple[bytes, Epoch | None]] = OrderedDict()
        self.add(index, root, due)

    def add(self, index: int, root: bytes, due: Epoch | None = None) -> None:
        """Keep one more, forget the oldest."""
        self._states[index] = root, due
        if len(self._states) > KEPT_MAX:
            self._states.popitem(last=False)

    def get(self, index: int) -> bytes | None:
        """Give a root, or None when it is not known here."""
        found = self._states.get(index)
        return None if found is None else found[0]

    def due(self, index: int) -> Epoch | None:
        """Give the epoch that was due after a block; None for none, and where it is not known."""
        found = self._states.get(index)
        return None if found is None else found[1]
