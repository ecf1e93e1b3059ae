"""Pages of a state that are left out, and the hashes that stand for them (protocols/08 §6)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ambientd.codec import merkle

Block = tuple[int, int]
"""The first leaf and the number of leaves of a subtree; the header is leaf 0, page 0 is leaf 1."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Pages that nobody here knows, and the hash of each subtree that consists of such pages.

    The subtrees are whole and as large as can be, so they are part of every larger tree, too:
    the root is known after memory has grown, as long as none of these pages was touched.
    """

    pages: frozenset[int]
    hashes: Mapping[Block, bytes]

    def root(self, leaves: Sequence[bytes]) -> bytes:
        """Give the tree head; what stands in the places of the pages left out is not looked at."""
        return self._head(leaves, 0, len(leaves))

    def _head(self, leaves: Sequence[bytes], start: int, size: int) -> bytes:
        known = self.hashes.get((start, size))
        if known is not None:
            return known
        if size == 1:
            return leaves[start]
        left = 1 << (size - 1).bit_length() - 1
        right = self._head(leaves, start + left, size - left)
        return merkle.branch_hash(self._head(leaves, start, left), right)


def blocks(pages: Collection[int]) -> Iterator[Block]:
    """Give the largest whole subtrees that consist of these pages alone, in ascending order."""
    leaves = [page + 1 for page in sorted(pages)]
    place = 0
    while place < len(leaves):
        start = leaves[place]
        end = start
        while place < len(leaves) and leaves[place] == end:
            end, place = end + 1, place + 1
        while start < end:
            size = min(start & -start, 1 << (end - start).bit_length() - 1)
            yield start, size
            start += size


def hashes_of(pages: Collection[int], leaves: Sequence[bytes]) -> LeftOut:
    """Give what stands for pages of a tree of which all leaves are known."""
    found = {
        (start, size): merkle.root(leaves[start : start + size]) for start, size in blocks(pages)
    }
    return LeftOut(frozenset(pages), found)
