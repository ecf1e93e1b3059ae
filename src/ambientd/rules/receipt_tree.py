"""The receipt log's tree with all complete subtrees at hand (RFC 9162, protocols/02-merkle.md).

`codec.merkle` says what a root and a proof are; this gives them in O(log n) at any earlier size,
which is what checkpoints, receipt files and witnesses ask for.
"""

from collections.abc import Iterable

from ambientd.codec.merkle import EMPTY_ROOT, branch_hash


class ReceiptTree:
    """A growing tree of leaf hashes."""

    __slots__ = ("_levels",)

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        # _levels[k][i] is the hash over the leaves i * 2^k up to (i + 1) * 2^k, all present.
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    @property
    def size(self) -> int:
        """Count the leaves."""
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the right."""
        current, level = leaf, 0
        while True:
            row = self._levels[level]
            row.append(current)
            if len(row) & 1:
                return
            current, level = branch_hash(row[-2], row[-1]), level + 1
            if level == len(self._levels):
                self._levels.append([])

    def root(self, size: int) -> bytes:
        """Give the tree head over the first `size` leaves."""
        self._require(size)
        return self._hash(0, size) if size else EMPTY_ROOT

    def inclusion_path(self, index: int, size: int) -> list[bytes]:
        """Give the path of a leaf to the head over `size` leaves, leaf first (2.1.3.1)."""
        self._require(size)
        if not 0 <= index < size:
            msg = f"leaf {index} is outside a tree of {size}"
            raise ValueError(msg)
        path, start, end = [], 0, size
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(start, middle))
                start = middle
        return path[::-1]

    def consistency_path(self, old_size: int, size: int) -> list[bytes]:
        """Give the proof that the head over `old_size` leaves grew into that over `size`."""
        self._require(size)
        if not 0 < old_size <= size:
            msg = f"no tree of {old_size} leaves is a prefix of one of {size}"
            raise ValueError(msg)
        path, start, end = [], 0, size
        while end != old_size:
            middle = start + _split(end - start)
            if old_size <= middle:
                path.append(self._hash(middle, end))
                end = middle
            else:
                path.append(self._hash(start, middle))
                start = middle
        if start:
            path.append(self._hash(start, end))
        return path[::-1]

    def _require(self, size: int) -> None:
        if not 0 <= size <= self.size:
            msg = f"the tree has {self.size} leaves, not {size}"
            raise ValueError(msg)

    def _hash(self, start: int, end: int) -> bytes:
        """Hash the leaves of a range that begins where a subtree of its size may begin."""
        width = end - start
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._levels[level][start >> level]
        middle = start + _split(width)
        return branch_hash(self._hash(start, middle), self._hash(middle, end))


def _split(width: int) -> int:
    """Give the largest power of two smaller than `width`."""
    return 1 << (width - 1).bit_length() - 1
