"""Worlds by seed: a committee, its liars, a schedule of faults, then calm and judgement."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.safety import SafetyRules
from ambientd.rules.verdicts import liars_max, quorum
from sim.accountability import Accountability
from sim.block_checkers import SoundBlocks, TermsEnd, TimePasses, check_named_roots
from sim.checkers import (
    Agreement,
    Certificates,
    Checker,
    CommitProofs,
    HonestAreInnocent,
    JustifiedVotes,
    OneProposal,
    Together,
    VoteDiscipline,
    check_nothing_lost,
    check_progress,
)
from sim.faults import ALL_FAULTS, Fault
from sim.forkers import Forker
from sim.happenings import Happening, lay
from sim.liars import Liar
from sim.lies import Lie, drawn_lies
from sim.replica import RECORD_PREFIX, Replica, is_valid
from sim.seasons import Storm, drawn, storms_of, work_times
from sim.stage import Observer
from sim.world import World

SILENT = ", silent"
"""Ends the names of those that never start."""


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
    tenure_ms: int = 600_000
    checks_liveness: bool = True
    happenings: tuple[Happening, ...] | None = None  # None: drawn from the seed
    lies: frozenset[Lie] | None = None  # None: drawn from the seed
    liars_above: int = 0  # more than f, so that members may disagree


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
    epochs: int = 0
    met: tuple[str, ...] = ()  # faults and lies, where a world tells


@dataclass(slots=True)
class _Cast:
    """Who plays in a world."""

    replicas: list[Replica] = field(default_factory=list)
    honest: list[Replica] = field(default_factory=list)
    silent: list[Replica] = field(default_factory=list)
    forgetful: list[Replica] = field(default_factory=list)


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
    if Fault.AMNESIA in options.faults and options.seed % 4 == 0:
        liars = max(0, liars - 1)  # in some worlds a member forgets instead of lying
    liars += options.liars_above
    silent = dice.randrange(spare - liars + 1) if Fault.SILENCE in options.faults else 0
    unlucky = dice.sample(range(options.nodes), liars + silent)
    cast = _Cast()
    games = random.Random(options.seed * 24_593 + options.nodes)
    stalls = random.Random(options.seed * 49_157 + options.nodes)

    def core_options(signer: Signer, secret: bytes) -> ConsensusOptions:
        own = ConsensusOptions(cluster, 0, members, seed, signer.public_key, tips, secret)
        return replace(own, tenure_ms=options.tenure_ms)

    all_liars = [signers[number] for number in unlucky[:liars]]
    for number, signer in enumerate(signers):
        core = core_options(signer, secrets[number])
        own_seed = dice.randrange(2**32)
        replica: Replica
        if number in unlucky[:liars] and options.liars_above:
            replica = Forker(core, signer, own_seed, all_liars)
        elif number in unlucky[:liars]:
            lies = drawn_lies(dice, games, stalls)
            replica = Liar(core, signer, own_seed, lies if options.lies is None else options.lies)
        else:
            replica = Replica(core, signer, own_seed, options.rules())
            (cast.silent if number in unlucky else cast.honest).append(replica)
        cast.replicas.append(replica)
    if Fault.AMNESIA in options.faults:
        cast.forgetful = cast.honest[: dice.randrange(spare - liars - silent + 1)]
    for signer in _signers(b"observer", options.observers, cluster):
        observer = Replica(core_options(signer, b""), signer, dice.randrange(2**32))
        cast.replicas.append(observer)
        cast.honest.append(observer)
    return cast


def build(
    options: ScenarioOptions,
) -> tuple[World, _Cast, tuple[Storm, ...], tuple[Happening, ...]]:
    """Lay out a world; give it with its cast, its storms, and what befalls it."""
    world = World(options.seed)
    dice = random.Random(options.seed * 7919 + options.nodes)
    cast = _cast(options, dice)
    for replica in cast.replicas:
        skew = dice.randint(-400, 400) if Fault.SKEW in options.faults else 0
        world.add(replica, skew)
        if replica not in cast.silent:
            world.at(dice.randrange(300), lambda key=replica.key: world.start(key))  # type: ignore[misc]
    storms = storms_of(options.time_ms, options.nodes, dice)
    happenings = _happenings(options, cast, dice, storms)
    keys = [replica.key for replica in cast.replicas if replica not in cast.silent]
    lay(world, keys, happenings, *(storm.heals_ms for storm in storms))
    end_ms = options.time_ms - 15_000
    times = work_times(storms, 500, end_ms, options.record_every_ms, dice)
    for serial, time_ms in enumerate(times):
        replica = dice.choice(cast.honest)
        record = RECORD_PREFIX + b"%d" % serial
        world.at(time_ms, partial(submit, world, replica, record))
    return world, cast, storms, happenings


def _happenings(
    options: ScenarioOptions, cast: _Cast, dice: random.Random, storms: tuple[Storm, ...]
) -> tuple[Happening, ...]:
    """Give what befalls the nodes that run; drawn in any case, so that all else stays equal."""
    running = [replica for replica in cast.replicas if replica not in cast.silent]
    honest = [running.index(replica) for replica in cast.honest]
    forgetful = [running.index(replica) for replica in cast.forgetful]
    found = drawn(storms, len(running), honest, forgetful, options.faults, (dice, dice))
    return found if options.happenings is None else options.happenings


def happenings_of(options: ScenarioOptions) -> tuple[Happening, ...]:
    """Give what befalls the nodes of a world, without running it."""
    return build(options)[3]


def names_of(options: ScenarioOptions) -> tuple[str, ...]:
    """Name the nodes of a world as its happenings number them; last those that never start."""
    cast = build(options)[1]
    running, silent = [], []
    for number, replica in enumerate(cast.replicas):
        if replica in cast.silent:
            silent.append(f"member {number}{SILENT}")
        elif number < options.nodes:
            running.append(f"member {number}")
        else:
            running.append(f"observer {number - options.nodes}")
    return (*running, *silent)


def _run_forked(options: ScenarioOptions, watching: Sequence[Observer]) -> Outcome:
    """Run a world whose liars may break agreement; all that it promises is who they are."""
    world, cast, _, _ = build(options)
    named = Accountability(cast.replicas[0].options, frozenset(each.key for each in cast.honest))
    innocent = HonestAreInnocent(frozenset(replica.key for replica in cast.honest))
    world.observers += [Together([VoteDiscipline(), OneProposal(), named, innocent]), *watching]
    world.run(options.time_ms)
    named.check()
    met = ("fork",) if named.has_forked else ()
    return outcome_of(options, world, cast.honest, innocent, met=met)


def run(options: ScenarioOptions, watching: Sequence[Observer] = ()) -> Outcome:
    """Run a world to its end; raise InvariantViolation when it breaks a promise."""
    if options.liars_above:
        return _run_forked(options, watching)
    world, cast, storms, _ = build(options)
    core = cast.replicas[0].options
    agreement = Agreement()
    innocent = HonestAreInnocent(frozenset(replica.key for replica in cast.honest))
    checkers: list[Checker] = [
        VoteDiscipline(),
        OneProposal(),
        JustifiedVotes(core),
        agreement,
        CommitProofs(core),
        Certificates(core),
        SoundBlocks(core, is_valid),
        TimePasses(),
        TermsEnd(options.tenure_ms),
        innocent,
    ]
    world.observers += [Together(checkers), *watching]
    for storm in storms:
        world.run(storm.heals_ms)
        heads = {replica.key: len(replica.store.log) for replica in cast.honest}
        world.run(min(storm.recovers_ms, options.time_ms))
        if options.checks_liveness:
            check_progress(cast.honest, heads)
    world.run(options.time_ms)
    for replica in cast.honest:
        agreement.check_roots(replica)
    check_named_roots(cast.honest)
    if options.checks_liveness:
        check_nothing_lost(cast.honest)
    return outcome_of(options, world, cast.honest, innocent)


def outcome_of(
    options: ScenarioOptions,
    world: World,
    honest: Sequence[Replica],
    innocent: HonestAreInnocent,
    *,
    epochs: int = 0,
    met: tuple[str, ...] = (),
) -> Outcome:
    """Give what became of a world, as its honest nodes have it."""
    log = max((replica.store.log for replica in honest), key=len)
    machines = [replica.machine for replica in honest if replica.machine is not None]
    return Outcome(
        options.seed,
        options.nodes,
        len(log),
        sum(len(block.block.records) for block in log),
        max((machine.term for machine in machines), default=0),
        world.sent,
        len(innocent.convicted),
        world.trace_hash,
        epochs,
        met,
    )


def submit(world: World, replica: Replica, record: bytes) -> None:
    """Let a replica want a record in the log, if it is up."""
    world.act(replica.key, partial(replica.submit, record))
