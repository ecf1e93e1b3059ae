"""The last few state roots, which voters compare two blocks later."""

from collections import OrderedDict

KEPT_MAX = 64


class RecentRoots:
    """State roots by block index."""

    def __init__(self, index: int, root: bytes) -> None:
        self._roots: OrderedDict[int, bytes] = OrderedDict({index: root})

    def add(self, index: int, root: bytes) -> None:
        """Keep one more, forget the oldest."""
        self._roots[index] = root
        if len(self._roots) > KEPT_MAX:
            self._roots.popitem(last=False)

    def get(self, index: int) -> bytes | None:
        """Give a root, or None when it is not known here."""
        return self._roots.get(index)
