"""Who gets a slot: pure functions of what the ledger knows and a seed nobody could choose."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from types import MappingProxyType

from ambientd.codec.digest import tagged
from ambientd.model.base import NodeId

BOND_CAP_MSAT = 1_000_000_000
WEIGHT_MSAT = 1_000_000

INVITED_WEIGHT = 50
"""What a member's invitation weighs, as much as a founder's usual bond of 50,000 sat.

Else all that is checked would wait for the few who have a bond, however many others are idle.
"""

NEWCOMER_PERCENT = 10
SLOTS_PER_CAPACITY = 8
OTHERS_SHARE = 3
"""One part in so many of the weight must be of those who differ."""

ROOM_SHARE = 2
"""One part in so many of the weight must have room, and be drawn from, where answers are checked.

Anybody can fill queues with tasks of its own: this makes nobody's chance more than twice its part.
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that may take a slot, with what strategies look at."""

    node: NodeId
    bond_msat: int
    reputation_permille: int
    newcomer: bool
    load_percent: int
    latency_ms: int
    carbon_g_per_kwh: int
    open_slots: int
    capacity: int
    traits: tuple[str, ...] = ()
    """What replicas should differ in, an engine or a region, say; empty where it is not known."""
    module: bytes = b""
    """What it would execute."""

    @property
    def has_room(self) -> bool:
        """Tell whether the node's queue is not full."""
        return has_room(self.open_slots, self.capacity)


def has_room(open_slots: int, capacity: int) -> bool:
    """Tell whether a queue of so many slots is not full."""
    return open_slots < max(1, capacity) * SLOTS_PER_CAPACITY


def slot_seed(beacon: bytes, task: bytes, slot: int, attempt: int) -> bytes:
    """Give the seed of one assignment; the proposer committed to its part long before."""
    return tagged("ambient/assign/1", beacon, task, bytes([slot]), attempt.to_bytes(4, "big"))


def sample(nodes: Sequence[NodeId], seed: bytes, count: int) -> list[NodeId]:
    """Pick different nodes by a seed, in steps that visit each node once before any twice."""
    size = len(nodes)
    start = int.from_bytes(seed[:8], "big") % size
    step = 1 + int.from_bytes(seed[8:16], "big") % size
    while gcd(step, size) != 1:
        step += 1
    return [nodes[(start + step * place) % size] for place in range(min(count, size))]


def _ticket(seed: bytes, node: NodeId) -> int:
    return int.from_bytes(tagged("ambient/ticket/1", seed, node)[:8], "big")


def backing(bond_msat: int) -> int:
    """Give invitation + min(bond, cap): what stands behind a node, whatever it has done."""
    return INVITED_WEIGHT + min(bond_msat, BOND_CAP_MSAT) // WEIGHT_MSAT


def weight(candidate: Candidate) -> int:
    """Give (invitation + min(bond, cap)) x R, whatever the load: that anybody could bring about."""
    return backing(candidate.bond_msat) * (1 + candidate.reputation_permille)


def _total(candidates: Iterable[Candidate]) -> int:
    return sum(map(weight, candidates))


def whose_turn(
    among: Sequence[Candidate], everybody: Sequence[Candidate], seed: bytes
) -> tuple[Sequence[Candidate], int]:
    """Keep one slot in ten for newcomers, if enough of them are there; give whose weight counts."""
    newcomers = [c for c in among if c.newcomer]
    all_newcomers = _total(c for c in everybody if c.newcomer)
    is_theirs = newcomers and _ticket(seed, NodeId(b"newcomer")) % 100 < NEWCOMER_PERCENT
    if is_theirs and OTHERS_SHARE * _total(newcomers) >= all_newcomers:
        return newcomers, all_newcomers
    return among, _total(everybody)


def _busy(candidate: Candidate) -> int:
    return candidate.open_slots * 1000 // max(1, candidate.capacity)


def _least_busy(candidates: Sequence[Candidate], least: int) -> Sequence[Candidate]:
    """Keep the least busy, as few levels of load as hold so much of the weight, but one."""
    levels = sorted({_busy(c) for c in candidates})
    for level in levels:
        kept = [c for c in candidates if _busy(c) <= level]
        if _total(kept) >= least:
            return kept
    return candidates


def _weighted(candidates: Sequence[Candidate], seed: bytes) -> Candidate:
    """Draw by weight."""
    weights = [weight(candidate) for candidate in candidates]
    drawn = int.from_bytes(seed[:16], "big") % sum(weights)
    for candidate, own in zip(candidates, weights, strict=True):
        drawn -= own
        if drawn < 0:
            return candidate
    return candidates[-1]


def _nearness(candidate: Candidate) -> tuple[int, int]:
    """Rank the nodes of a module: the same for each of its tasks.

    So a module has its own first, second and third node as long as they have nothing else to do.
    What a node says of its capacity moves it no further than its queue is long; which node is
    first, whoever makes a key for one module chooses. So nothing that comes of it earns trust.
    """
    fullness = candidate.open_slots // max(1, candidate.capacity)
    return fullness, _ticket(tagged("ambient/near/1", candidate.module), candidate.node)


def _least(by: Callable[[Candidate], tuple[int, ...]]) -> "Strategy":
    """Give the strategy that takes the smallest, ties broken by the seed."""

    def choose(candidates: Sequence[Candidate], seed: bytes) -> Candidate:
        return min(candidates, key=lambda c: (*by(c), _ticket(seed, c.node)))

    return choose


Strategy = Callable[[Sequence[Candidate], bytes], Candidate]

WEIGHTED = "weighted"
STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        WEIGHTED: _weighted,
        "round-robin": _least(lambda c: (c.open_slots,)),
        "least-loaded": _least(lambda c: (c.open_slots, c.load_percent)),
        "latency-aware": _least(lambda c: (c.latency_ms, c.open_slots)),
        "carbon-aware": _least(lambda c: (c.carbon_g_per_kwh, c.open_slots)),
        "locality-aware": _least(_nearness),
    }
)


def select(
    candidates: Sequence[Candidate],
    seed: bytes,
    strategy: str,
    holders: Sequence[Candidate] = (),
    *,
    is_checked: bool = True,
) -> NodeId | None:
    """Choose one of the candidates with room, or None; best who differs from other replicas'."""
    among = contenders(candidates, seed, strategy, holders, is_checked=is_checked)
    return STRATEGIES[strategy](among, seed).node if among else None


def contenders(
    candidates: Sequence[Candidate],
    seed: bytes,
    strategy: str,
    holders: Sequence[Candidate] = (),
    *,
    is_checked: bool = True,
) -> Sequence[Candidate]:
    """Give those among whom the strategy decides: with room, unlike the holders, whose turn it is.

    Whoever is like a holder comes no further even if it is a newcomer and the turn is theirs. Of
    an answer that is checked chance decides: the least busy are preferred no further than that.
    """
    everybody = sorted(candidates, key=lambda c: c.node)
    if not may_be_given(everybody, strategy, is_checked=is_checked):
        return []
    unlike = different([c for c in everybody if c.has_room], holders, everybody)
    if strategy != WEIGHTED:
        return unlike
    among, whole = whose_turn(unlike, everybody, seed)
    return _least_busy(among, -(-whole // ROOM_SHARE) if is_checked else 0)


def may_be_given(candidates: Sequence[Candidate], strategy: str, *, is_checked: bool) -> bool:
    """Tell whether enough of those whom a slot is for have room; else it waits."""
    free = [c for c in candidates if c.has_room]
    if strategy != WEIGHTED or not is_checked:
        return bool(free)
    return bool(free) and ROOM_SHARE * _total(free) >= _total(candidates)


def chance_percent(among: Sequence[Candidate], node: NodeId) -> int:
    """Give a contender's part of the weight by which the weighted strategy draws."""
    return 100 * _total(c for c in among if c.node == node) // _total(among)


def different(
    free: Sequence[Candidate], holders: Sequence[Candidate], everybody: Sequence[Candidate]
) -> Sequence[Candidate]:
    """Narrow to those that no holder is like, trait by trait, unless they are few.

    Nobody proves an engine or an owner: a few that claim a rare one would work on nearly all tasks.
    """
    whole = _total(everybody)
    for trait in range(len(free[0].traits) if free else 0):
        used = {holder.traits[trait] for holder in holders} - {""}
        others = [c for c in free if c.traits[trait] not in used | {""}]
        if used and OTHERS_SHARE * _total(others) >= whole:
            free = others
    return free
