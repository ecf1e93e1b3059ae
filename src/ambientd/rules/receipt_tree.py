"""The receipt log's tree with all complete subtrees at hand (RFC 9162, protocols/02-merkle.md).

`codec.merkle` says what a root and a proof are; this gives them in O(log n) at any earlier size,
which is what checkpoints, receipt files and witnesses ask for.
"""

from collections.abc import Iterable, Sequence

from ambientd.codec.merkle import EMPTY_ROOT, branch_hash


class ReceiptTree:
    """A growing tree of leaf hashes; the first `start` of them may be known by their edge alone."""

    __slots__ = ("_cut", "_levels")

    def __init__(
        self, leaves: Iterable[bytes] = (), *, start: int = 0, edge: Sequence[bytes] = ()
    ) -> None:
        # _levels[k][i - _cut[k]] is the hash over the leaves i * 2^k up to (i + 1) * 2^k.
        hashes = list(edge)
        self._levels: list[list[bytes]] = []
        self._cut: list[int] = []
        for level in range(start.bit_length() + 1):
            has_edge = start >> level & 1
            self._levels.append([hashes.pop()] if has_edge else [])
            self._cut.append((start >> level) - has_edge)
        for leaf in leaves:
            self.append(leaf)

    def forget(self, start: int) -> None:
        """Forget the leaves below `start`, and all that only they need."""
        for level, row in enumerate(self._levels):
            kept = (start >> level) - (start >> level & 1)
            if kept > self._cut[level]:
                del row[: kept - self._cut[level]]
                self._cut[level] = kept

    @property
    def size(self) -> int:
        """Count the leaves."""
        return self._cut[0] + len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash at the right."""
        current, level = leaf, 0
        while True:
            row = self._levels[level]
            row.append(current)
            if self._cut[level] + len(row) & 1:
                return
            current, level = branch_hash(row[-2], row[-1]), level + 1
            if level == len(self._levels):
                self._levels.append([])
                self._cut.append(0)

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
        path, levels, cut = [], self._levels, self._cut
        for level in range((size - 1).bit_length()):
            sibling = index >> level ^ 1
            # Only at the right edge a subtree is not whole, or is not there at all.
            if sibling + 1 << level <= size:
                at = sibling - cut[level]
                if at < 0:
                    raise _forgotten(level, sibling)
                path.append(levels[level][at])
            elif sibling << level < size:
                path.append(self._hash(sibling << level, size))
        return path

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
            at = (start >> level) - self._cut[level]
            if at < 0:
                raise _forgotten(level, start >> level)
            return self._levels[level][at]
        middle = start + _split(width)
        return branch_hash(self._hash(start, middle), self._hash(middle, end))


def _forgotten(level: int, place: int) -> ValueError:
    start, end = place << level, place + 1 << level
    return ValueError(f"the leaves {start} to {end - 1} are forgotten")


def _split(width: int) -> int:
    """Give the largest power of two smaller than `width`."""
    return 1 << (width - 1).bit_length() - 1
