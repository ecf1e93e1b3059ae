"""f liars of 3f + 1 and every fault at once, across epochs: worlds that say what they met.

The log alone, on disks that fail. A world ends as soon as all that it promises after healing has
come true, so that many seeds can be run.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.options import ConsensusOptions
from ambientd.rules.verdicts import liars_max, quorum
from sim.block_checkers import SoundBlocks, TimePasses, check_named_roots
from sim.checkers import (
    Agreement,
    Checker,
    HonestAreInnocent,
    InvariantViolation,
    Together,
    check_nothing_lost,
    check_progress,
)
from sim.epoch_checkers import EndsAreFinal, WithinEpochs, check_chains
from sim.epoch_liars import EpochLiar
from sim.epochs import EpochCast, secret_of, wish
from sim.faults import Fault
from sim.happenings import Happening, draw_disks, lay
from sim.lies import Lie, drawn_lies
from sim.network import CALM, Network
from sim.replica import RECORD_PREFIX, Replica, is_valid
from sim.scenarios import SILENT, Outcome, ScenarioOptions, outcome_of, submit
from sim.seasons import Storm, drawn, storms_of
from sim.stage import Observer
from sim.strangers import Stranger
from sim.world import World

SPARES = 2
"""Who may get seats; one more looks on and never does, so that its votes are never needed."""
STRANGERS = 2
RECORD_EVERY_MS = 300
WISH_EVERY_MS = 2_000
LOOKS_EVERY_MS = 500
"""How often a healed world is asked whether all has come true."""

_NOTED = {"pause": Fault.PAUSE, "forget": Fault.AMNESIA}
_ENDS = {
    "the disk is full": Fault.DISK_FULL,
    "amid a write": Fault.TORN_LOG,
    "is not what was written": Fault.BIT_ROT,
}
"""What a node says as it ends, by what befell its disk."""


@dataclass(slots=True)
class _MetNetwork(Network):
    """Notes what befell messages, and nothing else."""

    met: set[Fault] = field(default_factory=set)

    def arrivals(self, sender: bytes, to: bytes) -> list[int]:
        """Give the delays of the copies that will arrive."""
        found = Network.arrivals(self, sender, to)
        if self.groups and self.groups.get(sender, 0) != self.groups.get(to, 0):
            self.met.add(Fault.PARTITION)
        elif (sender, to) in self.unheard:
            self.met.add(Fault.ONE_WAY)
        elif not found:
            self.met.add(Fault.LOSS)
        else:
            if len(found) > 1:
                self.met.add(Fault.DUPLICATION)
            if max(found) > CALM.delay_ms_max:
                self.met.add(Fault.DELAY)
        return found


class MetWorld(World):
    """A world that knows which faults have really happened in it."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.met: set[Fault] = set()
        self.network: Network = _MetNetwork(self.random, met=self.met)

    def crash(self, key: bytes) -> None:
        """Take a node down; a fault of its own where its effects were counted out."""
        countdown = self.places[key].crash_countdown
        if countdown is not None and countdown < 0:
            self.met.add(Fault.CRASH)
        super().crash(key)

    def note(self, *parts: object) -> None:
        """Put a happening into the trace."""
        super().note(*parts)
        if parts[0] in _NOTED:
            self.met.add(_NOTED[str(parts[0])])
        elif parts[0] == "ends":
            self.met |= {fault for text, fault in _ENDS.items() if text in str(parts[2])}


@dataclass(slots=True)
class _Cast(EpochCast):
    silent: list[Replica] = field(default_factory=list)
    unneeded: list[Replica] = field(default_factory=list)
    strangers: list[Stranger] = field(default_factory=list)

    @property
    def running(self) -> list[Replica]:
        """Give who starts, as happenings number them."""
        return [each for each in (*self.replicas, *self.strangers) if each not in self.silent]


def _signers(prefix: bytes, count: int, cluster: bytes) -> list[Signer]:
    return [Signer(tagged("sim/key/1", prefix, bytes([n])), cluster) for n in range(count)]


def _unlucky(options: ScenarioOptions, dice: random.Random) -> dict[int, Fault]:
    """Give who of the first members is unfit, and how: f of 3f + 1, most of them liars."""
    faults, spare = options.faults, options.nodes - quorum(options.nodes)
    others = sorted(faults & {Fault.SILENCE, Fault.AMNESIA, Fault.BIT_ROT}, key=list(Fault).index)
    liars = liars_max(options.nodes) if Fault.LIAR in faults else 0
    if others and liars and not dice.randrange(4):
        liars -= 1
    places = dice.sample(range(options.nodes), spare if others else liars)
    kinds = [Fault.LIAR] * liars + [dice.choice(others) for _ in places[liars:]]
    return dict(zip(places, kinds, strict=True))


def _cast(options: ScenarioOptions, dice: random.Random) -> _Cast:
    cluster = tagged("sim/cluster/1")
    signers = _signers(b"node", options.nodes + SPARES + 1, cluster)
    seats = sorted(signers[: options.nodes], key=lambda signer: signer.public_key)
    members = tuple(signer.public_key for signer in seats)
    tips = tuple(beacon.tip(secret_of(member)) for member in members)
    seed = tagged("sim/epoch/1", options.seed.to_bytes(8, "big"))
    games, stalls = random.Random(dice.random()), random.Random(dice.random())
    unlucky = _unlucky(options, dice)

    def core(signer: Signer) -> ConsensusOptions:
        key = signer.public_key
        return ConsensusOptions(
            cluster, 0, members, seed, key, tips, secret_of(key), tenure_ms=options.tenure_ms
        )

    cast = _Cast(onlookers=frozenset({signers[-1].public_key}))
    for number, signer in enumerate([*seats, *signers[options.nodes :]]):
        draw, fate = dice.randrange(2**32), unlucky.get(number)
        if fate is Fault.LIAR:
            lies = drawn_lies(dice, games, stalls) if options.lies is None else options.lies
            cast.replicas.append(EpochLiar(core(signer), signer, draw, lies))
        else:
            replica = Replica(core(signer), signer, draw, options.rules())
            cast.replicas.append(replica)
            (cast.silent if fate is Fault.SILENCE else cast.honest).append(replica)
            if fate in (Fault.AMNESIA, Fault.BIT_ROT) or number == len(signers) - 1:
                cast.unneeded.append(replica)
    cast.liars = frozenset(cast.replicas[number].key for number in unlucky)
    if Fault.SYBIL in options.faults:
        own = _signers(b"stranger", STRANGERS, cluster)
        sybils = tuple(sorted(signer.public_key for signer in own))
        drawn = [Stranger(core(each), each, dice.randrange(2**32), sybils) for each in own]
        cast.strangers += drawn
    return cast


def build(
    options: ScenarioOptions,
) -> tuple[MetWorld, _Cast, Storm, tuple[Happening, ...]]:
    """Lay out a world; give it with its cast, its storm, and what befalls it."""
    world = MetWorld(options.seed)
    dice = random.Random(options.seed * 9_209 + options.nodes)
    cast = _cast(options, dice)
    for replica in (*cast.replicas, *cast.strangers):
        skew = dice.randint(-400, 400) if Fault.SKEW in options.faults else 0
        world.met |= {Fault.SKEW} if skew else set()
        world.add(replica, skew)
        if replica not in cast.silent:
            world.at(dice.randrange(300), partial(world.start, replica.key))
    world.met |= {Fault.SILENCE} if cast.silent else set()
    (storm,) = storms_of(options.time_ms, options.nodes, dice)
    happenings = _happenings(options, cast, dice, storm)
    lay(world, [replica.key for replica in cast.running], happenings, storm.heals_ms)
    if Fault.SEATS in options.faults:
        for at_ms in range(1_000, storm.heals_ms + WISH_EVERY_MS, WISH_EVERY_MS):
            moment_ms = at_ms + dice.randrange(1_000)
            world.at(moment_ms, partial(wish, world, cast, options.nodes, dice))
    for serial, at_ms in enumerate(range(500, storm.heals_ms + 1_000, RECORD_EVERY_MS)):
        record = RECORD_PREFIX + b"%d" % serial
        world.at(at_ms, partial(submit, world, dice.choice(cast.honest), record))
    return world, cast, storm, happenings


def _happenings(
    options: ScenarioOptions, cast: _Cast, dice: random.Random, storm: Storm
) -> tuple[Happening, ...]:
    """Give what befalls the nodes that run; drawn in any case, so that all else stays equal."""
    running, faults = cast.running, options.faults
    honest = [running.index(replica) for replica in cast.honest]
    unneeded = [running.index(replica) for replica in cast.unneeded]
    found = drawn((storm,), len(running), honest, [], faults, (dice, dice))
    found += draw_disks(honest, unneeded, faults, dice, storm.heals_ms)
    return found if options.happenings is None else options.happenings


def happenings_of(options: ScenarioOptions) -> tuple[Happening, ...]:
    """Give what befalls the nodes of a world, without running it."""
    return build(options)[3]


def names_of(options: ScenarioOptions) -> tuple[str, ...]:
    """Name the nodes of a world as its happenings number them; last those that never start."""
    cast = build(options)[1]
    names = {replica.key: f"member {number}" for number, replica in enumerate(cast.replicas)}
    for number, replica in enumerate(cast.replicas[options.nodes :]):
        names[replica.key] = f"spare {number}"
    names |= {replica.key: f"stranger {number}" for number, replica in enumerate(cast.strangers)}
    silent = (names[replica.key] + SILENT for replica in cast.silent)
    return (*(names[replica.key] for replica in cast.running), *silent)


def _checkers_of(options: ConsensusOptions) -> list[Checker]:
    return [SoundBlocks(options, is_valid), TimePasses()]


def _has_come_true(cast: _Cast, heads: dict[bytes, int]) -> bool:
    """Tell whether all commit again, nothing is wanted any more, and all are in one epoch."""
    for replica in cast.honest:
        if replica.store.wanted or len(replica.store.log) < heads[replica.key] + 5:
            return False
    return len({None if each.log is None else each.log.number for each in cast.honest}) == 1


def run(options: ScenarioOptions, watching: Sequence[Observer] = ()) -> Outcome:
    """Run a world until it has healed; raise InvariantViolation when it breaks a promise."""
    world, cast, storm, _ = build(options)
    first = cast.replicas[0].options
    agreement, ends = Agreement(), EndsAreFinal(first)
    innocent = HonestAreInnocent(frozenset(replica.key for replica in cast.honest))
    within = WithinEpochs(first, _checkers_of)
    world.observers += [Together([within, agreement, ends, innocent]), *watching]
    world.run(storm.heals_ms)
    heads = {replica.key: len(replica.store.log) for replica in cast.honest}
    for now in range(storm.heals_ms + LOOKS_EVERY_MS, options.time_ms + 1, LOOKS_EVERY_MS):
        world.run(now)
        if _has_come_true(cast, heads) and now > storm.heals_ms + WISH_EVERY_MS:
            break
    for replica in cast.honest:
        agreement.check_roots(replica)
    check_named_roots(cast.honest)
    if options.checks_liveness:
        check_progress(cast.honest, heads)
        check_nothing_lost(cast.honest)
        if not _has_come_true(cast, heads):
            raise InvariantViolation("after healing, all reach the same epoch", "they did not")
    check_chains(first, cast.honest)
    met = _met(world, cast, ends.ended)
    return outcome_of(options, world, cast.honest, innocent, epochs=ends.ended, met=met)


def _met(world: MetWorld, cast: _Cast, epochs: int) -> tuple[str, ...]:
    """Name the faults that happened and the lies that were told."""
    told: set[Lie] = set()
    for replica in cast.replicas:
        told |= replica.told if isinstance(replica, EpochLiar) else set()
    met = world.met | ({Fault.SEATS} if epochs else set()) | ({Fault.LIAR} if told else set())
    met |= {Fault.SYBIL} if any(each.said for each in cast.strangers) else set()
    faults = (fault.label for fault in Fault if fault in met)
    return (*faults, *(lie.name.lower() for lie in Lie if lie in told))
