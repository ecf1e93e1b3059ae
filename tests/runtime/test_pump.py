"""What must be durable is, before anything leaves; a group of events is one transaction."""

from collections import deque
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.codec.signing import SIGNATURE_BYTES
from ambientd.codec.statements import sign_record
from ambientd.consensus.effects import VoteDecided
from ambientd.errors import StoreError
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.record import Admit
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.build import signer_of
from ambientd.node.effect import NodeEffect, Persist, PersistTelemetryEpoch, Told
from ambientd.node.event import (
    BodiesProposed,
    FrameReceived,
    GossipReceived,
    RecordOffered,
    Started,
)
from ambientd.ports.store import Put, StoreTable, Write
from ambientd.runtime.persistence import StoredBlocks, index_key, recover, writes_of
from ambientd.runtime.pump import INBOX_BYTES_MAX, INBOX_FRAMES_MAX, SLICE_MS, Pump
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore
from tests.runtime.support import START_MS, Clock, NotingStore, found_cluster, node_on


def spec(number: int) -> TaskSpec:
    return TaskSpec(
        module=Digest(bytes([number]) * 32),
        input=Digest(bytes(32)),
        module_size_bytes=1,
        input_size_bytes=1,
        gas_max=10,
        memory_bytes_max=1 << 20,
        wall_ms_max=1000,
        output_bytes_max=10,
        assurance=Assurance.NONE,
        replicas=1,
        price_msat_per_mgas=1,
    )


def admit(number: int) -> BodiesProposed:
    until_ms = START_MS + 3_600_000
    admit = Admit(nonce=bytes([number]), spec=spec(number), until_ms=until_ms)
    return BodiesProposed((admit,))


def is_told(entry: object, kind: str) -> bool:
    return isinstance(entry, Told) and type(entry.event).__name__ == kind


async def run_until(
    store: NotingStore,
    where: Path,
    journal: list[object],
    wanted: int,
    clock: Clock | None = None,
    *,
    signed_alone: bool = False,
) -> LedgerState:
    """Run a node on a store, propose tasks together, and stop when all are admitted."""
    genesis, seed = found_cluster(where)
    clock = clock or Clock()
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        node = node_on(store, writer, genesis, seed)
        pump = Pump(node, clock, writer)
        seen = trio.Event()

        def perform(effect: NodeEffect) -> None:
            assert not isinstance(effect, Persist)
            journal.append(effect)
            admitted = [each for each in journal if is_told(each, "TaskAdmitted")]
            if len(admitted) == wanted:
                seen.set()

        for number in range(wanted):
            proposed = admit(number)
            if signed_alone:
                record = sign_record(signer_of(seed, genesis), proposed.bodies[0])
                await pump.post(RecordOffered(record))
            else:
                await pump.post(proposed)
        nursery.start_soon(pump.run, perform, [Started()])
        with trio.fail_after(60):
            while not seen.is_set():
                clock.ms += 50
                await trio.sleep(0)
        nursery.cancel_scope.cancel()
    return node.ledger


async def test_a_decision_is_told_only_after_its_block_is_durable(tmp_path: Path) -> None:
    journal: list[object] = []
    await run_until(NotingStore(journal), tmp_path / "c", journal, 3)
    durable = 0
    for entry in journal:
        if isinstance(entry, tuple):
            heads = [w for w in entry if isinstance(w, Put) and w.table is StoreTable.COMMITTED]
            durable = max([durable, *(int.from_bytes(w.key, "big") for w in heads)])
        elif isinstance(entry, Told):
            assert entry.index <= durable
    assert durable > 0


async def test_events_that_wait_together_are_one_transaction(tmp_path: Path) -> None:
    journal: list[object] = []
    await run_until(NotingStore(journal), tmp_path / "c", journal, 5)
    told = [each.index for each in journal if is_told(each, "TaskAdmitted")]
    # They come into the log together, so they share a block.
    assert (len(told), len(set(told))) == (5, 1)
    before = journal[: journal.index(next(e for e in journal if is_told(e, "TaskAdmitted")))]
    assert len([each for each in before if isinstance(each, tuple)]) <= 4, "not one write a task"


async def test_what_an_owner_proposes_at_once_is_signed_at_once(tmp_path: Path) -> None:
    ledger = await run_until(NotingStore([]), tmp_path / "c", [], 5)
    signatures = [entry.admit_signature for _, entry in ledger.tasks()]
    assert len(signatures) == 5
    assert len({signature[:SIGNATURE_BYTES] for signature in signatures}) == 1
    assert len(set(signatures)) == 5


class Passing(Clock):
    """Time that passes with every look at it, as it does for a busy node."""

    def __call__(self) -> int:
        self.ms += SLICE_MS // 2 + 1
        return self.ms


async def test_what_is_to_leave_does_not_wait_for_all_that_has_arrived(tmp_path: Path) -> None:
    journal: list[object] = []
    await run_until(NotingStore(journal), tmp_path / "c", journal, 8, Passing(), signed_alone=True)
    told = [each.index for each in journal if is_told(each, "TaskAdmitted")]
    assert len(set(told)) > 2, "some were decided while others waited to be handled"


async def test_a_restarted_node_has_the_ledger_the_log_and_the_blocks_it_wrote(
    tmp_path: Path,
) -> None:
    journal: list[object] = []
    store = NotingStore(journal)
    ledger = await run_until(store, tmp_path / "c", journal, 4)
    # The store was closed at the end; a copy is what lies on the disk.
    disk = store.copy()
    disk.write(writes_of(PersistTelemetryEpoch(7)) or [])
    genesis = ledger.genesis
    back = recover(disk, genesis)
    assert back.ledger.root == ledger.root
    assert back.ledger.applied_index == ledger.applied_index
    assert back.ledger.items() == ledger.items()
    assert back.telemetry_epoch == 7
    assert back.log is not None
    assert back.log.head is not None
    assert back.log.head.index == ledger.applied_index
    assert all(block.header.index > ledger.applied_index for block in back.log.tail)
    async with StoreWriter(disk) as writer:
        blocks = StoredBlocks(writer).committed(1, 1000)
        assert [each.header.index for each in blocks] == list(range(1, ledger.applied_index + 1))
        assert len(StoredBlocks(writer).committed(1, 2)) == 2


async def test_an_observers_store_gives_its_head_back_without_a_safety_state(
    tmp_path: Path,
) -> None:
    journal: list[object] = []
    store = NotingStore(journal)
    ledger = await run_until(store, tmp_path / "c", journal, 1)
    disk = store.copy()
    disk._tables[StoreTable.SAFETY].clear()
    back = recover(disk, ledger.genesis)
    assert back.log is not None
    assert back.log.safety is None
    assert back.log.head is not None
    assert back.log.head.index == ledger.applied_index


async def test_blocks_that_lost_are_deleted_at_the_next_start(tmp_path: Path) -> None:
    journal: list[object] = []
    store = NotingStore(journal)
    ledger = await run_until(store, tmp_path / "c", journal, 1)
    written = [w for entry in journal if isinstance(entry, tuple) for w in entry]
    block = next(w for w in written if isinstance(w, Put) and w.table is StoreTable.BLOCK)
    disk = store.copy()
    disk.write([block])
    recover(disk, ledger.genesis)
    assert disk.get(StoreTable.BLOCK, block.key) is None


async def test_rows_that_do_not_fit_together_are_an_error_that_says_what_to_do(
    tmp_path: Path,
) -> None:
    journal: list[object] = []
    store = NotingStore(journal)
    ledger = await run_until(store, tmp_path / "c", journal, 1)
    for spoil in (
        lambda disk: disk._tables[StoreTable.COMMITTED].pop(index_key(ledger.applied_index)),
        lambda disk: disk._tables[StoreTable.LEDGER].update({b"\xff": b"x"}),
        lambda disk: disk._tables[StoreTable.LEDGER].update({b"": b"x"}),
        lambda disk: disk._tables[StoreTable.LOCAL].update({b"head": b"\xc1"}),
        lambda disk: disk._tables[StoreTable.SAFETY].update({b"safety": b"\xc0"}),
    ):
        disk = store.copy()
        spoil(disk)
        with pytest.raises(StoreError, match="move the data directory away"):
            recover(disk, ledger.genesis)


async def test_an_empty_store_is_the_genesis(tmp_path: Path) -> None:
    genesis, _ = found_cluster(tmp_path / "c")
    back = recover(MemoryStore(), genesis)
    assert (back.log, back.telemetry_epoch, back.ledger.applied_index) == (None, 0, 0)


class FillingStore(MemoryStore):
    is_full = False

    def write(self, batch: tuple[Write, ...]) -> None:
        if self.is_full:
            raise StoreError("the disk is full")
        super().write(batch)


async def test_a_failed_write_ends_the_pump_before_anything_leaves(tmp_path: Path) -> None:
    genesis, seed = found_cluster(tmp_path / "c")
    store = FillingStore()
    left: list[NodeEffect] = []
    async with StoreWriter(store) as writer:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)
        store.is_full = True
        await pump.post(FrameReceived(NodeId(b"x" * 32), b"\x09"))
        with pytest.raises(StoreError, match="full"):
            await pump.run(left.append, [Started()])
    assert left == []


@pytest.mark.parametrize("may_vote", [False, True])
async def test_that_a_key_never_votes_is_kept_before_what_told_so_and_that_it_votes_after(
    tmp_path: Path, *, may_vote: bool
) -> None:
    """What told so may be a block, which is not written again after a stop in between."""
    genesis, seed = found_cluster(tmp_path / "c")
    journal: list[object] = []
    store, told = NotingStore(journal), PersistTelemetryEpoch(7)
    decided = VoteDecided(may_vote=may_vote)
    async with StoreWriter(store) as writer:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)
        journal.clear()
        await pump._carry_out([decided, told], journal.append)
        assert len(journal) == 2
        assert journal.index(decided) == (1 if may_vote else 0)


async def test_a_full_disk_lets_nobody_forget_that_a_key_never_votes(tmp_path: Path) -> None:
    genesis, seed = found_cluster(tmp_path / "c")
    store, decided = FillingStore(), VoteDecided(may_vote=False)
    done: list[NodeEffect] = []
    async with StoreWriter(store) as writer:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)
        store.is_full = True
        with pytest.raises(StoreError, match="full"):
            await pump._carry_out([decided, PersistTelemetryEpoch(7)], done.append)
    assert done == [decided]


async def test_a_poster_waits_while_too_much_waits_already(tmp_path: Path) -> None:
    genesis, seed = found_cluster(tmp_path / "c")
    store = MemoryStore()
    async with StoreWriter(store) as writer:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)
        posted = 0
        with trio.move_on_after(60) as patience:
            async with trio.open_nursery() as nursery:

                async def post() -> None:
                    nonlocal posted
                    while True:
                        await pump.post(Started())
                        posted += 1

                nursery.start_soon(post)
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
        assert not patience.cancelled_caught
        assert posted == 2048


async def test_a_pump_without_events_ticks_and_does_not_spin(tmp_path: Path) -> None:
    genesis, seed = found_cluster(tmp_path / "c")
    store, clock = MemoryStore(), Clock()
    async with StoreWriter(store) as writer:
        node = node_on(store, writer, genesis, seed)
        pump = Pump(node, clock, writer)
        pump._handle_some(deque([Started()]))
        for _ in range(100):
            clock.ms += 50
            _, due_ms = pump._handle_some(deque())
            assert due_ms > clock.ms
            due_again_ms = pump._handle_some(deque())[1]
            assert due_again_ms == due_ms, "what is due comes no later for a look at nothing"


@pytest.mark.parametrize("is_gossip", [False, True])
async def test_what_peers_say_waits_with_their_links_while_the_disk_is_slow(
    tmp_path: Path, *, is_gossip: bool
) -> None:
    """A pump that is held takes no more bytes than its bound, and goes on with all of them."""
    store = MemoryStore()
    genesis, seed = found_cluster(tmp_path / "c")
    peer, size_bytes, count = NodeId(bytes(32)), INBOX_BYTES_MAX // 4, 20
    data = b"\x09" + bytes(size_bytes - 1)  # a frame of an unknown kind: it costs nothing to handle
    kind = GossipReceived if is_gossip else FrameReceived
    posted, are_all_posted = 0, trio.Event()
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)

        async def link() -> None:
            nonlocal posted
            for _ in range(count):
                await pump.post(kind(peer, data))
                posted += 1
            are_all_posted.set()

        nursery.start_soon(link)
        await trio.testing.wait_all_tasks_blocked()
        assert posted * size_bytes == INBOX_BYTES_MAX
        with trio.fail_after(1):
            await pump.post(admit(1))  # what is not of peers' bytes has its own bound
        nursery.start_soon(pump.run, lambda _: None, [Started()])
        with trio.fail_after(60):
            await are_all_posted.wait()
        nursery.cancel_scope.cancel()


async def test_few_frames_wait_and_what_the_owner_wants_has_its_own_room(tmp_path: Path) -> None:
    """The rest waits with its links, where who sends thousands has a turn like everybody."""
    genesis, seed = found_cluster(tmp_path / "c")
    store, posted = MemoryStore(), 0
    async with StoreWriter(store) as writer, trio.open_nursery() as nursery:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)

        async def flood() -> None:
            nonlocal posted
            while True:
                await pump.post(FrameReceived(NodeId(bytes(32)), b""))
                posted += 1

        nursery.start_soon(flood)
        await trio.testing.wait_all_tasks_blocked()
        assert posted == INBOX_FRAMES_MAX
        with trio.fail_after(5):
            await pump.post(admit(1))
        nursery.cancel_scope.cancel()


async def test_a_frame_above_the_pumps_bound_is_taken_when_nothing_else_waits(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    genesis, seed = found_cluster(tmp_path / "c")
    async with StoreWriter(store) as writer:
        pump = Pump(node_on(store, writer, genesis, seed), Clock(), writer)
        with trio.fail_after(5):
            await pump.post(FrameReceived(NodeId(bytes(32)), bytes(INBOX_BYTES_MAX + 1)))
