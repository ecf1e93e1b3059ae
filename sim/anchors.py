"""Seeded worlds for anchoring: two members' wallets on one chain that does its worst.

Roots are wanted, fees rise, coins are stolen, the chain is reorganised and forgets, members crash
between any two effects and hear of each other's anchors or not. In some worlds a member has no
chain for long, or never, and the other takes its turn. Then calm comes, and the checkers ask: is
every wanted root in the best chain, or one that holds it; did no wallet bring a root into it twice,
and did none pay for what the log had an anchor of? In a few worlds reorganisations are so deep that
they undo what made a member begin anew; there a root may come twice, but none may be lost.
`python -m sim.anchors FIRST LAST` runs it.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import AnchorBook, Stage, decode_book, encode_book
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
    SendTransaction,
    TheirsHeard,
    Ticked,
)
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.anchor_costs import DAY_MS
from sim.anchor_chain import AnchorChain
from sim.arguments import Parser, at_least
from sim.wallets import UnsignedPurse

STEP_MS = 300_000
STEPS = 120
CALM_STEPS = 150
DEPTH_SAFE = 5
TURN_STEPS = 24
OPTIONS = AnchoringOptions(
    fee_sat_max=6_000, fee_sat_a_day_max=20_000, look_ms=STEP_MS, retry_ms=STEP_MS, watch_ms=STEP_MS
)


class BrokenError(AssertionError):
    """A checker's finding."""


class Member:
    """One member: its core, its disk, and the roots whose proofs it has handed on."""

    def __init__(self, name: int, world: "AnchorWorld") -> None:
        self.purse = UnsignedPurse(name)
        self.world = world
        self.disk = encode_book(AnchorBook())
        self.wanted: dict[Digest, int] = {}
        self.proven: dict[Digest, bytes] = {}
        self.settled = 0
        self.has_chain = True
        self.core = self._restored()

    def _restored(self) -> Anchoring:
        return Anchoring(OPTIONS, self.purse, decode_book(self.disk), "here")

    def crash(self) -> None:
        """Lose all but the disk; the newest root is asked for again, as after any start."""
        self.core = self._restored()
        self.handle(RootsSettled(self.settled))
        if self.wanted:
            root = max(self.wanted, key=lambda each: self.wanted[each])
            if root not in self.proven and self.wanted[root] > self.settled:
                self.handle(RootWanted(self.wanted[root], root))

    @property
    def has_begun_anew(self) -> bool:
        """Whether a version was given up for good."""
        return any(progress.entry.void for progress in self.core.progress())

    def want(self, size: int, root: Digest) -> None:
        """Ask for a root to be anchored."""
        self.wanted[root] = size
        self.handle(RootWanted(size, root))

    def settle(self, size: int) -> None:
        """Learn that the log has an anchor of a batch."""
        self.settled = max(self.settled, size)
        self.handle(RootsSettled(self.settled))

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
                self.disk = encode_book(book)
            case LookAtChain(look=look):
                if not self.has_chain or world.strikes("away", 0.05):
                    return ChainAway("nobody answers")
                return ChainSeen(chain.look(look, self.purse.script))
            case SendTransaction():
                if effect.is_ours and effect.raw not in {
                    version.raw
                    for entry in decode_book(self.disk).roots
                    for version in entry.versions
                }:
                    raise BrokenError("sent before it was on disk")
                if not self.has_chain or world.strikes("away", 0.05):
                    return ChainAway("nobody answers")
                refusal = chain.send(effect.raw)
                if effect.is_ours:
                    world.tell(self, TheirsHeard(effect.root, effect.raw))
                return Answered(effect.txid, refusal)
            case CollectProof(root=root, place=place):
                if place != chain.place_of(place.txid):
                    return None
                self.proven[root] = place.block_hash
                world.settled = max(world.settled, effect.size)
                return ProofTaken(root, place)
            case AskForFunds() | RootLost():
                pass
        return None

    def _check_need(self, book: AnchorBook) -> None:
        """Find a batch that is paid for now though the log has its anchor."""
        before = {entry.root: entry for entry in decode_book(self.disk).roots}
        for entry in book.roots:
            had = before.get(entry.root)
            is_begun = had is not None and any(each.coins for each in had.transactions)
            is_settled = entry.size <= self.settled and not entry.reorganised
            if is_settled and entry.newest_is_ours and not is_begun:
                raise BrokenError(f"size {entry.size} is paid for though the log has its anchor")


@dataclass
class Report:
    """What a world saw."""

    blocks: int
    roots: int
    reorganisations: int
    thefts: int
    crashes: int
    versions: int


class AnchorWorld:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 10 * DAY_MS
        self.chain = AnchorChain(self.rng)
        self.is_calm = False
        self.has_thief = self.rng.random() < 0.3
        self.is_deep = self.rng.random() < 0.2
        self.counts: dict[str, int] = {}
        self.settled = 0
        self.wanted: dict[int, tuple[int, Digest]] = {}
        self.members = [Member(1, self), Member(2, self)]
        # A member whose chain has been off from the first day, or goes away for a while.
        self.is_cut_off = self.rng.random() < 0.2
        self.outage = range(0)
        if self.is_cut_off:
            self.members[0].has_chain = False
        elif self.rng.random() < 0.3:
            begin = self.rng.randrange(STEPS)
            self.outage = range(begin, begin + self.rng.randrange(STEPS))
        for member in self.members:
            self.chain.fund(member.purse.script, self.rng.randrange(500, 30_000))
        for _ in range(self.rng.randrange(10)):
            self.chain.mine()

    def strikes(self, fault: str, probability: float) -> bool:
        """Let a fault come now, or not."""
        came = not self.is_calm and self.rng.random() < probability
        if came:
            self.counts[fault] = self.counts.get(fault, 0) + 1
        return came

    def tell(self, sender: Member, event: TheirsHeard) -> None:
        """Let the other member hear, mostly."""
        if not self.strikes("unheard", 0.2):
            for member in self.members:
                if member is not sender:
                    member.core.handle(event, now=self.now)

    def play(self) -> Report:
        """Run to the end and check."""
        size = 0
        for step in range(STEPS):
            self.now += STEP_MS
            if not self.is_cut_off:
                self.members[0].has_chain = step not in self.outage
            if self.rng.random() < 0.08:
                size += 1
                root = Digest(sha256(b"root %d" % size).digest())
                chosen = self.members if self.strikes("two at once", 0.2) else [self._any()]
                self.wanted[size] = (step, root)
                for member in chosen:
                    member.want(size, root)
            self._take_turns(step)
            self._trouble()
            for member in self.members:
                member.handle(Ticked())
        self._calm()
        self._check()
        return Report(
            blocks=self.chain.height + 1,
            roots=size,
            reorganisations=self.counts.get("reorganisation", 0),
            thefts=self.counts.get("theft", 0),
            crashes=self.counts.get("crash", 0),
            versions=len([tx for tx in self.chain.seen.values() if tx.roots]),
        )

    def _any(self) -> Member:
        return self.rng.choice(self.members)

    def _take_turns(self, step: int) -> None:
        """Show the members what the log has; what it lacks after a while each of them wants."""
        for member in self.members:
            if member.settled < self.settled:
                member.settle(self.settled)
        for size, (since, root) in self.wanted.items():
            if size > self.settled and step == since + TURN_STEPS:
                for member in self.members:
                    if root not in member.wanted:
                        member.want(size, root)

    def _trouble(self) -> None:
        chain, rng = self.chain, self.rng
        if rng.random() < 0.1:
            chain.rate_msat_vb = rng.choice((1_000, 1_500, 3_000, 8_000, 20_000, 60_000))
        if self.strikes("forgotten", 0.05):
            chain.forget()
        if self.strikes("funds", 0.03):
            chain.fund(self._any().purse.script, rng.randrange(400, 20_000))
        if self.has_thief and self.strikes("theft", 0.02):
            chain.steal(self._any().purse.script)
        if self.strikes("reorganisation", 0.04):
            # What a deeper one undoes may be what made a member begin anew.
            is_safe = self.has_thief or any(member.has_begun_anew for member in self.members)
            most = DEPTH_SAFE if is_safe and not self.is_deep else 40
            chain.reorganise(rng.randrange(1, min(most, chain.height) + 1))
        if rng.random() < 0.5:
            chain.mine()
        if self.strikes("crash", 0.01):
            self._any().crash()

    def _calm(self) -> None:
        """Nothing fails any more, and coins come; blocks want more than the fallback rate."""
        self.is_calm = True
        self.members[0].has_chain = not self.is_cut_off
        self.chain.rate_msat_vb = 3_000
        for step in range(CALM_STEPS):
            self.now += STEP_MS * 2
            self._take_turns(STEPS + step)
            if step % 40 == 0:
                for member in self.members:
                    self.chain.fund(member.purse.script, 50_000)
            self.chain.mine()
            for member in self.members:
                member.handle(Ticked())

    def _check(self) -> None:
        anchored: dict[Digest, list[bytes]] = {}
        for block in self.chain.blocks:
            for tx in block.txs:
                for root in tx.roots:
                    anchored.setdefault(Digest(root), []).append(tx.pays[1][1])
        for root, owners in anchored.items():
            if len(set(owners)) != len(owners) and not self.is_deep:
                raise BrokenError(
                    f"root {root.hex()[:8]} is twice in the chain, paid by one wallet"
                )
        sizes = {root: size for size, (_, root) in self.wanted.items()}
        largest = max((sizes[root] for root in anchored), default=0)
        if max(sizes.values(), default=0) > largest:
            raise BrokenError(f"the batches above size {largest} are lost")
        for member in self.members:
            if not member.has_chain:
                continue
            for progress in member.core.progress():
                entry = progress.entry
                if entry.stage is not Stage.PROVEN or entry.place is None:
                    raise BrokenError(
                        f"root of size {entry.size} is {entry.stage.name}: {progress.note}"
                    )
                if self.chain.blocks[entry.place.height].hash != entry.place.block_hash:
                    raise BrokenError(
                        f"root of size {entry.size} is proven in no block of the chain"
                    )
                if member.proven.get(entry.root) != entry.place.block_hash:
                    raise BrokenError(f"the last proof of size {entry.size} is of another block")


def play(seed: int) -> Report:
    """Run one world; raise BrokenError, naming what does not hold."""
    return AnchorWorld(seed).play()


def main(arguments: Sequence[str]) -> int:
    """Run seeds FIRST to LAST and tell what came of it."""
    parser = Parser(prog="python -m sim.anchors", description=main.__doc__)
    parser.add_argument("first", type=at_least(0), metavar="FIRST")
    parser.add_argument("last", type=at_least(0), metavar="LAST", nargs="?", help="or FIRST alone")
    options = parser.parse_args(arguments)
    first = options.first
    last = first if options.last is None else options.last
    if last < first:
        parser.error(f"there is no seed from {first} to {last}; name the lower one first")
    broken = 0
    sums: dict[str, int] = {}
    for seed in range(first, last + 1):
        try:
            report = play(seed)
        except BrokenError as finding:
            broken += 1
            sys.stdout.write(f"seed {seed}: BROKEN {finding}\n")
            continue
        for name in report.__dataclass_fields__:
            sums[name] = sums.get(name, 0) + getattr(report, name)
    said = ", ".join(f"{count} {name}" for name, count in sums.items())
    sys.stdout.write(f"{last - first + 1} worlds, {broken} broken: {said}\n")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
