"""The large world: thousands of light nodes in cells, a committee of whole nodes, tasks, churn.

The committee and some guests run the whole `Node`, with every checker of the world of whole
nodes, and work on tasks. All others run telemetry and their part in a cell; some are always away.
In the end the committee must know of every node that has stayed as it is whether it can work.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.record import Admit
from ambientd.model.task import Assurance, TaskState
from ambientd.node.build import NodeOptions
from ambientd.roles.anchorer import AnchorerOptions
from ambientd.telemetry.cells import CellBoard, Roster, roster_of
from ambientd.telemetry.core import TelemetryOptions
from sim.checkers import InvariantViolation
from sim.choices import task_spec
from sim.cluster import UNTIL_MS, Cast, genesis_of, want, watch
from sim.joining import join_record, seed_of
from sim.light_machine import REPORT, LightHost
from sim.machine import Effect
from sim.node_checkers import check_ends
from sim.node_machine import NodeHost
from sim.traffic import Rates, rates_of
from sim.world import World

GUESTS = 8
"""Whole nodes outside the committee, which follow the log and work."""
CHURN_EVERY_MS = 1_000
AWAY_MS = (20_000, 60_000)
SETTLED_MS = 150_000  # after that the committee knows
BURST, BURST_EVERY_MS = 20, 20_000
"""Tasks come together, one a second on the average, so that the log may rest in between."""
LAST_TASK_MS_BEFORE_END = 20_000
LIGHT = TelemetryOptions(capacity=1)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """One large world; everything else follows from the seed."""

    seed: int
    nodes: int = 10_000
    cells: int = 64
    members: int = 7
    time_ms: int = 240_000


@dataclass(frozen=True, slots=True)
class FleetOutcome:
    """What became of a large world."""

    seed: int
    nodes: int
    cells: int
    away: int
    known: int
    blocks: int
    tasks: int
    by_guests: int
    """Answers of nodes outside the committee that tasks have ended with."""
    messages: int
    rates: tuple[Rates, ...]
    """What members, guests and light nodes carried: most of a light node's is its cell's."""
    trace_hash: str


class BoardHost(NodeHost):
    """A member of the committee that hears the heads of cells, too."""

    board: CellBoard

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect] | None:
        """Take in a cell's report, or what other whole nodes send."""
        if data[:1] != REPORT:
            return super().receive(sender, data, now)
        fault = self.board.on_report(data[1:], now)
        if fault is not None:
            raise InvariantViolation("honest heads are believed", fault)
        return None


@dataclass(slots=True)
class Fleet:
    """A large world and who plays in it."""

    world: World
    cast: Cast
    roster: Roster
    light: list[LightHost]
    left_ms: dict[bytes, int]
    """When each node that came or went last did so."""

    def go(self, host: LightHost, back_ms: int) -> None:
        """Let a light node go away for a while."""
        if self.world.places[host.key].is_up:
            self.left_ms[host.key] = self.world.now
            self.world.crash(host.key)
            self.world.at(self.world.now + back_ms, partial(self._come, host.key))

    def _come(self, key: bytes) -> None:
        self.left_ms[key] = self.world.now
        self.world.start(key)

    def check_boards(self) -> int:
        """Compare what members know with what is; give how many nodes are known to all."""
        world, known = self.world, 0
        boards = [
            host.board.reports(world.local(world.places[host.key]))
            for host in self.cast.members
            if isinstance(host, BoardHost)
        ]
        for host in self.light:
            changed_ms = self.left_ms.get(host.key, 0)
            reports = [board.get(NodeId(host.key)) for board in boards]
            known += all(report is not None for report in reports)
            if world.now - changed_ms < SETTLED_MS:
                continue
            is_up = world.places[host.key].is_up
            if any(report is None or report.accepting is not is_up for report in reports):
                text = f"node {host.key.hex()[:12]}, {'up' if is_up else 'away'}, is told otherwise"
                raise InvariantViolation("the committee knows its cells", text)
        return known


def build(options: FleetOptions) -> Fleet:
    """Lay out a large world."""
    world, dice = World(options.seed), random.Random(options.seed * 6_151 + options.nodes)
    genesis = genesis_of(options.members)
    cluster = fingerprint(genesis)
    cast = Cast(genesis)
    for number in range(options.members + GUESTS):
        is_member = number < options.members
        name = ("member", number) if is_member else ("joiner", number - options.members)
        whole = NodeOptions(
            genesis,
            seed_of(*name),
            anchors=AnchorerOptions(enabled=False),
            telemetry=TelemetryOptions(capacity=4),
        )
        kind = BoardHost if is_member else NodeHost
        host = kind(whole, None, dice.randrange(2**32))
        (cast.members if is_member else cast.joiners).append(host)
        world.add(host)
        world.at(dice.randrange(300), partial(world.start, host.key))
    signers = [
        Signer(tagged("sim/light-key/1", number.to_bytes(4, "big")), cluster)
        for number in range(options.nodes - options.members - GUESTS)
    ]
    roster = roster_of((NodeId(signer.public_key) for signer in signers), options.cells)
    for member in cast.members:
        assert isinstance(member, BoardHost), "members hear the heads"
        member.board = CellBoard(cluster, roster)
    committee = tuple(member.key for member in cast.members)

    def reaches(key: bytes) -> bool:
        return world.places[key].is_up

    light = [LightHost(each, roster, committee, LIGHT, reaches, dice) for each in signers]
    for each in light:
        world.add(each, dice.randint(-400, 400), is_light=True)
        world.at(dice.randrange(1_000), partial(world.start, each.key))
    fleet = Fleet(world, cast, roster, light, {})
    _schedule(fleet, options, dice)
    watch(world, cast)
    return fleet


def _schedule(fleet: Fleet, options: FleetOptions, dice: random.Random) -> None:
    """Let guests join, light nodes come and go, and members submit tasks."""
    world, cast = fleet.world, fleet.cast
    for number, guest in enumerate(cast.joiners):
        inviter = cast.members[0]
        record = join_record(cast.genesis, inviter.options.seed, guest.options.seed, number)
        world.at(500 + 100 * number, partial(want, world, inviter, record))
    for time_ms in range(2_000, options.time_ms, CHURN_EVERY_MS):
        who = dice.choice(fleet.light)
        world.at(time_ms, partial(fleet.go, who, dice.randrange(*AWAY_MS)))
    # Some stay away for good.
    for who in dice.sample(fleet.light, len(fleet.light) // 100):
        world.at(5_000, partial(fleet.go, who, options.time_ms))
    end_ms = options.time_ms - LAST_TASK_MS_BEFORE_END
    times = (at for at in range(3_000, end_ms, BURST_EVERY_MS) for _ in range(BURST))
    for serial, time_ms in enumerate(times):
        spec = task_spec(serial, Assurance.REPLICATED, 2)
        admit = Admit(nonce=b"%d" % serial, spec=spec, until_ms=UNTIL_MS)
        world.at(time_ms, partial(want, world, dice.choice(cast.members), admit))


def finish(fleet: Fleet, options: FleetOptions) -> FleetOutcome:
    """Judge a large world at its end; raise InvariantViolation when it broke a promise."""
    known = fleet.check_boards()
    check_ends(fleet.cast.honest)
    world, ledger = fleet.world, fleet.cast.members[0].ledger
    return FleetOutcome(
        options.seed,
        options.nodes,
        options.cells,
        sum(not world.places[host.key].is_up for host in fleet.light),
        known + len(fleet.cast.hosts),
        ledger.applied_index,
        sum(1 for _ in ledger.tasks()),
        _answers(ledger, frozenset(NodeId(guest.key) for guest in fleet.cast.joiners)),
        world.sent,
        _rates(fleet, options.time_ms),
        world.trace_hash,
    )


def _rates(fleet: Fleet, time_ms: int) -> tuple[Rates, ...]:
    """Give what nodes of each kind carried for one another, by the second."""
    kinds = (
        ("members", fleet.cast.members),
        ("guests", fleet.cast.joiners),
        ("light nodes", fleet.light),
    )
    return tuple(
        rates_of(who, [fleet.world.places[host.key].traffic for host in hosts], time_ms)
        for who, hosts in kinds
    )


def _answers(ledger: LedgerState, workers: frozenset[NodeId]) -> int:
    """Count the slots of ended tasks that these workers have answered."""
    ended = (entry for _, entry in ledger.tasks() if entry.state is TaskState.FINAL)
    return sum(slot.worker in workers for entry in ended for slot in entry.slots)


def run(options: FleetOptions) -> FleetOutcome:
    """Run a large world to its end; raise InvariantViolation when it breaks a promise."""
    fleet = build(options)
    fleet.world.run(options.time_ms)
    return finish(fleet, options)
