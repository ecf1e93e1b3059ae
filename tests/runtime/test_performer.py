"""Effects go where they belong; what waits is counted and capped; nothing blocks the pump."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from ambientd.adapters.blob_files import BLOCK_BYTES, BlobFiles
from ambientd.codec.statements import sign_record
from ambientd.consensus.effects import PersistSafety
from ambientd.errors import LocalProtocolError, UnreachableError, UsageError
from ambientd.ledger.events import (
    LiarNamed,
    NodeConvicted,
    NodeJoined,
    ResultRevoked,
    ResultSuspected,
)
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import AT_BEGINNING
from ambientd.model.effect import (
    Abandon,
    AnchorRoot,
    Assignment,
    Execute,
    FetchBlob,
    HearAnchor,
    LeaveAnchors,
    Purpose,
    SeatAnchors,
    TraceWanted,
    WatchAnchor,
)
from ambientd.model.execution import AbortCause, OutcomeKind
from ambientd.model.receipt import AnchorProof
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.effect import (
    AllowNodes,
    BlocksMissed,
    BroadcastFrame,
    ConditionChanged,
    CoordinatorElected,
    PeerMisbehaved,
    PublishGossip,
    RecordDropped,
    SendFrame,
    Told,
)
from ambientd.node.event import Event, ExecutionEnded, RecordOffered
from ambientd.ports.probe import EnergyReading, EnergyUsed
from ambientd.ports.transport import PeerAddress
from ambientd.runtime import performer as module
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import Executor, ExecutorOptions
from ambientd.runtime.joining import ACCEPTED, Joining, ask_to_join
from ambientd.runtime.learning import LearningHost
from ambientd.runtime.lies import ExecutorLies
from ambientd.runtime.news import News
from ambientd.runtime.performer import Performer, Workshop
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.workers import open_worker_pool
from ambientd.telemetry.messages import SafeModeChanged
from ambientd.telemetry.safe_mode import Mode
from sim.learners import RememberedConsents, WholeNumbers
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster, result
from tests.modules.compiled import module as compiled

MEMBER, GUEST, AWAY = (NodeId(letter * 32) for letter in (b"m", b"g", b"a"))
TASK = TaskId(b"t" * 32)


@dataclass
class Wire:
    """What goes out; a peer that is away takes nothing."""

    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
    gossip: list[tuple[str, bytes, tuple[bytes, ...]]] = field(default_factory=list)
    allowed: list[frozenset[bytes]] = field(default_factory=list)
    dialled: list[tuple[PeerAddress, ...]] = field(default_factory=list)
    answers: dict[bytes, bytes | Exception] = field(default_factory=dict)

    def send(self, peer: bytes, frame: bytes) -> bool:
        if peer == AWAY:
            return False
        self.sent.append((peer, frame))
        return True

    def peers(self) -> frozenset[bytes]:
        return frozenset({MEMBER, GUEST})

    def publish(self, topic: str, data: bytes, directly: Iterable[bytes] = ()) -> None:
        self.gossip.append((topic, data, tuple(directly)))

    def set_allowed(self, allowed: frozenset[bytes]) -> None:
        self.allowed.append(allowed)

    def set_peers(self, addresses: Iterable[PeerAddress]) -> None:
        self.dialled.append(tuple(addresses))

    async def request_join(self, address: PeerAddress, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        answer = self.answers[address.node_id]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Inbox:
    """Where the pump would take events from."""

    def __init__(self) -> None:
        self.send, self.receive = trio.open_memory_channel[Event](10_000)

    async def post(self, event: Event) -> None:
        await self.send.send(event)

    async def next(self) -> Event:
        with trio.fail_after(60):
            return await self.receive.receive()


class Meter:
    """A million joules in any millisecond."""

    def read(self) -> EnergyReading:
        return EnergyReading(0, "meter")

    def since(self, mark: EnergyReading) -> EnergyUsed:
        return EnergyUsed(10**12, mark.source, elapsed_ms=1000)


class Anchors:
    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def want(self, size: int, root: Digest) -> None:
        self.asked.append((size, root))

    def hear(self, size: int, root: Digest, raw_tx: bytes) -> None:
        self.asked.append((root, raw_tx))

    def leave(self, size: int) -> None:
        self.asked.append((size,))

    def watch(self, size: int, root: Digest, proof: AnchorProof) -> None:
        self.asked.append((size, root, proof.height))

    def seat(self, place: int | None, members: int) -> None:
        self.asked.append((place, members))


class NoPool:
    """Executions never end."""

    engine = engine_version = "none"

    async def prepare(self, source: bytes, code: bytes, spent: object) -> Any:
        await trio.sleep_forever()


@dataclass
class Bench:
    performer: Performer
    wire: Wire
    inbox: Inbox
    blobs: Blobs
    news: News


@asynccontextmanager
async def bench(
    folder: Path,
    pool: Any = None,
    *,
    anchors: Any = None,
    quota_bytes: int = 1 << 24,
    is_open: bool = True,
    ledger: LedgerState | None = None,
    wire: Any = None,
    **options: Any,
) -> AsyncIterator[Bench]:
    wire, inbox, news = wire or Wire(), Inbox(), News()

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return None

    files = BlobFiles(folder, quota_bytes=quota_bytes)
    blobs = Blobs(files, nobody, list)
    most: dict[str, Any] = {
        "memory_bytes_max": 1 << 24,
        "wall_ms_max": 60_000,
        "gas_max": 10**10,
        **options,
    }
    executor = Executor(pool or NoPool(), blobs, Meter(), ExecutorOptions(**most))
    async with trio.open_nursery() as nursery:
        performer = Performer(
            nursery,
            inbox,
            wire,
            Workshop(executor, LearningHost(WholeNumbers, RememberedConsents(), blobs, files)),
            blobs,
            news,
            lambda: 1_000,
            anchors,
            ledger=ledger or TestCluster().state,
            is_open=is_open,
        )
        yield Bench(performer, wire, inbox, blobs, news)
        nursery.cancel_scope.cancel()


async def execute_of(place: Bench, name: str, data: bytes = b"", **terms: Any) -> Execute:
    code = compiled(name)
    await place.blobs.put(code)
    await place.blobs.put(data)
    values: dict[str, Any] = {
        "module": Digest(hashlib.sha256(code).digest()),
        "input": Digest(hashlib.sha256(data).digest()),
        "module_size_bytes": len(code),
        "input_size_bytes": len(data),
        "gas_max": 1_000_000,
        "memory_bytes_max": 1 << 22,
        "wall_ms_max": 30_000,
        "output_bytes_max": 1_000,
        "assurance": Assurance.NONE,
        "replicas": 1,
        "price_msat_per_mgas": 1,
        **terms,
    }
    return Execute(Assignment(Purpose.SLOT, TASK, 0, 0), TaskSpec(**values), (MEMBER,))


async def test_frames_gossip_and_the_allow_list_go_out(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        perform = place.performer
        perform(SendFrame(GUEST, b"one"))
        perform(SendFrame(AWAY, b"lost"))
        perform(BroadcastFrame(b"all"))
        perform(PublishGossip(b"telemetry"))
        perform(AllowNodes(frozenset({GUEST})))
        assert place.wire.sent == [
            (GUEST, b"one"),
            (GUEST, b"all"),
            (MEMBER, b"all"),
        ]
        members = TestCluster().state.members
        assert place.wire.gossip == [(module.TELEMETRY_TOPIC, b"telemetry", members)]
        assert place.wire.allowed == [frozenset({GUEST})]
        assert (perform.counters.frames_sent, perform.counters.frames_unsent) == (3, 1)


async def test_a_newcomer_lets_nobody_in_before_it_is_in(tmp_path: Path) -> None:
    async with bench(tmp_path, is_open=False) as place:
        place.performer(AllowNodes(frozenset({MEMBER})))
        place.performer.let_in(True)
        place.performer(AllowNodes(frozenset({MEMBER, GUEST})))
        place.performer.let_in(False)
        assert place.wire.allowed == [
            frozenset(),
            frozenset({MEMBER}),
            frozenset({MEMBER, GUEST}),
            frozenset(),
        ]


async def test_what_happened_is_told_counted_and_logged(tmp_path: Path) -> None:
    async with bench(tmp_path) as place, place.news.listen() as heard:
        joined = Told(NodeJoined(GUEST, "guest"), 1, 1)
        place.performer(joined)
        assert await heard.receive() == joined
        place.performer(CoordinatorElected(1, MEMBER))
        place.performer(RecordDropped(b"h" * 32, "full"))
        place.performer(ConditionChanged(SafeModeChanged(Mode.NORMAL, ())))
        for _ in range(3):
            place.performer(PeerMisbehaved(GUEST, "noise"))
        assert place.performer.counters.faults == {GUEST: 3}


async def test_a_node_that_could_not_have_every_block_says_so(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        with capture_logs() as lines:
            place.performer(BlocksMissed(256))
    [line] = lines
    assert (line["log_level"], line["up_to_block"]) == ("warning", 256)
    assert "it goes on from a snapshot" in line["event"]


async def test_every_node_logs_who_was_convicted_by_what_and_in_which_block(
    tmp_path: Path,
) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: result(b"a lie")})
    liar = cluster.task(task).slots[1].worker
    for referee in range(4):
        cluster.block(cluster.finding(task, referee, result()))
    [named] = [each for each in cluster.events if isinstance(each, LiarNamed)]
    async with bench(tmp_path, ledger=cluster.state) as place:
        with capture_logs() as lines:
            place.performer(Told(named, 7, 1))
            place.performer(Told(NodeConvicted(liar, "log"), 8, 1))
            place.performer(Told(NodeJoined(GUEST, "guest"), 9, 1))
    entry = cluster.state.node(liar)
    assert entry is not None
    said = {
        "event": "node convicted",
        "log_level": "warning",
        "node": liar.hex()[:12],
        "name": entry.profile.name,
    }
    named_line = said | {"evidence": "divergent-output", "task": task.hex()[:12], "index": 7}
    assert lines == [named_line, said | {"evidence": "log", "index": 8}]


async def test_every_node_logs_whose_results_are_suspect_or_revoked(tmp_path: Path) -> None:
    task = TaskId(b"t" * 32)
    async with bench(tmp_path) as place:
        with capture_logs() as lines:
            place.performer(Told(ResultSuspected(task, MEMBER, GUEST), 7, 1))
            place.performer(Told(ResultRevoked(task, MEMBER, GUEST, 3), 8, 1))
    about = {"log_level": "warning", "task": task.hex()[:12], "submitter": MEMBER.hex()[:12]}
    assert lines == [
        about | {"event": "result suspect", "index": 7},
        about | {"event": "result revoked", "index": 8},
    ]


async def test_faults_of_ever_new_peers_fill_no_memory(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        for number in range(module.FAULTS_KEPT_MAX + 10):
            place.performer(PeerMisbehaved(NodeId(number.to_bytes(32, "big")), "noise"))
        assert len(place.performer.counters.faults) == module.FAULTS_KEPT_MAX
        place.performer(PeerMisbehaved(NodeId(bytes(32)), "again"))
        assert place.performer.counters.faults[NodeId(bytes(32))] == 2


async def test_many_names_with_a_fault_each_keep_nobody_from_being_banned(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        place.performer(AllowNodes(frozenset({MEMBER, GUEST})))
        for number in range(module.FAULTS_KEPT_MAX):
            place.performer(PeerMisbehaved(NodeId(number.to_bytes(32, "big")), "noise"))
        for _ in range(module.FAULTS_A_BAN):
            place.performer(PeerMisbehaved(GUEST, "noise"))
        await trio.testing.wait_all_tasks_blocked()
        assert place.wire.allowed[-1] == frozenset({MEMBER})
        assert len(place.performer.counters.faults) == module.FAULTS_KEPT_MAX


async def test_a_ban_ends_by_itself_and_the_next_one_takes_as_many_faults_again(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    both, without = frozenset({MEMBER, GUEST}), frozenset({MEMBER})
    async with bench(tmp_path) as place:
        place.performer(AllowNodes(both))
        for _ in range(2):
            for _ in range(module.FAULTS_A_BAN - 1):
                place.performer(PeerMisbehaved(GUEST, "noise"))
            await trio.testing.wait_all_tasks_blocked()
            assert place.wire.allowed[-1] == both
            place.performer(PeerMisbehaved(GUEST, "noise"))
            await trio.sleep(module.BAN_S - 1)
            assert place.wire.allowed[-1] == without
            place.performer(AllowNodes(both))  # nor does another block of the log let it in
            assert place.wire.allowed[-1] == without
            await trio.sleep(2)
            assert place.wire.allowed[-1] == both


async def test_faults_during_a_ban_neither_lengthen_nor_repeat_it(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """They are of frames that were already under way."""
    async with bench(tmp_path) as place:
        place.performer(AllowNodes(frozenset({MEMBER, GUEST})))
        for _ in range(3 * module.FAULTS_A_BAN):
            place.performer(PeerMisbehaved(GUEST, "noise"))
            await trio.testing.wait_all_tasks_blocked()
        assert place.wire.allowed[-1] == frozenset({MEMBER})
        await trio.sleep(module.BAN_S + 1)
        assert place.wire.allowed[-1] == frozenset({MEMBER, GUEST})
        assert len(place.wire.allowed) == 3


async def test_a_persist_effect_that_reaches_the_performer_is_a_bug_of_ours(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        with pytest.raises(LocalProtocolError, match="PersistSafety"):
            place.performer(PersistSafety(None))  # type: ignore[arg-type]


async def test_roots_and_what_others_have_sent_go_to_the_anchors_if_there_are_any(
    tmp_path: Path,
) -> None:
    anchors, root = Anchors(), Digest(bytes(32))
    async with bench(tmp_path, anchors=anchors) as place:
        place.performer(AnchorRoot(3, root))
        place.performer(HearAnchor(3, root, b"raw"))
        place.performer(SeatAnchors(None, 4))
        place.performer(WatchAnchor(3, root, anchor_proof(root, height=9)))
        place.performer(LeaveAnchors(3))
    assert anchors.asked == [(3, root), (root, b"raw"), (None, 4), (3, root, 9), (3,)]
    async with bench(tmp_path) as place:
        place.performer(AnchorRoot(3, root))
        place.performer(WatchAnchor(3, root, anchor_proof(root)))
        place.performer(HearAnchor(3, root, b"raw"))
        await trio.testing.wait_all_tasks_blocked()
        assert place.inbox.receive.statistics().current_buffer_used == 0


async def test_a_blob_to_be_fetched_that_nobody_holds_is_no_fault(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path) as place:
        place.performer(FetchBlob(Digest(b"d" * 32), 10, (MEMBER,)))
        await trio.testing.wait_all_tasks_blocked()


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds: what has been begun in a thread ends after its task."""
    with trio.fail_after(60):
        while not holds():
            await trio.sleep(0.005)


async def test_executions_beyond_the_cap_come_back_and_abandoned_ones_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EXECUTIONS_WAITING_MAX", 2)
    async with bench(tmp_path) as place:
        first = await execute_of(place, "echo")
        spec = first.spec
        places = [Assignment(Purpose.SLOT, TASK, number, 0) for number in range(3)]
        for each in (*places, places[0]):
            place.performer(Execute(each, spec, ()))
        ended = await place.inbox.next()
        assert isinstance(ended, ExecutionEnded)
        assert (ended.assignment, ended.report) == (places[2], None)
        assert "too many executions" in ended.aborted
        assert place.performer.counters.executions_refused == 1
        place.performer(Abandon(places[0]))
        place.performer(Abandon(places[2]))
        await until(lambda: set(place.performer._running) == {places[1]})


async def test_what_is_wanted_again_while_it_is_being_abandoned_is_carried_out(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as place:
        effect = await execute_of(place, "echo")
        abandon = Abandon(effect.assignment)
        for wanted in (effect, abandon, effect):
            place.performer(wanted)
        running = place.performer._running
        await until(lambda: [each.cancel_called for each in running.values()] == [False])
        for wanted in (abandon, effect, abandon):
            place.performer(wanted)
        await until(lambda: not running)


async def test_an_execution_reports_its_outcome_its_time_and_its_energy(tmp_path: Path) -> None:
    async with (
        open_worker_pool(WorkerPoolOptions(size=1)) as pool,
        bench(tmp_path / "a", pool) as place,
    ):
        for name, kind, output in (
            ("echo", OutcomeKind.COMPLETED, b"x"),
            ("trap", OutcomeKind.TRAPPED, b""),
            ("forbidden_import", OutcomeKind.REFUSED, b""),
            ("forbidden_import", OutcomeKind.REFUSED, b""),
            ("echo", OutcomeKind.COMPLETED, b"x"),
        ):
            place.performer(await execute_of(place, name, b"x" if name == "echo" else b"\0"))
            ended = await place.inbox.next()
            assert isinstance(ended, ExecutionEnded)
            assert ended.report is not None
            found = ended.report.result
            assert (found.kind, found.output) == (kind, hashlib.sha256(output).digest())
            assert await place.blobs.get(found.output) == output
            assert ended.report.energy_source == "meter/cpu"
            # A million joules a second of one core: what the processes took of it, in microseconds.
            assert ended.report.energy_mj is not None
            assert (ended.report.energy_mj > 0) or kind is OutcomeKind.REFUSED
            assert (ended.report.started_ms, ended.report.finished_ms) == (1000, 1000)
            was_prepared = bytes(ended.report.result.prepared) != bytes(32)
            assert was_prepared == (kind is not OutcomeKind.REFUSED)
        assert place.performer.counters.executions == 5

        # The wall clock is this host's own matter: no outcome.
        place.performer(await execute_of(place, "loop", gas_max=1 << 60, wall_ms_max=100))
        ended = await place.inbox.next()
        assert isinstance(ended, ExecutionEnded)
        assert ended.report is None
        assert ended.aborted

        async with bench(tmp_path / "b", pool, lies=ExecutorLies(corrupt_output=True)) as liar:
            for data in (b"x", b""):
                liar.performer(await execute_of(liar, "echo", data))
                ended = await liar.inbox.next()
                assert isinstance(ended, ExecutionEnded)
                assert ended.report is not None
                lie = b"y" if data else b"\x01"
                assert ended.report.result.output == hashlib.sha256(lie).digest()


@pytest.mark.parametrize(
    ("terms", "quota_bytes", "reason"),
    [
        ({"memory_bytes_max": 1 << 25}, 1 << 24, "more than this device's owner allows"),
        ({"wall_ms_max": 60_001}, 1 << 24, "more than this device's owner allows"),
        ({"module": Digest(b"m" * 32)}, 1 << 24, "could not be fetched"),
    ],
)
async def test_what_this_device_cannot_do_is_no_outcome(
    tmp_path: Path,
    terms: dict[str, Any],
    quota_bytes: int,
    reason: str,
) -> None:
    async with bench(tmp_path, quota_bytes=quota_bytes) as place:
        place.performer(await execute_of(place, "echo", **terms))
        ended = await place.inbox.next()
        assert isinstance(ended, ExecutionEnded)
        assert ended.report is None
        assert reason in ended.aborted


async def test_a_member_referees_what_is_longer_than_its_owner_allows_for_slots(
    tmp_path: Path,
) -> None:
    async with open_worker_pool(WorkerPoolOptions(size=1)) as pool, bench(tmp_path, pool) as place:
        longer = await execute_of(place, "echo", b"x", wall_ms_max=3_600_000, gas_max=10**15)
        place.performer(replace(longer, assignment=Assignment(Purpose.REFEREE, TASK, 0, 0)))
        ended = await place.inbox.next()
        assert isinstance(ended, ExecutionEnded)
        assert ended.report is not None


async def test_an_output_that_does_not_fit_on_the_disk_ends_no_daemon(tmp_path: Path) -> None:
    async with open_worker_pool(WorkerPoolOptions(size=1)) as pool:
        data = b"a long output " * 10
        room = 2 * BLOCK_BYTES  # the module's and the input's
        assert len(compiled("large_output")) <= BLOCK_BYTES
        async with bench(tmp_path, pool, quota_bytes=room) as place:
            request = await execute_of(place, "large_output", data, output_bytes_max=1 << 20)
            place.performer(request)
            ended = await place.inbox.next()
            assert isinstance(ended, ExecutionEnded)
            assert ended.report is None
            assert "do not fit" in ended.aborted


# Joining


async def test_a_trace_that_is_wanted_ends_in_one_event_and_once_only(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        execute = await execute_of(place, "echo")
        asked = Assignment(Purpose.TRACE, execute.assignment.task, 0, 1)
        effect = TraceWanted(asked, execute.spec, (), AT_BEGINNING, AT_BEGINNING.point, (1,))
        place.performer(effect)
        place.performer(effect)
        ended = await place.inbox.next()
        assert isinstance(ended, ExecutionEnded)
        assert (ended.assignment, ended.cause) == (asked, AbortCause.NOT_PAUSABLE)
        place.performer(Abandon(asked))
        await trio.testing.wait_all_tasks_blocked()
        assert place.inbox.receive.statistics().current_buffer_used == 0


def address(node: NodeId) -> PeerAddress:
    return PeerAddress(node, "127.0.0.1", 1)


async def test_a_member_passes_a_good_word_on_and_says_why_not_otherwise() -> None:
    cluster = TestCluster()
    inbox = Inbox()
    joining = Joining(inbox, cluster.state, lambda: cluster.time_ms)

    from ambientd.codec.canonical import encode

    def payload(number: int, **changes: Any) -> bytes:
        author, body = cluster.join(number, **changes)
        return encode(sign_record(cluster.signer(author), body))

    good = payload(50)
    assert await joining.serve(cluster.node(50), good) == ACCEPTED
    assert isinstance(await inbox.next(), RecordOffered)
    assert await joining.serve(cluster.node(51), good) != ACCEPTED
    assert await joining.serve(cluster.node(50), b"\xc1" * 9) != ACCEPTED
    assert b"at most 4096" in await joining.serve(cluster.node(50), bytes(5000))
    late = await joining.serve(cluster.node(51), payload(51, expires_ms=1))
    assert late == b"the invitation has expired"
    cluster.block(cluster.join(50))
    assert await joining.serve(cluster.node(50), good) == ACCEPTED, "asked again, it is in"
    used = await joining.serve(cluster.node(52), payload(52))
    assert used == b"the invitation has been used"
    assert cluster.state.node(cluster.node(52)) is None


async def test_a_newcomer_asks_on_until_it_is_in(autojump_clock: trio.testing.MockClock) -> None:
    cluster, wire = TestCluster(), Wire()
    author, body = cluster.join(50)
    record = sign_record(cluster.signer(author), body)
    doors: list[bool] = []
    wire.answers = {MEMBER: UnreachableError("away"), GUEST: b"no"}
    rounds = 0

    def has_joined() -> bool:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            wire.answers[GUEST] = ACCEPTED
        return rounds > 6

    members = (address(MEMBER), address(GUEST))
    await ask_to_join(wire, record, lambda: members, has_joined, doors.append, Random(1))
    assert doors == [False, False, False, True, True]
    assert wire.dialled == [(members[1], members[0]), members]


async def test_a_newcomer_asks_another_when_one_accepts_and_passes_nothing_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    cluster, wire = TestCluster(), Wire()
    author, body = cluster.join(50)
    record = sign_record(cluster.signer(author), body)
    members = tuple(address(cluster.node(number)) for number in range(1, 6))
    wire.answers = dict.fromkeys((each.node_id for each in members), ACCEPTED)
    asked_first: list[PeerAddress] = []

    def has_joined() -> bool:
        asked_first[:] = [each[0] for each in wire.dialled]
        return len(set(asked_first)) == len(members)

    with trio.fail_after(400):
        await ask_to_join(wire, record, lambda: members, has_joined, lambda _: None, Random(1))
    assert [len(each) for each in wire.dialled[:3]] == [2, 4, 5], "few at first"


async def test_a_newcomer_whom_all_refuse_says_why(autojump_clock: trio.testing.MockClock) -> None:
    cluster, wire = TestCluster(), Wire()
    author, body = cluster.join(50)
    record = sign_record(cluster.signer(author), body)
    wire.answers = {MEMBER: b"the invitation has been used", GUEST: b"\xff"}
    with pytest.raises(UsageError, match="'the invitation has been used'; ask for a new token"):
        await ask_to_join(
            wire,
            record,
            lambda: (address(MEMBER), address(GUEST)),
            lambda: False,
            lambda _: None,
            Random(0),
        )
