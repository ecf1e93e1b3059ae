"""RFC 9162 Merkle trees: roots, inclusion and consistency proofs (protocols/02-merkle.md)."""

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf's data (section 2.1.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def branch_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent (section 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """Give the largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def root(leaves: Sequence[bytes]) -> bytes:
    """Give the tree head of leaf hashes (section 2.1.1)."""
    return Frontier().extended(leaves).root()


class Frontier:
    """The right edge of a growing tree: all that appending and the root need, O(log n) hashes."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: tuple[bytes, ...] = ()) -> None:
        if size < 0 or len(hashes) != size.bit_count():
            msg = f"a tree of {size} leaves has {size.bit_count()} edge hashes, not {len(hashes)}"
            raise ValueError(msg)
        self.size = size
        self.hashes = hashes

    def extended(self, leaves: Iterable[bytes]) -> "Frontier":
        """Give the frontier after more leaf hashes."""
        edge = list(self.hashes)
        size = self.size
        for leaf in leaves:
            current, width = leaf, size
            while width & 1:
                current = branch_hash(edge.pop(), current)
                width >>= 1
            edge.append(current)
            size += 1
        return Frontier(size, tuple(edge))

    def root(self) -> bytes:
        """Give the tree head."""
        if not self.hashes:
            return EMPTY_ROOT
        current = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            current = branch_hash(left, current)
        return current


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Give the path of leaf `index`, leaf to root (section 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        msg = f"leaf {index} is outside a tree of {len(leaves)}"
        raise ValueError(msg)
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def inclusion_proofs(leaves: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Give the tree head and the path of every leaf, leaf to root, in O(n log n)."""
    if not leaves:
        return EMPTY_ROOT, []
    if len(leaves) == 1:
        return leaves[0], [[]]
    split = _split(len(leaves))
    left, left_paths = inclusion_proofs(leaves[:split])
    right, right_paths = inclusion_proofs(leaves[split:])
    for paths, sibling in ((left_paths, right), (right_paths, left)):
        for path in paths:
            path.append(sibling)
    return branch_hash(left, right), left_paths + right_paths


def sibling_sides(index: int, size: int, length: int) -> list[bool] | None:
    """Tell which siblings of a path stand on the left, leaf first; None for a wrong length."""
    if not 0 <= index < size:
        return None
    first, last, sides = index, size - 1, []
    for _ in range(length):
        if last == 0:
            return None
        is_left = bool(first & 1) or first == last
        if is_left:
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        first, last = first >> 1, last >> 1
        sides.append(is_left)
    return sides if last == 0 else None


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Give the root an inclusion proof leads to, or None when its shape is wrong (2.1.3.2)."""
    sides = sibling_sides(index, size, len(path))
    if sides is None:
        return None
    current = leaf
    for sibling, is_left in zip(path, sides, strict=True):
        current = branch_hash(sibling, current) if is_left else branch_hash(current, sibling)
    return current


def consistency_proof(leaves: Sequence[bytes], old_size: int) -> list[bytes]:
    """Give the proof that the tree of `old_size` leaves is a prefix of this one (2.1.4.1)."""
    if not 0 < old_size <= len(leaves):
        msg = f"no tree of {old_size} leaves is a prefix of one of {len(leaves)}"
        raise ValueError(msg)
    return _subproof(leaves, old_size, whole=True)


def _subproof(leaves: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    if old_size == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if old_size <= split:
        return [*_subproof(leaves[:split], old_size, whole=whole), root(leaves[split:])]
    return [*_subproof(leaves[split:], old_size - split, whole=False), root(leaves[:split])]


def verify_consistency(
    old_size: int, old_root: bytes, size: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tell whether a consistency proof connects two tree heads (section 2.1.4.2)."""
    if old_size == size:
        return old_root == new_root and not path
    if not 0 < old_size < size:
        return False
    hashes = list(path)
    if old_size & (old_size - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    first, last = old_size - 1, size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old = new = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            old, new = branch_hash(sibling, old), branch_hash(sibling, new)
            while first and not first & 1:
                first, last = first >> 1, last >> 1
        else:
            new = branch_hash(new, sibling)
        first, last = first >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root
