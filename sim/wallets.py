"""Anchors of whole nodes: the daemon's own core, each node's wallet on one simulated chain.

It does what `adapters.anchor_service` does, at once and in virtual time. The book is on a disk of
its own: it outlives crashes, and is lost with the data directory.
"""

from collections.abc import Sequence
from typing import Protocol

from ambientd.model.base import Digest
from ambientd.model.effect import (
    AnchorRoot,
    HearAnchor,
    LeaveAnchors,
    SeatAnchors,
    WatchAnchor,
)
from ambientd.model.receipt import AnchorProof
from ambientd.node.event import AnchorProven, AnchorSigned
from ambientd.roles.anchoring.book import AnchorBook, Coin, Progress, decode_book, encode_book
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import (
    Answered,
    AskForFunds,
    ChainAway,
    ChainSeen,
    CollectProof,
    Effect,
    Event,
    LookAtChain,
    PersistBook,
    ProofTaken,
    RootLost,
    RootsSettled,
    RootWanted,
    SeatTold,
    SendTransaction,
    TheirsHeard,
    Ticked,
    logged,
)
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.bitcoin import commitment_script, compact_size
from sim.anchor_chain import BLOCK_MS, AnchorChain

OPTIONS = AnchoringOptions(
    bump_ms=6 * BLOCK_MS, look_ms=400, retry_ms=500, rebroadcast_ms=2_000, watch_ms=2_000
)
COINS_SAT = (40_000, 60_000, 90_000)
AWAY_PERMILLE = 30
TURN_MS = 8_000
"""How long a member leaves an anchor to those before it: more than six Bitcoin blocks take."""

Told = AnchorProven | AnchorSigned


class UnsignedPurse:
    """Anchors without signatures; the script stands for the key."""

    def __init__(self, name: int) -> None:
        self.script = b"\x00\x14" + bytes([name]) * 20

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes:
        """Write the transaction."""
        inputs = b"".join(
            coin.txid + coin.index.to_bytes(4, "little") + b"\x00" + b"\xfd\xff\xff\xff"
            for coin in coins
        )
        change_sat = sum(coin.value_sat for coin in coins) - fee_sat
        outputs = b"".join(
            value_sat.to_bytes(8, "little") + compact_size(len(script)) + script
            for value_sat, script in ((0, commitment_script(root)), (change_sat, self.script))
        )
        body = compact_size(len(coins)) + inputs + b"\x02" + outputs
        return b"\x02\x00\x00\x00" + body + bytes(4)


class Notary(Protocol):
    """Whoever brings a node's roots into Bitcoin blocks."""

    @property
    def next_deadline(self) -> int | None:
        """Give when there is something to do, in the node's clock."""
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
        """See to it that an anchor which the log has stays in the best chain."""
        ...

    def seat(self, place: int | None, members: int) -> None:
        """Learn of this node's place in the committee."""
        ...

    def due(self, now: int) -> list[Told]:
        """Do what is to be done; give what the node must hear of."""
        ...

    def crash(self) -> None:
        """Lose all but the disk."""
        ...

    def lose_disk(self) -> None:
        """Get an empty disk."""
        ...


def hand_on(
    effect: AnchorRoot | HearAnchor | LeaveAnchors | WatchAnchor | SeatAnchors, notary: Notary
) -> None:
    """Tell whoever anchors what the node wants of it."""
    match effect:
        case AnchorRoot(size=size, root=root):
            notary.want(size, root)
        case HearAnchor(size=size, root=root, raw_tx=raw_tx):
            notary.hear(size, root, raw_tx)
        case LeaveAnchors(size=size):
            notary.leave(size)
        case WatchAnchor(size=size, root=root, proof=proof):
            notary.watch(size, root, proof)
        case SeatAnchors(place=place, members=members):
            notary.seat(place, members)


class Wallet:
    """One node's wallet, its book, and what the core makes of both."""

    def __init__(self, number: int, chain: AnchorChain) -> None:
        self.purse = UnsignedPurse(number)
        self.has_begun_anew = False
        self._chain = chain
        self._disk = encode_book(AnchorBook())
        self._inbox: list[Event] = []
        self._told: set[bytes] = set()
        self._core = self._restored()
        for value_sat in COINS_SAT:
            chain.fund(self.purse.script, value_sat)

    @property
    def next_deadline(self) -> int | None:
        """Give when there is something to do: at once when something was asked."""
        return 0 if self._inbox else self._core.next_deadline

    @property
    def progress(self) -> list[Progress]:
        """Tell of every root in the book."""
        return self._core.progress()

    def want(self, size: int, root: Digest) -> None:
        """Have a closed batch's root anchored."""
        self._inbox.append(RootWanted(size, root))

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        """Learn of an anchor that another member has signed."""
        self._inbox.append(TheirsHeard(size, root, raw_tx))

    def leave(self, size: int) -> None:
        """Sign nothing new up to this batch."""
        self._inbox.append(RootsSettled(size))

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        """See to it that an anchor which the log has stays in the best chain."""
        self._inbox.append(logged(size, root, proof))

    def seat(self, place: int | None, members: int) -> None:
        """Learn of this node's place in the committee."""
        self._inbox.append(SeatTold(place, members))

    def due(self, now: int) -> list[Told]:
        """Let the core decide, carry that out, and take the chain's answers in."""
        told: list[Told] = []
        events, self._inbox = [*self._inbox, Ticked()], []
        while events:
            for effect in self._core.handle(events.pop(0), now=now):
                answer = self._perform(effect, told)
                if answer is not None:
                    events.append(answer)
        return told

    def crash(self) -> None:
        """Begin again with what is on disk."""
        self._inbox.clear()
        self._told.clear()
        self._core = self._restored()

    def _restored(self) -> Anchoring:
        return Anchoring(OPTIONS, self.purse, decode_book(self._disk), "here")

    def lose_disk(self) -> None:
        """Begin again with the same key and nothing else, so that a root may be paid for again."""
        self._disk = encode_book(AnchorBook())
        self.has_begun_anew = True
        self.crash()

    def _perform(self, effect: Effect, told: list[Told]) -> Event | None:
        chain = self._chain
        match effect:
            case PersistBook(book=book):
                self._disk = encode_book(book)
                self.has_begun_anew |= any(entry.void for entry in book.roots)
            case LookAtChain(look=look):
                if self._is_away():
                    return ChainAway("nobody answers")
                return ChainSeen(chain.look(look, self.purse.script))
            case SendTransaction():
                if self._is_away():
                    return ChainAway("nobody answers")
                refusal = chain.send(effect.raw)
                if refusal is None and effect.is_ours and effect.txid not in self._told:
                    self._told.add(effect.txid)
                    told.append(AnchorSigned(effect.size, effect.root, effect.raw))
                return Answered(effect.txid, refusal)
            case CollectProof(size=size, root=root, place=place):
                proof = chain.proof(place, effect.following)
                if proof is None:
                    return None
                told.append(AnchorProven(size, root, proof))
                return ProofTaken(root, place)
            case AskForFunds(needed_sat=needed_sat):
                chain.fund(self.purse.script, 2 * needed_sat)
            case RootLost():
                pass
        return None

    def _is_away(self) -> bool:
        return self._chain.rng.randrange(1_000) < AWAY_PERMILLE
