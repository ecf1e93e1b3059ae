"""Anchors: whoever can bring a root into a Bitcoin block and prove it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.node.event import AnchorProven, AnchorSigned

Post: TypeAlias = Callable[[AnchorProven | AnchorSigned], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class AnchorProgress:
    """How far one root has come; the transaction's id as Bitcoin programs show it.

    `versions` were signed or heard of, the newest pays `fee_sat`. A root is lost when a
    reorganisation has undone an anchor whose proof was taken already.
    """

    state: str
    txid: str | None = None
    height: int | None = None
    confirmations: int = 0
    fee_sat: int = 0
    versions: int = 0
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class AnchorSent:
    """A transaction that carries a root is on its way; its id as Bitcoin programs show it."""

    root: bytes
    txid: str


@dataclass(frozen=True, slots=True)
class ChainState:
    """The chain, for people; `trouble` says why it is of no use now."""

    state: str
    height: int | None
    detail: str
    trouble: str | None = None


class Anchors(Protocol):
    """Brings roots into Bitcoin and keeps them there; waits as long as it takes."""

    async def run(self, post: Post) -> None:
        """Work for ever; proofs, and what is signed, go to the node."""
        ...

    def want(self, size: int, root: Digest) -> None:
        """Have a closed batch's root anchored."""
        ...

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        """Learn of an anchor that another member has signed."""
        ...

    def leave(self, size: int) -> None:
        """Sign nothing new up to this batch: the log has its anchor."""
        ...

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        """See to it that an anchor which the log has stays in the best chain, whoever made it."""
        ...

    def seat(self, place: int | None, members: int) -> None:
        """Learn when it is this node's turn to anchor what was undone; without a place, never."""
        ...

    def retry(self) -> None:
        """Try again at once whatever waits."""
        ...

    async def fee_rate_msat_vb(self) -> int | None:
        """Give the chain's estimate, or None; raises as the chain does."""
        ...

    def progress(self) -> Mapping[bytes, AnchorProgress]:
        """Tell how far the roots under way have come."""
        ...

    def status(self) -> ChainState:
        """Tell what the chain last said."""
        ...
