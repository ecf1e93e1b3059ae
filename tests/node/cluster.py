"""Real nodes in the simulator's world, in fair weather unless a test says otherwise."""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ambientd.codec.statements import task_id
from ambientd.ledger.entries import TaskEntry
from ambientd.ledger.events import LedgerEvent
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.genesis import FIRST_STATE_VERSION, Rules
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Admit, Body, SeatAsked, SeatVote, SeatWish
from ambientd.model.task import Assurance
from ambientd.node.build import NodeOptions, beacon_tip
from ambientd.node.compaction import LogOptions
from ambientd.node.effect import PeerMisbehaved
from ambientd.node.event import AnchorProven, BodiesProposed
from ambientd.roles.anchorer import AnchorerOptions
from ambientd.telemetry.core import TelemetryOptions
from sim.choices import task_spec
from sim.cluster import RULES, Cast, genesis_of, want, watch
from sim.joining import join_record, seed_of
from sim.node_machine import NodeHost
from sim.vices import Vice
from sim.wallets import Told
from sim.world import EPOCH_MS, World
from tests.fakes.memory_store import MemoryStore
from tests.ledger.bitcoin import anchor_proof

STEP_MS = 50
ANCHOR_MS = 3_000


class PromptNotary:
    """Proves each root after a while, as long as it has a chain."""

    def __init__(self, world: World) -> None:
        self.has_chain = True
        self._world = world
        self._wanted: list[tuple[int, int, Digest]] = []

    @property
    def next_deadline(self) -> int | None:
        return min((due_ms for due_ms, _, _ in self._wanted if self.has_chain), default=None)

    def want(self, size: int, root: Digest) -> None:
        self._wanted.append((EPOCH_MS + self._world.now + ANCHOR_MS, size, root))

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        """Know better."""

    def leave(self, size: int) -> None:
        """Prove it all the same."""

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        """Take the chain for one that is never undone."""

    def seat(self, place: int | None, members: int) -> None:
        """Anchor all that is wanted."""

    def due(self, now: int) -> list[Told]:
        due = [each for each in self._wanted if self.has_chain and now >= each[0]]
        self._wanted = [each for each in self._wanted if each not in due]
        return [AnchorProven(size, root, anchor_proof(root)) for _, size, root in due]

    def crash(self) -> None:
        self._wanted.clear()

    def lose_disk(self) -> None:
        self._wanted.clear()


class Cluster:
    """Members first, then guests; every promise of the simulator is checked all along."""

    def __init__(
        self,
        members: int = 4,
        guests: int = 0,
        vices: dict[int, Vice] | None = None,
        rules: Rules = RULES,
        seed: int = 1,
        checked: bool = True,
        log: LogOptions | None = None,
        anchors: Callable[[int], AnchorerOptions] = lambda _: AnchorerOptions(),
        boots: bool = True,
        network: str = "regtest",
        *,
        state_version: int = FIRST_STATE_VERSION,
    ) -> None:
        self.world = World(seed)
        founded = genesis_of(members, rules, state_version)
        self.genesis = replace(founded, bitcoin_network=network)
        self.cast = Cast(self.genesis)
        self.serial = 0
        self.tasks: list[TaskId] = []
        for number in range(members + guests):
            is_member = number < members
            name = ("member", number) if is_member else ("guest", number - members)
            options = NodeOptions(
                self.genesis,
                seed_of(*name),
                telemetry=TelemetryOptions(capacity=4),
                log=log or LogOptions(),
                anchors=anchors(number),
            )
            vice = (vices or {}).get(number)
            host = NodeHost(
                options,
                MemoryStore(),
                seed * 1_000 + number,
                frozenset() if vice is None else frozenset({vice}),
            )
            host.notary = PromptNotary(self.world)
            host.aborts_permille = 0
            (self.cast.members if is_member else self.cast.joiners).append(host)
            self.world.add(host)
        if checked:
            watch(self.world, self.cast)
        if boots:
            self.boot()

    def boot(self) -> None:
        for host in self.cast.members:
            self.world.start(host.key)

    @property
    def hosts(self) -> list[NodeHost]:
        return self.cast.hosts

    def run(self, time_ms: int) -> None:
        self.world.run(self.world.now + time_ms)

    def until(self, reached: Callable[[], bool], within_ms: int = 30_000) -> None:
        """Let time pass until something holds; fail when it takes too long."""
        end = self.world.now + within_ms
        while not reached():
            assert self.world.now < end, f"not within {within_ms} ms"
            self.run(STEP_MS)

    def up(self) -> list[NodeHost]:
        return [host for host in self.hosts if host.node is not None]

    def ledger(self, number: int = 0) -> LedgerState:
        return self.hosts[number].ledger

    def submit(self, by: int = 0, replicas: int = 2) -> TaskId:
        self.serial += 1
        assurance = Assurance.NONE if replicas == 1 else Assurance.REPLICATED
        spec = task_spec(self.serial, assurance, replicas)
        until_ms = EPOCH_MS + self.world.now + self.genesis.rules.keep_ms // 2
        body = Admit(nonce=b"%d" % self.serial, spec=spec, until_ms=until_ms)
        want(self.world, self.hosts[by], body)
        return task_id(NodeId(self.hosts[by].key), body.nonce, body.spec)

    def join(self, guest: int, by: int = 0) -> None:
        host = self.cast.joiners[guest]
        inviter = self.cast.members[0].options.seed
        record = join_record(self.genesis, inviter, host.options.seed, guest)
        self.world.start(host.key)
        want(self.world, self.hosts[by], record)
        self.until(lambda: all(h.ledger.node(NodeId(host.key)) is not None for h in self.up()))

    # The committee

    def ask_for_seat(self, number: int, bond_msat: int = 0) -> None:
        """Let a node ask for a seat, as its owner would."""
        host = self.hosts[number]
        asked_ms = self.world.now
        tip = beacon_tip(host.options.seed, asked_ms)
        self.say(number, SeatAsked(beacon_tip=tip, bond_msat=bond_msat, asked_ms=asked_ms))

    def vote_on_seat(self, number: int, wish: SeatWish, voters: Iterable[int]) -> None:
        """Let members say what they want for a node."""
        node = NodeId(self.hosts[number].key)
        for voter in voters:
            self.say(voter, SeatVote(node=node, wish=wish, said_ms=self.world.now))

    def say(self, number: int, body: Body) -> None:
        """Let a node's owner want a record in the log, once."""
        host = self.hosts[number]
        self.world.act(host.key, lambda now: host.feed([BodiesProposed((body,))], now))

    def until_epoch(self, number: int) -> None:
        """Wait until all that are up have reached an epoch."""
        self.until(
            lambda: all(
                host.ledger.epoch.number == number and host.log.number == number
                for host in self.up()
            )
        )

    def everywhere(self, holds: Callable[[LedgerState], bool]) -> Callable[[], bool]:
        return lambda: all(holds(host.ledger) for host in self.up())

    def entry(self, task: TaskId, number: int = 0) -> TaskEntry:
        found = self.ledger(number).task(task)
        assert found is not None
        return found

    def until_closed(self, task: TaskId) -> TaskEntry:
        """Wait until every node that is up sees the end of a task; give its entry."""

        def closed(ledger: LedgerState) -> bool:
            entry = ledger.task(task)
            return entry is not None and entry.ended_ms > 0

        self.until(self.everywhere(closed))
        entries = {h.ledger.task(task) for h in self.up()}
        assert len(entries) == 1
        entry = entries.pop()
        assert entry is not None
        return entry

    def check_equal(self) -> None:
        """Let the log come to a common index and compare the state roots there."""
        roots = {(h.ledger.applied_index, h.ledger.root) for h in self.up()}
        assert len(roots) == len({index for index, _ in roots})

    def told(self, kind: type[LedgerEvent], number: int = 0) -> list[LedgerEvent]:
        events = (told.event for told in self.hosts[number].told)
        return [event for event in events if isinstance(event, kind)]

    def faults(self, number: int = 0) -> list[PeerMisbehaved]:
        return self.hosts[number].faults

    def index_of(self, node: bytes | None) -> int:
        return next(n for n, host in enumerate(self.hosts) if host.key == node)

    def coordinator(self) -> int:
        host = self.up()[0]
        assert host.node is not None
        return self.index_of(host.node.coordinator)
