"""Which batches are closed, and which of them have an anchor: derived from the entries."""

from bisect import bisect_left, bisect_right

from ambientd.ledger.entries import CheckpointEntry


class CheckpointIndex:
    """The sizes of the closed batches' trees, in order."""

    def __init__(self) -> None:
        self._closed: list[int] = []
        self._anchored: list[int] = []

    def see(self, entry: CheckpointEntry) -> None:
        """Take a batch that was closed, or has its anchor now."""
        kept = [self._closed] if entry.anchor is None else [self._closed, self._anchored]
        for sizes in kept:
            place = bisect_left(sizes, entry.note.size)
            if place == len(sizes) or sizes[place] != entry.note.size:
                sizes.insert(place, entry.note.size)

    def forget(self, entry: CheckpointEntry) -> None:
        """Let go of a batch whose entry is deleted."""
        for sizes in (self._closed, self._anchored):
            if entry.note.size in sizes:
                sizes.remove(entry.note.size)

    def covering(self, leaf: int) -> int | None:
        """Give the best closed batch that holds a leaf: the first anchored one, else the first."""
        for sizes in (self._anchored, self._closed):
            place = bisect_right(sizes, leaf)
            if place < len(sizes):
                return sizes[place]
        return None

    def up_to(self, leaf: int) -> list[int]:
        """Give the batches that hold leaves below this one only."""
        return self._closed[: bisect_right(self._closed, leaf)]

    def anchored(self, count: int) -> list[int]:
        """Give the newest batches with an anchor, so many at most."""
        return self._anchored[-count:]
