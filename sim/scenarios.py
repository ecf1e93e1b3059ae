"""Worlds by seed: a committee, its liars, a schedule of faults, then calm and judgement."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.safety import SafetyRules
from ambientd.rules.verdicts import liars_max, quorum
from sim.checkers import (
    Agreement,
    Certificates,
    CommitProofs,
    HonestAreInnocent,
    JustifiedVotes,
    OneProposal,
    VoteDiscipline,
    check_nothing_lost,
    check_progress,
)
from sim.liars import Liar, Lie
from sim.network import Weather
from sim.replica import RECORD_PREFIX, Replica
from sim.world import World

CALM_MS_MIN = 25_000
RECOVERY_MS_MAX = 10_000


class Fault(Enum):
    """What may go wrong in a world."""

    DELAY = "delay"
    LOSS = "loss"
    DUPLICATION = "duplication"
    PARTITION = "partition"
    CRASH = "crash"
    SKEW = "skew"
    SILENCE = "silence"
    LIAR = "liar"


ALL_FAULTS = frozenset(Fault)


@dataclass(frozen=True, slots=True)
class ScenarioOptions:
    """One world; everything else follows from the seed."""

    seed: int
    nodes: int = 4
    observers: int = 1
    faults: frozenset[Fault] = ALL_FAULTS
    time_ms: int = 60_000
    record_every_ms: int = 150
    rules: Callable[[], SafetyRules] = SafetyRules
    checks_liveness: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a world."""

    seed: int
    nodes: int
    committed: int
    records: int
    terms: int
    messages: int
    convicted: int
    trace_hash: str


@dataclass(slots=True)
class _Cast:
    """Who plays in a world."""

    replicas: list[Replica] = field(default_factory=list)
    honest: list[Replica] = field(default_factory=list)
    silent: list[Replica] = field(default_factory=list)


def _signers(prefix: bytes, count: int, cluster: bytes) -> list[Signer]:
    signers = [Signer(tagged("sim/key/1", prefix, bytes([n])), cluster) for n in range(count)]
    return sorted(signers, key=lambda signer: signer.public_key)


def _cast(options: ScenarioOptions, dice: random.Random) -> _Cast:
    cluster = tagged("sim/cluster/1")
    signers = _signers(b"member", options.nodes, cluster)
    secrets = [tagged("sim/beacon/1", signer.public_key) for signer in signers]
    members = tuple(signer.public_key for signer in signers)
    tips = tuple(beacon.tip(secret) for secret in secrets)
    seed = tagged("sim/epoch/1", options.seed.to_bytes(8, "big"))
    spare = options.nodes - quorum(options.nodes)
    liars = liars_max(options.nodes) if Fault.LIAR in options.faults else 0
    silent = dice.randrange(spare - liars + 1) if Fault.SILENCE in options.faults else 0
    unlucky = dice.sample(range(options.nodes), liars + silent)
    cast = _Cast()

    def core_options(signer: Signer, secret: bytes) -> ConsensusOptions:
        return ConsensusOptions(cluster, 0, members, seed, signer.public_key, tips, secret)

    for number, signer in enumerate(signers):
        core = core_options(signer, secrets[number])
        draw = dice.randrange(2**32)
        replica: Replica
        if number in unlucky[:liars]:
            lies = frozenset(lie for lie in Lie if dice.randrange(3))
            replica = Liar(core, signer, draw, lies)
        else:
            replica = Replica(core, signer, draw, options.rules())
            (cast.silent if number in unlucky else cast.honest).append(replica)
        cast.replicas.append(replica)
    for signer in _signers(b"observer", options.observers, cluster):
        observer = Replica(core_options(signer, b""), signer, dice.randrange(2**32))
        cast.replicas.append(observer)
        cast.honest.append(observer)
    return cast


def schedule_faults(
    world: World,
    keys: list[bytes],
    crashing: list[bytes],
    faults: frozenset[Fault],
    dice: random.Random,
    heal_at: int,
) -> None:
    """Lay out bad weather, partitions and crashes up to `heal_at`, then heal it all."""
    time_ms = dice.randrange(1_000, 4_000)
    while time_ms < heal_at:
        weather = Weather()
        if Fault.DELAY in faults:
            weather.delay_ms_max = dice.choice([5, 20, 60, 200])
            weather.slow, weather.slow_ms_max = dice.choice([(0, 0), (50, 1000), (10, 5000)])
        if Fault.LOSS in faults:
            weather.loss = dice.choice([0, 0, 20, 150, 400])
        if Fault.DUPLICATION in faults:
            weather.duplication = dice.choice([0, 30, 200])
        world.at(time_ms, lambda weather=weather: setattr(world.network, "weather", weather))  # type: ignore[misc]
        if Fault.PARTITION in faults and dice.randrange(3) == 0:
            groups = {key: dice.randrange(dice.choice([2, 2, 3])) for key in keys}
            world.at(time_ms, lambda groups=groups: world.network.partition(groups))  # type: ignore[misc]
            world.at(time_ms + dice.randrange(500, 6_000), world.network.heal)
        if Fault.CRASH in faults:
            for key in crashing:
                if dice.randrange(4) == 0:
                    at = min(time_ms + dice.randrange(3_000), heal_at - 1)
                    doom = (key, dice.choice([0, 1, 2, 3, 5, 9]), dice.choice([60, 300, 2_000]))
                    world.at(at, lambda doom=doom: world.crash_within(*doom))  # type: ignore[misc]
        time_ms += dice.randrange(1_500, 5_000)

    def heal() -> None:
        world.network.heal()
        world.network.weather = Weather()
        for key in keys:
            world.places[key].crash_countdown = None
            world.start(key)

    world.at(heal_at, heal)


def build(options: ScenarioOptions) -> tuple[World, _Cast, int]:
    """Lay out a world; give it with its cast and the time at which all heals."""
    world = World(options.seed)
    dice = random.Random(options.seed * 7919 + options.nodes)
    cast = _cast(options, dice)
    for replica in cast.replicas:
        skew = dice.randint(-400, 400) if Fault.SKEW in options.faults else 0
        world.add(replica, skew)
        if replica not in cast.silent:
            world.at(dice.randrange(300), lambda key=replica.key: world.start(key))  # type: ignore[misc]
    heal_at = max(options.time_ms - CALM_MS_MIN, options.time_ms // 4)
    keys = [replica.key for replica in cast.replicas if replica not in cast.silent]
    crashing = [replica.key for replica in cast.honest]
    schedule_faults(world, keys, crashing, options.faults, dice, heal_at)
    times = range(500, options.time_ms - 15_000, options.record_every_ms)
    for serial, time_ms in enumerate(times):
        key = dice.choice(cast.honest).key
        record = RECORD_PREFIX + b"%d" % serial
        world.at(time_ms, lambda k=key, r=record: world.submit(k, r))  # type: ignore[misc,arg-type]
    return world, cast, heal_at


def run(options: ScenarioOptions) -> Outcome:
    """Run a world to its end; raise InvariantViolation when it breaks a promise."""
    world, cast, heal_at = build(options)
    core = cast.replicas[0].options
    agreement = Agreement()
    innocent = HonestAreInnocent(frozenset(replica.key for replica in cast.honest))
    world.observers += [
        VoteDiscipline(),
        OneProposal(),
        JustifiedVotes(core),
        agreement,
        CommitProofs(core),
        Certificates(core),
        innocent,
    ]
    world.run(heal_at)
    heads = {replica.key: len(replica.store.log) for replica in cast.honest}
    world.run(min(heal_at + RECOVERY_MS_MAX, options.time_ms))
    if options.checks_liveness:
        check_progress(cast.honest, heads)
    world.run(options.time_ms)
    for replica in cast.honest:
        agreement.check_roots(replica)
    if options.checks_liveness:
        check_nothing_lost(cast.honest)
    log = max((replica.store.log for replica in cast.honest), key=len)
    machines = [replica.machine for replica in cast.honest if replica.machine is not None]
    return Outcome(
        options.seed,
        options.nodes,
        len(log),
        sum(len(block.block.records) for block in log),
        max((machine.term for machine in machines), default=0),
        world.sent,
        len(innocent.convicted),
        world.trace_hash,
    )
