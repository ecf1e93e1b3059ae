"""A member of an anchoring world: its core, its disk, its seat, and what it brings into the log."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from ambientd.model.base import Digest
from ambientd.roles.anchor_watch import WATCHED_MAX
from ambientd.roles.anchoring.book import AnchorBook, decode_book, encode_book
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import (
    AnchorLogged,
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
)
from ambientd.roles.anchoring.options import AnchoringOptions
from sim.anchor_chain import AnchorChain
from sim.wallets import UnsignedPurse

CONTENDED_MAX = 5


class BrokenError(AssertionError):
    """A checker's finding."""


@dataclass
class AnchorLog:
    """The log's anchors by size, as the ledger keeps them: another block's under more work."""

    anchors: dict[int, AnchorLogged] = field(default_factory=dict)
    replaced: int = 0
    contended: dict[int, int] = field(default_factory=dict)

    @property
    def settled(self) -> int:
        """Give the largest batch with an anchor."""
        return max(self.anchors, default=0)

    def takes(self, proof: AnchorLogged) -> bool:
        """Tell whether a proof would be kept."""
        kept = self.anchors.get(proof.size)
        return kept is None or (
            kept.place.block_hash != proof.place.block_hash and proof.following > kept.following
        )

    def put(self, proof: AnchorLogged, chain: AnchorChain) -> None:
        """Keep a proof, if it outweighs the one that is there."""
        if self.takes(proof):
            kept = self.anchors.get(proof.size)
            is_true = chain.holds(proof.place.block_hash)
            if kept is not None and is_true and chain.holds(kept.place.block_hash):
                self._contend(proof.size)
            self.replaced += proof.size in self.anchors
            self.anchors[proof.size] = proof

    def _contend(self, size: int) -> None:
        """Count the anchors of one batch, all of them there, of which each takes another's place.

        Proofs may be under way at once, one of each member; more of them are a quarrel.
        """
        self.contended[size] = self.contended.get(size, 0) + 1
        if self.contended[size] > CONTENDED_MAX:
            raise BrokenError(f"anchors of size {size} that are all there take turns in the log")


class Around(Protocol):
    """What a member sees of its world."""

    rng: Random
    now: int
    chain: AnchorChain
    log: AnchorLog
    seats: list["Member"]
    options: AnchoringOptions
    begun: dict[int, int]
    anew: set[Digest]

    def strikes(self, fault: str, probability: float) -> bool:
        """Let a fault come now, or not."""
        ...

    def tell(self, sender: "Member", event: TheirsHeard) -> None:
        """Let the other members hear, mostly."""
        ...

    def count(self, what: str) -> None:
        """Count something that a report tells."""
        ...


class Member:
    """One member: its core, its disk, and the proofs that it has to bring into the log."""

    def __init__(self, name: int, world: Around) -> None:
        self.purse = UnsignedPurse(name)
        self.world = world
        self.disk = encode_book(AnchorBook())
        self.wanted: dict[Digest, int] = {}
        self.proofs: dict[int, AnchorLogged] = {}
        self.has_chain = True
        self.is_gone = False
        self._seats: Sequence[Member] = ()
        self._told: dict[int, AnchorLogged] = {}
        self._settled = 0
        self.core = self._restored()

    def _restored(self) -> Anchoring:
        return Anchoring(self.world.options, self.purse, decode_book(self.disk), "here")

    @property
    def has_seat(self) -> bool:
        """Whether it is of the committee."""
        return self in self.world.seats

    def crash(self) -> None:
        """Lose all but the disk; the newest root is asked for again, as after any start."""
        self.core = self._restored()
        self._seats, self._told, self._settled = (), {}, 0
        self.proofs.clear()
        if self.is_gone:
            return
        self.follow()
        if self.wanted and self.has_seat:
            root = max(self.wanted, key=lambda each: self.wanted[each])
            if self.wanted[root] > self.world.log.settled:
                self.handle(RootWanted(self.wanted[root], root))

    @property
    def has_begun_anew(self) -> bool:
        """Whether a version was given up for good."""
        return any(progress.entry.void for progress in self.core.progress())

    def want(self, size: int, root: Digest) -> None:
        """Ask for a root to be anchored."""
        self.wanted[root] = size
        self.handle(RootWanted(size, root))

    def follow(self) -> None:
        """Hear of the seat and of the log's anchors, as a node tells whoever anchors for it."""
        world = self.world
        if world.log.settled > self._settled:
            self._settled = world.log.settled
            self.handle(RootsSettled(self._settled))
        had_seat, seats = self in self._seats, tuple(world.seats)
        if seats != self._seats:
            self._seats = seats
            place = seats.index(self) if self in seats else None
            if not had_seat:
                self._told = {}
            self.handle(SeatTold(place, len(seats)))
        for size in sorted(world.log.anchors)[-WATCHED_MAX:] if self.has_seat else ():
            anchor = world.log.anchors[size]
            if self._told.get(size) != anchor:
                self._told[size] = anchor
                self.handle(anchor)

    def insist(self) -> None:
        """Bring proofs into the log, with a seat; they wait for one."""
        for size, proof in list(self.proofs.items()):
            if not self.world.log.takes(proof):
                del self.proofs[size]
            elif self.has_seat and not self.world.strikes("proposal lost", 0.2):
                self.world.log.put(proof, self.world.chain)

    def handle(self, event: Event) -> None:
        """Advance the core, and carry out what it wants, or crash in the middle."""
        queue = [event]
        while queue:
            effects = self.core.handle(queue.pop(0), now=self.world.now)
            for effect in effects:
                if self.world.strikes("crash", 0.01):
                    self.crash()
                    return
                answer = self._perform(effect)
                if answer is not None:
                    queue.append(answer)

    def _perform(self, effect: Effect) -> Event | None:
        world, chain = self.world, self.world.chain
        match effect:
            case PersistBook(book=book):
                self._check_need(book)
                self.world.anew |= {entry.root for entry in book.roots if entry.void}
                self.disk = encode_book(book)
            case LookAtChain(look=look):
                if not self.has_chain or world.strikes("away", 0.05):
                    return ChainAway("nobody answers")
                return ChainSeen(chain.look(look, self.purse.script))
            case SendTransaction():
                return self._send(effect)
            case CollectProof(root=root, place=place):
                if place != chain.place_of(place.txid):
                    return None
                raw = chain.seen[place.txid].raw
                proof = AnchorLogged(effect.size, root, raw, place, effect.following)
                if world.log.takes(proof):
                    self.proofs[effect.size] = proof
                return ProofTaken(root, place)
            case RootLost():
                world.count("lost")
            case AskForFunds():
                pass
        return None

    def _send(self, effect: SendTransaction) -> Event:
        if effect.is_ours and effect.raw not in {
            version.raw for entry in decode_book(self.disk).roots for version in entry.versions
        }:
            raise BrokenError("sent before it was on disk")
        if not self.has_chain or self.world.strikes("away", 0.05):
            return ChainAway("nobody answers")
        refusal = self.world.chain.send(effect.raw)
        if effect.is_ours and self.has_seat:
            self.world.tell(self, TheirsHeard(effect.size, effect.root, effect.raw))
        return Answered(effect.txid, refusal)

    def _check_need(self, book: AnchorBook) -> None:
        """Find a batch that is paid for now though the log has its anchor, or without a seat."""
        before = {entry.root: entry for entry in decode_book(self.disk).roots}
        for entry in book.roots:
            had = before.get(entry.root)
            known = set() if had is None else {each.txid for each in had.transactions}
            new = [each for each in entry.versions if each.coins and each.txid not in known]
            is_begun = had is not None and had.has_own
            anchor = self.world.log.anchors.get(entry.size)
            is_undone = anchor and not self.world.chain.holds(anchor.place.block_hash)
            is_settled = entry.size <= self._settled and not entry.reorganised
            if is_settled and not is_undone and new and not is_begun:
                raise BrokenError(f"size {entry.size} is paid for though the log has its anchor")
            if new and self._seats and self not in self._seats:
                raise BrokenError(f"size {entry.size} is paid for without a seat")
            if new and anchor is None and not is_begun:
                self.world.begun[entry.size] = self.world.begun.get(entry.size, 0) + 1
            if new and anchor is not None and not is_begun and self._told.get(entry.size) == anchor:
                self._check_absence(entry.size, anchor)

    def _check_absence(self, size: int, anchor: AnchorLogged) -> None:
        if self.world.chain.place_of(anchor.place.txid) is not None:
            raise BrokenError(f"size {size} is paid for though the log's anchor is in the chain")
