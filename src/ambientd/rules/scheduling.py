"""Who gets a slot: pure functions of what the ledger knows and a seed nobody could choose."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from types import MappingProxyType

from ambientd.codec.digest import tagged
from ambientd.model.base import NodeId

BOND_CAP_MSAT = 1_000_000_000
NEWCOMER_PERCENT = 10
SLOTS_PER_CAPACITY = 8
OTHERS_SHARE = 3  # one part in so many of the weight must be of those who differ


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


def _weight(candidate: Candidate) -> int:
    """Give min(bond, cap) x R, spread over the load that is already there; never nothing."""
    bond = 1 + min(candidate.bond_msat, BOND_CAP_MSAT) // 1_000_000
    weight = bond * (1 + candidate.reputation_permille) * 1000 // (1 + candidate.open_slots)
    return max(1, weight)


def _weighted(candidates: Sequence[Candidate], seed: bytes) -> Candidate:
    """Draw by weight; one slot in ten goes to a newcomer, if there is one."""
    newcomers = [c for c in candidates if c.newcomer]
    if newcomers and _ticket(seed, NodeId(b"newcomer")) % 100 < NEWCOMER_PERCENT:
        candidates = newcomers
    weights = [_weight(candidate) for candidate in candidates]
    drawn = int.from_bytes(seed[:16], "big") % sum(weights)
    for candidate, weight in zip(candidates, weights, strict=True):
        drawn -= weight
        if drawn < 0:
            return candidate
    return candidates[-1]


def _least(by: Callable[[Candidate], tuple[int, ...]]) -> "Strategy":
    """Give the strategy that takes the smallest, ties broken by the seed."""

    def choose(candidates: Sequence[Candidate], seed: bytes) -> Candidate:
        return min(candidates, key=lambda c: (*by(c), _ticket(seed, c.node)))

    return choose


Strategy = Callable[[Sequence[Candidate], bytes], Candidate]

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "weighted": _weighted,
        "round-robin": _least(lambda c: (c.open_slots,)),
        "least-loaded": _least(lambda c: (c.open_slots, c.load_percent)),
        "latency-aware": _least(lambda c: (c.latency_ms, c.open_slots)),
        "carbon-aware": _least(lambda c: (c.carbon_g_per_kwh, c.open_slots)),
    }
)


def select(
    candidates: Sequence[Candidate],
    seed: bytes,
    strategy: str,
    holders: Sequence[Candidate] = (),
) -> NodeId | None:
    """Choose one of the candidates with room, or None; best who differs from other replicas'."""
    free = sorted((c for c in candidates if c.has_room), key=lambda c: c.node)
    if not free:
        return None
    return STRATEGIES[strategy](_different(free, holders), seed).node


def _different(free: Sequence[Candidate], holders: Sequence[Candidate]) -> Sequence[Candidate]:
    """Narrow to those that no holder is like, trait by trait, unless they are few.

    Nobody proves an engine or an owner: a few that claim a rare one would work on nearly all tasks.
    """
    least = sum(map(_weight, free))
    for trait in range(len(free[0].traits)):
        used = {holder.traits[trait] for holder in holders} - {""}
        others = [c for c in free if c.traits[trait] not in used | {""}]
        if used and OTHERS_SHARE * sum(map(_weight, others)) >= least:
            free = others
    return free
