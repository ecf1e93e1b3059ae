"""A world of whole nodes: tasks all along, a lying worker, an equivocating coordinator, faults."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from msgspec.structs import replace

from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record, task_id
from ambientd.consensus import beacon
from ambientd.consensus.options import ConsensusOptions
from ambientd.ledger.admission import is_admissible
from ambientd.ledger.founders import first_epoch
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION, Genesis, Member, NodeKind, Profile, Rules
from ambientd.model.record import Admit, Cancel, Join
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.build import NodeOptions, beacon_secret
from ambientd.node.compaction import LogOptions
from ambientd.node.stops import options_of
from ambientd.roles.anchorer import AnchorerOptions
from ambientd.roles.step_prover import NO_STEPS
from ambientd.rules.verdicts import liars_max, quorum
from ambientd.telemetry.core import TelemetryOptions
from sim.anchor_chain import AnchorChain
from sim.anchor_checkers import LogsAnchors, check_anchors
from sim.audit_checkers import FairAudits, PayVests, check_audits, has_suspects
from sim.choices import checkers_of_choices, choosy, task_spec
from sim.dispute_checkers import FairDisputes
from sim.faults import ALL_FAULTS, Fault
from sim.happenings import Happening, draw_disks, lay
from sim.histories import History
from sim.images import Namers, TrueImages
from sim.joining import join_record, offer, seed_of
from sim.lies import Lie
from sim.long_tasks import LongTasks
from sim.mark_watch import MarkWatch
from sim.money import BondsWait, Purses
from sim.native_audits import FairNames
from sim.native_training import TRAINING_VICES
from sim.next_version import NEXT_VERSIONS, OLDER_VERSIONS
from sim.node_checkers import (
    Conservation,
    EqualRoots,
    FinalIsFinal,
    HonestKeepTheirName,
    NamedRoots,
    Onlookers,
    PaidOnce,
    check_ends,
)
from sim.node_epochs import DecidedSeats, EpochsInside, Owners, check_epochs
from sim.node_lies import drawn_node_lies
from sim.node_machine import NodeHost
from sim.outcomes import ClusterOutcome, outcome_of
from sim.private_checkers import PrivateBooks
from sim.proofs import CYCLES, proof_vice
from sim.publishers import NamesLast, Publishers
from sim.seasons import (
    CALM_MS_MIN,
    Storm,
    drawn,
    drawn_newer,
    drawn_reorganisations,
    storms_of,
    work_times,
)
from sim.stage import Kit, Observer, Stage
from sim.step_proofs import STEP_TERMS
from sim.students import Students, check_studies, checkers_of_studies
from sim.task_checkers import (
    CosignedBatches,
    FairVerdicts,
    InvitedOnly,
    OpenAreDue,
    OthersFirst,
    SealedAnswers,
    SignedAnswers,
)
from sim.task_sizes import TaskSizes
from sim.version_checkers import KnownVersions, check_versions
from sim.vices import DRAWN_VICES, PARTY_VICES, QUICKLY_COOL, WORKER_VICES, Resident, Vice, Wish
from sim.wallets import TURN_MS, Wallet
from sim.word_checkers import NewerWords
from sim.world import EPOCH_MS, World

GRANT_MSAT = 1_000_000_000
BOND_MSAT = 50_000_000
LEASE_MS_MAX = 60_000
STRANGERS = 3
LOOKS = 4
LAST_TASK_MS_BEFORE_END = 15_000
UNTIL_MS = EPOCH_MS + 3_600_000
ROUND_MS = 6_000
CLOCKS_MS = 1_000  # what clocks and block time may differ by
REPLICAS = (1, 2, 2, 2, 3)
FAIR = frozenset({Fault.LIAR, Fault.BAD_WORKER, Fault.DISPUTES})
"""Faults that keep nobody who is honest from saying what it owes."""
SHORT_LOG = LogOptions(snapshot_blocks=16, kept_blocks=8)
RULES = Rules(
    lease_ms=2_000,
    reveal_ms=2_000,
    dispute_ms=4_000,
    batch_ms=1_000,
    audit_window_ms=6_000,
    audit_permille=300,
)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """One world of whole nodes; everything else follows from the seed."""

    seed: int
    members: int = 4
    joiners: int = 2
    faults: frozenset[Fault] = ALL_FAULTS
    time_ms: int = 60_000
    task_every_ms: int = 700
    keep_ms: int = RULES.keep_ms
    replicas: tuple[int, ...] = REPLICAS  # what submitters choose from
    chooses: bool = False  # whether tasks ask for certain workers, and have deadlines
    learns: bool = False  # whether there are studies of federated learning
    proves: bool = False  # whether tasks are to be proven
    in_private: bool = False  # whether they are of private mode
    within: bool = False  # whether native training is audited, and two guests lie about it
    happenings: tuple[Happening, ...] | None = None  # None: drawn from the seed
    vices: frozenset[Vice] | None = None  # None: drawn from the seed
    tells: bool = False  # whether dishonest members lie in the log as well
    lies: frozenset[Lie] | None = None  # None: drawn from the seed
    state_version: int = FIRST_STATE_VERSION  # that the genesis names

    @property
    def marks(self) -> bool:
        """Whether there are long tasks of which states may be marked."""
        return Fault.MARKS in self.faults

    @property
    def goes_over(self) -> bool:
        """Whether members say that they know the next state version, so that it begins."""
        return self.within or bool(self.faults & {Fault.VERSIONS, Fault.IMAGES, Fault.MARKS})


@dataclass(slots=True)
class Cast:
    """Who plays in a world of whole nodes."""

    genesis: Genesis
    members: list[Resident] = field(default_factory=list)
    joiners: list[Resident] = field(default_factory=list)
    chain: AnchorChain | None = None
    is_stormy: bool = True
    by_key: dict[bytes, Resident] = field(default_factory=dict)

    @property
    def hosts(self) -> list[Resident]:
        """Give everyone."""
        return [*self.members, *self.joiners]

    @property
    def honest(self) -> list[Resident]:
        """Give who follows the protocol in all."""
        return [host for host in self.hosts if host.is_honest]


def genesis_of(
    members: int, rules: Rules = RULES, state_version: int = FIRST_STATE_VERSION
) -> Genesis:
    """Give the birth certificate of a simulated cluster."""
    seeds = [seed_of("member", number) for number in range(members)]
    return Genesis(
        state_version=state_version,
        name="sim",
        created_ms=EPOCH_MS,
        bitcoin_network="regtest",
        members=tuple(
            Member(
                node=NodeId(Signer(seed, b"").public_key),
                profile=Profile(name=f"member-{number}", region="sim", kind=NodeKind.COMPUTE),
                beacon_tip=beacon.tip(beacon_secret(seed)),
                grant_msat=GRANT_MSAT,
                bond_msat=BOND_MSAT,
            )
            for number, seed in enumerate(seeds)
        ),
        rules=rules,
    )


def _cast(options: ClusterOptions, kit: Kit, dice: random.Random) -> Cast:
    """Give out the parts: up to f members and one guest may have a vice."""
    round_ms = ROUND_MS if Fault.DISPUTES in options.faults else RULES.round_ms
    rules = replace(RULES, keep_ms=options.keep_ms, round_ms=round_ms)
    genesis = genesis_of(options.members, rules, options.state_version)
    players = random.Random(options.seed * 6_029 + options.members)
    is_stormy = bool(options.faults - FAIR)
    chain = AnchorChain(random.Random(options.seed * 4_099 + options.members))
    anchors = Fault.REORGANISATION in options.faults
    cast = Cast(genesis, chain=chain if anchors else None, is_stormy=is_stormy)
    may_lie, is_short = Fault.LIAR in options.faults, Fault.SHORT_LOG in options.faults
    replays = Fault.SEATS in options.faults and random.Random(options.seed + 2).randrange(2)
    recalls = Fault.MONEY in options.faults and random.Random(options.seed + 3).randrange(2)
    bad = dice.sample(range(options.members), liars_max(options.members) if may_lie else 0)
    for number in range(options.members + options.joiners):
        is_member = number < options.members
        name, place = ("member", number) if is_member else ("joiner", number - options.members)
        vices: frozenset[Vice] = frozenset()
        if number in bad:
            vices = dice.choice(
                [frozenset({vice}) for vice in DRAWN_VICES] + [frozenset(DRAWN_VICES)]
            )
        elif not is_member and place == 0 and may_lie and dice.randrange(2):
            vices = frozenset({Vice.LIE})
        elif not is_member and place == 1 and Fault.BAD_WORKER in options.faults:
            vices = frozenset({WORKER_VICES[options.seed % len(WORKER_VICES)]})
        if vices and Fault.DISPUTES in options.faults and players.randrange(4):
            vices = frozenset({players.choice(PARTY_VICES)})
        if options.within and not is_member and may_lie:
            vices = frozenset({TRAINING_VICES[place % len(TRAINING_VICES)]})
        if vices and options.vices is not None:
            vices = options.vices
        elif vices:
            vices |= {Vice.REVIVE} if replays else set()
            vices |= {Vice.RECALL} if recalls else set()
            vices |= {Vice.BOAST} if Fault.VERSIONS in options.faults else set()
            vices |= {Vice.MISMARK} if Fault.MARKS in options.faults else set()
            vices |= {proof_vice(options.seed, options.faults)} if options.proves else set()
        vices |= {Vice.MISLEAD} if vices and is_short else set()
        node_options = NodeOptions(
            genesis,
            seed_of(name, place),
            anchors=AnchorerOptions(enabled=cast.chain is not None, turn_ms=TURN_MS),
            telemetry=TelemetryOptions(capacity=4, safe_mode=QUICKLY_COOL),
            log=SHORT_LOG if is_short else LogOptions(),
            proves_cycles_max=CYCLES if options.proves else 0,
            proves_steps=STEP_TERMS if options.proves else NO_STEPS,
            says_next_version=options.goes_over,
        )
        host = kit.host(node_options, dice.randrange(2**32), vices)
        if options.tells and number in bad:
            own = random.Random(options.seed * 17_011 + number)
            host.tell(drawn_node_lies(own) if options.lies is None else options.lies, number)
        if Fault.VERSIONS in options.faults:
            host.versions, host.newest = OLDER_VERSIONS, NEXT_VERSIONS
        host.notary = None if cast.chain is None else Wallet(number, cast.chain)
        (cast.members if is_member else cast.joiners).append(host)
        cast.by_key[host.key], host.others = host, cast.by_key
    return cast


def want(world: Stage, host: Resident, wish: Wish) -> None:
    """Let a node's owner want something, now if the node is up, else when it comes back."""
    host.keep(wish)  # a node that is down, or stands still and then stops, wants it later
    world.act(host.key, lambda now: host.want(wish, now))


def _schedule_tasks(
    kit: Kit,
    cast: Cast,
    history: History,
    options: ClusterOptions,
    storms: tuple[Storm, ...],
    dice: random.Random,
) -> None:
    """Let honest members submit all along, and take some tasks back again."""
    world, eyes = kit.world, random.Random(options.seed + 1)
    sizes = TaskSizes(options.seed, options.faults, proves=options.proves)
    submitters = [host for host in cast.members if host.is_honest]
    end = options.time_ms - LAST_TASK_MS_BEFORE_END
    times = work_times(storms, 1_000, end, options.task_every_ms, dice)
    for serial, time_ms in enumerate(times):
        host = dice.choice(submitters)
        replicas = min(dice.choice(options.replicas), options.members)
        assurance = Assurance.NONE if replicas == 1 else Assurance.REPLICATED
        spec = sizes.of(kit.spec(serial, assurance, replicas))
        if options.chooses:
            spec = choosy(spec, serial, EPOCH_MS + time_ms)
        until_ms = min(UNTIL_MS, EPOCH_MS + time_ms + options.keep_ms - CLOCKS_MS)
        admit = Admit(nonce=b"%d" % serial, spec=spec, until_ms=until_ms)
        task = task_id(NodeId(host.key), admit.nonce, admit.spec)
        world.at(time_ms, partial(history.submitted, task, host.key, time_ms))
        world.at(time_ms, lambda h=host, a=admit: want(world, h, a))  # type: ignore[misc]
        for _ in range(LOOKS):
            look_ms = time_ms + eyes.randrange(10_000)
            world.at(look_ms, partial(history.show, eyes.choice(cast.honest), task))
        if dice.randrange(12) == 0:
            later = time_ms + dice.randrange(50, 1_500)
            world.at(later, partial(history.cancelled, task, later))
            world.at(later, lambda h=host, t=task: want(world, h, Cancel(task=t)))  # type: ignore[misc]


def _schedule_strangers(world: Stage, cast: Cast, dice: random.Random, end_ms: int) -> None:
    """Let strangers come to honest nodes with invitations that no member gave."""
    for number in range(STRANGERS):
        seed, own = seed_of("stranger", number), seed_of("stranger", number + STRANGERS)
        real = cast.genesis.members[0].node
        draft = join_record(cast.genesis, own, seed, number).body
        assert isinstance(draft, Join)
        signer = Signer(seed, fingerprint(cast.genesis))
        record = sign_record(signer, replace(draft, inviter=real))
        host, time_ms = dice.choice(cast.honest), dice.randrange(2_000, max(2_001, end_ms))
        world.at(time_ms, partial(offer, world, host, record))


class FastKit:
    """The fast world: cores and one heap of events."""

    def __init__(self, seed: int) -> None:
        self.world = World(seed)

    def spec(self, serial: int, assurance: Assurance, replicas: int) -> TaskSpec:
        """Give a small task that differs from every other."""
        return task_spec(serial, assurance, replicas)

    def host(self, options: NodeOptions, seed: int, vices: frozenset[Vice]) -> Resident:
        """Make a node's host, with an empty store."""
        return NodeHost(options, None, seed, vices)

    def add(self, host: Resident, skew_ms: int) -> None:
        """Put a host of this kit into the world."""
        assert isinstance(host, NodeHost), "each world runs hosts of its own"
        self.world.add(host, skew_ms)


def build(
    options: ClusterOptions, kit: Kit | None = None
) -> tuple[Stage, Cast, History, tuple[Happening, ...]]:
    """Lay out a world; give it with its cast, its history and what befalls it."""
    kit = kit or FastKit(options.seed)
    world = kit.world

    def drawing(factor: int) -> random.Random:
        return random.Random(options.seed * factor + options.members)

    dice = drawing(6_131)
    cast = _cast(options, kit, dice)
    for host in cast.hosts:
        kit.add(host, dice.randint(-400, 400) if Fault.SKEW in options.faults else 0)
        world.at(dice.randrange(300), lambda key=host.key: world.start(key))  # type: ignore[misc]
    for number, host in enumerate(cast.joiners):
        record = join_record(cast.genesis, cast.members[0].options.seed, host.options.seed, number)
        sponsor = next(member for member in cast.members if member.is_honest)
        joins_at = 500 + dice.randrange(2_000)
        world.at(joins_at, lambda h=sponsor, r=record: want(world, h, r))  # type: ignore[misc]
    storms = storms_of(options.time_ms, options.members, dice)
    honest = [number for number, host in enumerate(cast.hosts) if host.is_honest]
    more, disks = drawing(8_191), drawing(12_289)
    happenings = drawn(storms, len(cast.hosts), honest, [], options.faults, (dice, more))
    unneeded = _unneeded(options, cast, disks)
    happenings += draw_disks(honest, unneeded, options.faults, disks, storms[0].heals_ms)
    happenings += drawn_newer(storms, len(cast.hosts), honest, options.faults, drawing)
    if cast.chain is not None:
        happenings += drawn_reorganisations(storms, cast.chain.rng)
    happenings = happenings if options.happenings is None else options.happenings
    history = History()
    keys = [host.key for host in cast.hosts]
    lay(world, keys, happenings, *(storm.heals_ms for storm in storms), chain=cast.chain)
    if Fault.SYBIL in options.faults:
        _schedule_strangers(world, cast, more, storms[0].heals_ms)
    end_ms = options.time_ms - CALM_MS_MIN
    if Fault.SEATS in options.faults:
        forgets = bool(options.faults & {Fault.AMNESIA, Fault.BIT_ROT})
        idle = frozenset(keys[number] for number in unneeded if forgets)
        updates = Fault.VERSIONS in options.faults
        owners = Owners(world, cast.hosts, idle, drawing(5_003), updates=updates)
        owners.schedule(storms, end_ms)
    if Fault.MONEY in options.faults:
        last_ms = options.time_ms - LAST_TASK_MS_BEFORE_END
        Purses(world, cast.hosts, drawing(10_007)).schedule(storms, last_ms)
    if Fault.MODULES in options.faults:
        Publishers(world, cast.hosts, drawing(11_003)).schedule(storms, end_ms)
    if Fault.IMAGES in options.faults:
        Namers(world, cast.hosts, kit.spec, drawing(12_007)).schedule(storms, end_ms)
    if options.marks:
        honest_members = [host for host in cast.members if host.is_honest]
        long = LongTasks(kit, honest_members, drawing(13_009), want, history.submitted)
        long.schedule(storms, options.time_ms - LAST_TASK_MS_BEFORE_END, UNTIL_MS)
    if options.learns or Fault.DROPOUTS in options.faults:
        in_private = options.in_private if options.learns else options.seed % 2 == 1
        modes = {"in_private": in_private, "within": options.within}
        Students(world, cast.hosts, options.seed, **modes).schedule(storms, end_ms, UNTIL_MS)
    _schedule_tasks(kit, cast, history, options, storms, dice)
    return world, cast, history, happenings


def _unneeded(options: ClusterOptions, cast: Cast, dice: random.Random) -> list[int]:
    """Give honest nodes whose votes the committee can do without, liars counted."""
    honest = [number for number, host in enumerate(cast.members) if host.is_honest]
    spare = len(honest) - quorum(options.members)
    guests = [options.members + n for n, host in enumerate(cast.joiners) if host.is_honest]
    if Fault.SEATS in options.faults:
        guests = guests[1:]  # the first one may come to be needed
    return [*dice.sample(honest, max(spare, 0)), *guests]


def happenings_of(options: ClusterOptions) -> tuple[Happening, ...]:
    """Give what befalls the nodes of a world, without running it."""
    return build(options)[3]


def names_of(options: ClusterOptions) -> tuple[str, ...]:
    """Name the nodes of a world as its happenings number them."""
    members = tuple(f"member {number}" for number in range(options.members))
    return members + tuple(f"guest {number}" for number in range(options.joiners))


def first_options(genesis: Genesis) -> ConsensusOptions:
    """Give the log's options in the founders' epoch, as an onlooker has them."""
    first = first_epoch(genesis)
    return options_of(first, fingerprint(genesis), first.members[0])


def watch(
    world: Stage, cast: Cast, books: PrivateBooks | None = None
) -> tuple[HonestKeepTheirName, LogsAnchors]:
    """Put every checker into a world; give those that know convictions and batches."""
    genesis, log = cast.genesis, first_options(cast.genesis)
    honest = frozenset(host.key for host in cast.honest)
    names, anchors = HonestKeepTheirName(honest), LogsAnchors(cast.chain)
    world.observers += [
        EpochsInside(log, lambda *each: is_admissible(each[0], log.cluster, each[1])),
        Onlookers(
            [
                EqualRoots(),
                Conservation(LedgerState.from_genesis(genesis).total_msat()),
                FinalIsFinal(),
                PaidOnce(),
                NamedRoots(),
                SignedAnswers(genesis),
                SealedAnswers(),
                FairVerdicts(),
                FairDisputes(honest, is_fair=not cast.is_stormy),
                *checkers_of_choices(genesis.rules.keep_ms),
                OthersFirst(),
                CosignedBatches(genesis),
                DecidedSeats(),
                KnownVersions(genesis.state_version),
                BondsWait(genesis.rules.keep_ms),
                FairAudits(honest),
                PayVests(genesis.rules.audit_window_ms),
                anchors,
                NewerWords(),
                NamesLast(),
                TrueImages(honest),
                *checkers_of_studies(books),
                FairNames(honest, is_fair=not cast.is_stormy),
                InvitedOnly(frozenset(host.key for host in cast.hosts)),
                OpenAreDue(LEASE_MS_MAX),
                names,
            ]
        ),
    ]
    return names, anchors


def run(
    options: ClusterOptions, watching: Sequence[Observer] = (), kit: Kit | None = None
) -> ClusterOutcome:
    """Run a world to its end; raise InvariantViolation when it breaks a promise."""
    world, cast, history, _ = build(options, kit)
    names, anchors = watch(world, cast)
    marks = MarkWatch(cast.hosts, fingerprint(cast.genesis)) if options.marks else None
    world.observers += [history, *(marks.checkers if marks else ()), *watching]
    if marks is not None:
        marks.look_on(world, options.time_ms)
    world.run(options.time_ms, lambda: has_suspects(cast.honest))
    check_ends(cast.honest, are_long=options.marks)
    if marks is not None:
        marks.check()
    if cast.chain is not None:
        check_anchors(cast.chain, cast.honest, anchors.due_by(options.time_ms))
    check_audits(cast.honest)
    check_studies(cast.honest)
    history.check()
    if options.goes_over:
        check_versions(cast.honest)
    check_epochs(first_options(cast.genesis), cast.honest)
    return outcome_of(options.seed, options.members, cast.honest[0].ledger, names, world, marks)
