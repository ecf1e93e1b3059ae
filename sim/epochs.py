"""Worlds in which the committee changes: the log alone, its liars, crashes at the border."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.effects import Committed
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.safety import SafetyRules
from ambientd.rules.verdicts import liars_max
from sim.checkers import (
    Agreement,
    Checker,
    HonestAreInnocent,
    InvariantViolation,
    check_nothing_lost,
    check_progress,
)
from sim.epoch_checkers import EndsAreFinal, WithinEpochs, check_chains
from sim.epoch_liars import EpochLiar
from sim.lies import FIRST_LIES
from sim.machine import Effect, Host
from sim.network import Weather
from sim.replica import RECORD_PREFIX, Replica, SeatsWanted, seats_record
from sim.scenarios import submit
from sim.world import World

CALM_MS = 22_000
RECOVERY_MS = 10_000
LAST_WISH_MS = 8_000


@dataclass(frozen=True, slots=True)
class EpochWorldOptions:
    """One world; everything else follows from the seed."""

    seed: int
    nodes: int = 4
    spares: int = 3
    time_ms: int = 45_000
    record_every_ms: int = 200
    wish_every_ms: int = 2_500
    has_faults: bool = True
    rules: Callable[[], SafetyRules] = SafetyRules


@dataclass(frozen=True, slots=True)
class EpochOutcome:
    """What became of a world."""

    seed: int
    committed: int
    epochs: int
    members: int
    terms: int
    convicted: int
    trace_hash: str


@dataclass(slots=True)
class EpochCast:
    """Who plays, who cannot be relied on for a vote, and who never gets a seat."""

    replicas: list[Replica] = field(default_factory=list)
    honest: list[Replica] = field(default_factory=list)
    liars: frozenset[bytes] = frozenset()
    onlookers: frozenset[bytes] = frozenset()


def secret_of(key: bytes) -> bytes:
    """Give where a node's chain of beacons begins."""
    return tagged("sim/beacon/1", key)


def _cast(options: EpochWorldOptions, dice: random.Random) -> EpochCast:
    cluster = tagged("sim/cluster/1")
    count = options.nodes + options.spares
    signers = [Signer(tagged("sim/key/1", b"node", bytes([n])), cluster) for n in range(count)]
    seats = sorted(signers[: options.nodes], key=lambda signer: signer.public_key)
    members = tuple(signer.public_key for signer in seats)
    tips = tuple(beacon.tip(secret_of(member)) for member in members)
    seed = tagged("sim/epoch/1", options.seed.to_bytes(8, "big"))
    liars = dice.sample(seats, liars_max(options.nodes) if options.has_faults else 0)
    cast = EpochCast(liars=frozenset(signer.public_key for signer in liars))
    for signer in signers:
        key = signer.public_key
        core = ConsensusOptions(cluster, 0, members, seed, key, tips, secret_of(key))
        draw = dice.randrange(2**32)
        if key in cast.liars:
            lies = frozenset(lie for lie in FIRST_LIES if dice.randrange(3))
            cast.replicas.append(EpochLiar(core, signer, draw, lies))
        else:
            cast.replicas.append(Replica(core, signer, draw, options.rules()))
            cast.honest.append(cast.replicas[-1])
    return cast


def wish(world: World, cast: EpochCast, smallest: int, dice: random.Random) -> None:
    """Let some honest node that is up want another committee; liars never gain by it."""
    up = [replica for replica in cast.honest if replica.machine is not None]
    if not up:
        return
    replica = dice.choice(up)
    present = replica.store.epoch
    assert present is not None
    settled = {*present.members, *cast.onlookers}
    outside = [other.key for other in cast.honest if other.key not in settled]
    lying = sum(member in cast.liars for member in present.members)
    size = len(present.members)
    kind = dice.randrange(5)
    may_shrink = size > smallest and liars_max(size - 1) >= lying
    leaving = dice.choice(present.members) if kind != 0 else b""
    joining = dice.choice(outside) if outside and (kind != 1 or not may_shrink) else b""
    if kind == 4 or (leaving and not joining and not may_shrink):
        leaving = joining = b""
    tip = beacon.tip(secret_of(joining)) if joining else b""
    record = seats_record(SeatsWanted(present.number, leaving, joining, tip, world.now))
    submit(world, replica, record)


def _trouble(world: World, cast: EpochCast, dice: random.Random, heal_at: int) -> None:
    """Lay out bad weather, partitions and crashes up to `heal_at`, then heal it all."""
    keys = [replica.key for replica in cast.replicas]
    time_ms = dice.randrange(500, 3_000)
    while time_ms < heal_at:
        slow, slow_ms_max = dice.choice([(0, 0), (50, 1_000), (10, 5_000)])
        weather = Weather(
            delay_ms_max=dice.choice([5, 20, 60, 200]),
            slow=slow,
            slow_ms_max=slow_ms_max,
            loss=dice.choice([0, 0, 0, 20, 150, 400]),
            duplication=dice.choice([0, 30, 200]),
        )
        world.at(time_ms, partial(setattr, world.network, "weather", weather))
        if dice.randrange(3) == 0:
            groups = {key: dice.randrange(dice.choice([2, 2, 3])) for key in keys}
            world.at(time_ms, partial(world.network.partition, groups))
            world.at(time_ms + dice.randrange(500, 5_000), world.network.heal)
        for replica in cast.honest:
            if dice.randrange(3) == 0:
                at = min(time_ms + dice.randrange(3_000), heal_at - 1)
                effects, back_ms = dice.choice([0, 1, 2, 3, 5, 9]), dice.choice([60, 300, 2_000])
                world.at(at, partial(world.crash_within, replica.key, effects, back_ms))
        time_ms += dice.randrange(1_500, 4_000)


class CrashesAtTheBorder(Checker):
    """Judges nothing: takes honest nodes down as an epoch ends for them."""

    def __init__(self, world: World, dice: random.Random, until_ms: int) -> None:
        self._world = world
        self._dice = dice
        self._until_ms = until_ms

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Sometimes let only a few more effects of the node be carried out."""
        ends = isinstance(effect, Committed) and effect.end is not None and node.is_honest
        if ends and now < self._until_ms and self._dice.randrange(2):
            back_ms = self._dice.choice([60, 900])
            self._world.crash_within(node.key, self._dice.randrange(5), back_ms)


def _build(options: EpochWorldOptions) -> tuple[World, EpochCast, random.Random, int]:
    world = World(options.seed)
    dice = random.Random(options.seed * 6007 + options.nodes)
    cast = _cast(options, dice)
    heal_at = options.time_ms - CALM_MS
    for number, replica in enumerate(cast.replicas):
        world.add(replica, dice.randint(-400, 400) if options.has_faults else 0)
        is_late = number >= options.nodes and dice.randrange(2) == 0
        at = dice.randrange(heal_at) if is_late else dice.randrange(300)
        world.at(at, partial(world.start, replica.key))
    if options.has_faults:
        _trouble(world, cast, dice, heal_at)
    for at in range(1_000, heal_at + LAST_WISH_MS, options.wish_every_ms):
        moment = at + dice.randrange(1_000)
        world.at(moment, partial(wish, world, cast, options.nodes, dice))
    for serial, at in enumerate(range(500, options.time_ms - 15_000, options.record_every_ms)):
        replica = dice.choice(cast.honest)
        world.at(at, partial(submit, world, replica, RECORD_PREFIX + b"%d" % serial))
    return world, cast, dice, heal_at


def _heal(world: World, cast: EpochCast) -> None:
    world.network.heal()
    world.network.weather = Weather()
    for replica in cast.replicas:
        world.spare(replica.key)
        world.start(replica.key)


def run(options: EpochWorldOptions) -> EpochOutcome:
    """Run a world to its end; raise InvariantViolation when it breaks a promise."""
    world, cast, dice, heal_at = _build(options)
    first = cast.replicas[0].options
    agreement, ends = Agreement(), EndsAreFinal(first)
    until_ms = heal_at if options.has_faults else 0
    innocent = HonestAreInnocent(frozenset(replica.key for replica in cast.honest))
    border = CrashesAtTheBorder(world, dice, until_ms)
    world.observers += [WithinEpochs(first), agreement, ends, innocent, border]
    world.run(heal_at)
    _heal(world, cast)
    before = ends.ended
    heads = {replica.key: len(replica.store.log) for replica in cast.honest}
    world.run(heal_at + RECOVERY_MS)
    check_progress(cast.honest, heads)
    world.run(options.time_ms)
    for replica in cast.honest:
        agreement.check_roots(replica)
    check_nothing_lost(cast.honest)
    check_chains(first, cast.honest)
    numbers = {replica.log.number for replica in cast.honest if replica.log is not None}
    if len(numbers) != 1:
        raise InvariantViolation("after healing, all reach the same epoch", f"{sorted(numbers)}")
    if ends.ended == before:
        raise InvariantViolation("after healing, epochs end", f"still {before} at the end")
    log = max((replica.store.log for replica in cast.honest), key=len)
    machines = [replica.machine for replica in cast.honest if replica.machine is not None]
    return EpochOutcome(
        options.seed,
        len(log),
        ends.ended,
        machines[0].committee.size,
        max(machine.term for machine in machines),
        len(innocent.convicted),
        world.trace_hash,
    )
