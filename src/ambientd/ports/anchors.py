"""Anchors: whoever can bring a root into a Bitcoin block and prove it."""

from typing import Protocol

from ambientd.model.receipt import AnchorProof


class Anchors(Protocol):
    """Brings roots into Bitcoin; waits as long as it takes."""

    async def anchor(self, root: bytes) -> AnchorProof:
        """Broadcast a root, wait for its confirmations, and give the proof."""
        ...

    def status(self) -> dict[str, str | int | None]:
        """Tell the state of the chain and of the anchor under way, for people."""
        ...
