"""Seeded worlds for anchoring: members' wallets, one log, one chain that does its worst.

Roots are wanted, fees rise, coins are stolen, the chain is reorganised and forgets, members crash
between any two effects and hear of each other's anchors or not. Seats are taken away and given,
members are lost for good, and a liar brings anchors of its own making into the log. In some worlds
a member has no chain for long, or never, and the others take their turns. Then calm comes, and the
checkers ask: is every wanted root in the best chain, or one that holds it; are the log's anchors;
did no wallet bring a root into it twice; and did none pay for what the log had an anchor of? In
gentle worlds, whose fees and coins stay as they are, each of these roots must be there exactly
once, unless two members began with it before the log had its anchor, or one began anew. In deep
worlds reorganisations undo what made a member begin anew; there a root may come twice, but none
may be lost. `python -m sim.anchors FIRST LAST` runs it.
"""

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin, Place, Stage
from ambientd.roles.anchoring.events import AnchorLogged, TheirsHeard, Ticked
from ambientd.roles.anchoring.logged import FOLLOWING_MAX
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.anchor_costs import DAY_MS
from ambientd.rules.bitcoin import decode_transaction
from sim.anchor_chain import AnchorChain
from sim.anchor_members import AnchorLog, BrokenError, Member
from sim.arguments import Parser, at_least

STEP_MS = 300_000
STEPS = 120
CALM_STEPS = 150
DEPTH_SAFE = 5
TURN_STEPS = 24
OPTIONS = AnchoringOptions(
    fee_sat_max=6_000,
    fee_sat_a_day_max=20_000,
    look_ms=STEP_MS,
    retry_ms=STEP_MS,
    watch_ms=STEP_MS,
    deep_blocks=60,
)
DEPTH_DEEP = 40
BOTTOMLESS = replace(OPTIONS, deep_blocks=10_000)


@dataclass
class Report:
    """What a world saw."""

    blocks: int
    roots: int
    reorganisations: int
    thefts: int
    crashes: int
    versions: int
    seats: int
    gone: int
    lost: int
    replaced: int
    lies: int
    gentle: int
    apart: int
    anew: int


class AnchorWorld:
    """One seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 10 * DAY_MS
        self.chain = AnchorChain(self.rng)
        self.is_calm = False
        self.is_gentle = self.rng.random() < 0.25
        self.has_thief = not self.is_gentle and self.rng.random() < 0.3
        self.has_liar = self.rng.random() < 0.1
        self.is_deep = self.rng.random() < 0.25
        # In a bottomless world nearly all blocks may be undone, and all are watched for ever.
        self.is_bottomless = self.is_deep and self.rng.random() < 0.4
        self.options = BOTTOMLESS if self.is_bottomless else OPTIONS
        self.counts: dict[str, int] = {}
        # How many members began with a batch before the log had an anchor of it.
        self.begun: dict[int, int] = {}
        # Roots with which a member began anew, as a coin of its anchor was gone.
        self.anew: set[Digest] = set()
        self.log = AnchorLog()
        self.wanted: dict[int, tuple[int, Digest]] = {}
        self.seats: list[Member] = []
        count = self.rng.choice((2, 2, 3, 4, 5))
        self.members = [Member(1 + name, self) for name in range(count)]
        self.seats = self.members[: max(2, count - self.rng.randrange(3))]
        # A member whose chain has been off from the first day, or goes away for a while.
        self.is_cut_off = self.rng.random() < 0.2
        self.outage = range(0)
        if self.is_cut_off:
            self.members[0].has_chain = False
        elif self.rng.random() < 0.3:
            begin = self.rng.randrange(STEPS)
            self.outage = range(begin, begin + self.rng.randrange(STEPS))
        for member in self.members:
            value_sat = 50_000 if self.is_gentle else self.rng.randrange(500, 30_000)
            self.chain.fund(member.purse.script, value_sat)
        for _ in range(self.rng.randrange(10)):
            self.chain.mine()

    def strikes(self, fault: str, probability: float) -> bool:
        """Let a fault come now, or not."""
        came = not self.is_calm and self.rng.random() < probability
        if came:
            self.count(fault)
        return came

    def count(self, what: str) -> None:
        """Count something that a report tells."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def tell(self, sender: Member, event: TheirsHeard) -> None:
        """Let the other members hear, mostly."""
        for member in self.members:
            is_deaf = member is sender or member.is_gone
            if not is_deaf and (self.is_gentle or not self.strikes("unheard", 0.2)):
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
                together = not self.is_gentle and self.strikes("two at once", 0.2)
                chosen = list(self.seats) if together else [self._any()]
                self.wanted[size] = (step, root)
                for member in chosen:
                    member.want(size, root)
            self._take_turns(step)
            self._trouble()
            self._live()
        self._calm()
        self._check()
        return Report(
            blocks=self.chain.height + 1,
            roots=size,
            reorganisations=self.counts.get("reorganisation", 0),
            thefts=self.counts.get("theft", 0),
            crashes=self.counts.get("crash", 0),
            versions=len([tx for tx in self.chain.seen.values() if tx.roots]),
            seats=self.counts.get("seats", 0),
            gone=self.counts.get("gone", 0),
            lost=self.counts.get("lost", 0),
            replaced=self.log.replaced,
            lies=self.counts.get("lie", 0),
            gentle=self.is_gentle,
            apart=sum(members > 1 for members in self.begun.values()),
            anew=len(self.anew),
        )

    def _live(self) -> None:
        """Let each member that is there do what is due."""
        for member in self.members:
            if not member.is_gone:
                member.follow()
                member.handle(Ticked())
                member.insist()

    def _any(self) -> Member:
        return self.rng.choice(self.seats)

    def _take_turns(self, step: int) -> None:
        """Let the committee want what the log lacks after a while, one member after the other."""
        for size, (since, root) in self.wanted.items():
            waited = step - since
            if size <= self.log.settled or waited % TURN_STEPS:
                continue
            member = self.seats[(waited // TURN_STEPS - 1) % len(self.seats)]
            if waited and root not in member.wanted:
                member.want(size, root)

    def _change_committee(self) -> None:
        """Take a seat away, give one, or lose a member for good; one with a chain keeps a seat."""
        rng = self.rng
        free = [each for each in self.members if not each.has_seat and not each.is_gone]
        if free and rng.random() < 0.5:
            self.seats.insert(rng.randrange(len(self.seats) + 1), rng.choice(free))
            self.count("seats")
            return
        leaves = self._any()
        stay = [each for each in self.seats if each is not leaves]
        if any(each is not self.members[0] for each in stay):
            self.seats = stay
            self.count("seats")
            if rng.random() < 0.3:
                leaves.is_gone = True
                self.count("gone")

    def _lie(self) -> None:
        """Bring an anchor into the log that was never mined: any member can where work is cheap."""
        size, (_, root) = self.rng.choice(list(self.wanted.items()))
        coin = Coin(txid=self.rng.randbytes(32), index=0, value_sat=1_000)
        raw = self._any().purse.sign([coin], root, 0)
        place = Place(
            txid=decode_transaction(raw).txid,
            height=self.rng.randrange(2 * self.chain.height + 2),
            block_hash=self.rng.randbytes(32),
        )
        following = self.rng.choice((5, 6, 20, 60, 2_016))
        self.log.put(AnchorLogged(size, root, raw, place, following), self.chain)

    def _trouble(self) -> None:
        chain, rng = self.chain, self.rng
        if not self.is_gentle and rng.random() < 0.1:
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
            most = DEPTH_SAFE if is_safe and not self.is_deep else DEPTH_DEEP
            most = chain.height if self.is_bottomless else most
            chain.reorganise(rng.randrange(1, min(most, chain.height) + 1))
        if rng.random() < 0.5:
            chain.mine()
        if self.strikes("crash", 0.01):
            self._any().crash()
        if len(self.members) > 2 and rng.random() < 0.03:
            self._change_committee()
        if self.has_liar and self.wanted and self.strikes("lie", 0.02):
            self._lie()

    def _calm(self) -> None:
        """Nothing fails any more, and coins come; blocks want more than the fallback rate."""
        self.is_calm = True
        self.members[0].has_chain = not self.is_cut_off
        self.chain.rate_msat_vb = 1_000 if self.is_gentle else 3_000
        for step in range(CALM_STEPS):
            self.now += STEP_MS * 2
            self._take_turns(STEPS + step)
            if step % 40 == 0:
                for member in self.members:
                    self.chain.fund(member.purse.script, 50_000)
            self.chain.mine()
            self._live()

    def _check(self) -> None:
        anchored: dict[Digest, list[bytes]] = {}
        for block in self.chain.blocks:
            for tx in block.txs:
                for root in tx.roots:
                    anchored.setdefault(Digest(root), []).append(tx.pays[1][1])
        # A lie about a batch whose anchor is watched no more makes somebody pay for it again.
        is_lied_to = "lie" in self.counts
        apart = self.anew | {
            self.wanted[size][1] for size, members in self.begun.items() if members > 1
        }
        for root, owners in anchored.items():
            if len(set(owners)) != len(owners) and not self.is_deep and not is_lied_to:
                raise BrokenError(
                    f"root {root.hex()[:8]} is twice in the chain, paid by one wallet"
                )
            is_one = self.is_gentle and not is_lied_to and root not in apart
            if is_one and len(owners) > 1:
                raise BrokenError(f"root {root.hex()[:8]} is {len(owners)} times in the chain")
        sizes = {root: size for size, (_, root) in self.wanted.items()}
        largest = max((sizes[root] for root in anchored), default=0)
        if max(sizes.values(), default=0) > largest:
            raise BrokenError(f"the batches above size {largest} are lost")
        for size, anchor in self.log.anchors.items():
            is_there = self.chain.holds(anchor.place.block_hash)
            if not is_there and anchor.following < FOLLOWING_MAX:
                raise BrokenError(f"the log's anchor of size {size} is in no block of the chain")
            if anchor.root not in anchored and anchor.following < FOLLOWING_MAX:
                raise BrokenError(f"the root of size {size} has left the chain for good")
        for member in self.seats:
            if member.has_chain:
                self._check_book(member)

    def _check_book(self, member: Member) -> None:
        for progress in member.core.progress():
            entry = progress.entry
            if entry.stage is not Stage.PROVEN or entry.place is None:
                raise BrokenError(
                    f"root of size {entry.size} is {entry.stage.name}: {progress.note}"
                )
            if self.chain.blocks[entry.place.height].hash != entry.place.block_hash:
                raise BrokenError(f"root of size {entry.size} is proven in no block of the chain")


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
