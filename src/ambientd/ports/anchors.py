"""Anchors: whoever can bring a root into a Bitcoin block and prove it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ambientd.model.receipt import AnchorProof


@dataclass(frozen=True, slots=True)
class AnchorProgress:
    """How far one root has come; the transaction's id as Bitcoin programs show it."""

    state: str
    txid: str | None = None
    height: int | None = None
    confirmations: int = 0


@dataclass(frozen=True, slots=True)
class AnchorSent:
    """A transaction that carries a root is on its way; its id as Bitcoin programs show it."""

    root: bytes
    txid: str


@dataclass(frozen=True, slots=True)
class ChainState:
    """The chain, for people."""

    state: str
    height: int | None
    detail: str


class Anchors(Protocol):
    """Brings roots into Bitcoin; waits as long as it takes."""

    async def anchor(self, root: bytes) -> AnchorProof:
        """Broadcast a root, wait for its confirmations, and give the proof."""
        ...

    def progress(self) -> Mapping[bytes, AnchorProgress]:
        """Tell how far the roots under way have come."""
        ...

    def status(self) -> ChainState:
        """Tell what the chain last said."""
        ...
