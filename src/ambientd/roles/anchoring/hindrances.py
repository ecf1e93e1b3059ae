"""What stands in the way of roots, in words for people, and since when a coin is missed."""

from collections.abc import Iterator

from ambientd.model.base import Digest


class Hindrances:
    """Notes, refusals of the network, and roots of which a coin may have been spent elsewhere."""

    def __init__(self) -> None:
        self.notes: dict[Digest, str] = {}
        self._refused: dict[Digest, str] = {}
        self._missing_since: dict[Digest, int | None] = {}

    def __iter__(self) -> Iterator[str]:
        yield from self.notes.values()
        yield from self._refused.values()

    def of(self, root: Digest) -> str:
        """Say what stands in a root's way; nothing is the empty text."""
        return self.notes.get(root) or self._refused.get(root) or ""

    def clear(self, root: Digest) -> None:
        """Forget what stood in a root's way."""
        for each in (self.notes, self._refused, self._missing_since):
            each.pop(root, None)

    def answer(self, root: Digest, refusal: str | None) -> None:
        """Keep what the network says of a root's transaction."""
        self._refused.pop(root, None)
        if refusal is not None:
            self._refused[root] = f"the chain refused the anchor: {refusal}"

    @property
    def suspects(self) -> frozenset[Digest]:
        """Give the roots of which a coin may be missing."""
        return frozenset(self._missing_since)

    def suspect(self, root: Digest) -> None:
        """Have a root's coins looked at."""
        self._missing_since.setdefault(root, None)

    def acquit(self, root: Digest) -> None:
        """Take it that no coin is missing."""
        self._missing_since.pop(root)
        self.notes.pop(root, None)

    def begin_anew(self) -> None:
        """Count all over again: the chain is lower than it was."""
        self._missing_since = dict.fromkeys(self._missing_since)

    def missing_for(self, root: Digest, height: int) -> int:
        """Give for how many Bitcoin blocks a coin has been missing, the first time none."""
        since = self._missing_since[root]
        if since is None:
            since = self._missing_since[root] = height
        self.notes[root] = (
            "a coin of the anchor was spent elsewhere; it is anchored anew once that is certain"
        )
        return height - since
