"""Backups taken while a store goes on, and what a restoration believes."""

import hashlib
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from ambientd.adapters.copy_folder import CopyFolder
from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import fingerprint
from ambientd.consensus.messages import Append, QuorumCertificate, Snapshot
from ambientd.errors import StoreError, UsageError
from ambientd.ledger.state import LedgerState
from ambientd.model.record import SeatWish
from ambientd.node.compaction import LogOptions
from ambientd.ports.store import Delete, Store, StoreTable
from ambientd.runtime import backup
from ambientd.runtime.backup import read_rows, write_backup
from ambientd.runtime.persistence import HEAD_KEY, HeadRow, index_key, recover
from ambientd.runtime.restoring import TELEMETRY_EPOCHS_AHEAD, restore
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster

T = TypeVar("T")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """Four members that finished three tasks."""
    cluster = Cluster()
    for _ in range(3):
        cluster.until_closed(cluster.submit())
    cluster.run(2_000)
    return cluster


def kept(cluster: Cluster) -> MemoryStore:
    store = cluster.hosts[0].store
    assert isinstance(store, MemoryStore)
    return store.copy()


async def written(writer: StoreWriter, cluster: Cluster, path: Path) -> backup.Manifest:
    place = CopyFolder(path.parent)
    manifest, _ = await write_backup(writer, fingerprint(cluster.genesis), place, path.name)
    return manifest


@pytest.fixture
async def saved(cluster: Cluster, tmp_path: Path) -> Path:
    path = tmp_path / "node.backup"
    async with StoreWriter(kept(cluster)) as writer:
        await written(writer, cluster, path)
    return path


async def test_a_restored_node_has_the_same_blocks_and_the_same_state(
    cluster: Cluster, saved: Path, tmp_path: Path
) -> None:
    before = kept(cluster)
    store = SqliteStore(tmp_path / "node.db")
    done = restore(saved, store, cluster.genesis)
    ledger = recover(before, cluster.genesis).ledger
    assert (done.height, done.root) == (ledger.applied_index, ledger.root)
    assert done.height > 10
    for table in (StoreTable.LEDGER, StoreTable.COMMITTED):
        assert dict(store.scan(table)) == dict(before.scan(table))
    assert store.get(StoreTable.LOCAL, HEAD_KEY) == before.get(StoreTable.LOCAL, HEAD_KEY)
    store.close()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


async def test_a_restored_key_has_no_votes_and_no_telemetry_epoch_twice(
    cluster: Cluster, saved: Path
) -> None:
    before, store = kept(cluster), MemoryStore()
    assert list(before.scan(StoreTable.SAFETY)), "the member has voted"
    restore(saved, store, cluster.genesis)
    found = recover(store, cluster.genesis)
    assert found.log is not None
    assert found.log.safety is None
    was = recover(before, cluster.genesis).telemetry_epoch
    assert found.telemetry_epoch == was + TELEMETRY_EPOCHS_AHEAD


async def test_a_restoration_stops_at_the_height_that_was_asked_for(
    cluster: Cluster, saved: Path
) -> None:
    before = kept(cluster)
    top = recover(before, cluster.genesis).ledger.applied_index
    blocks = {key for key, _ in before.scan(StoreTable.COMMITTED)}
    roots = {}
    for height in (0, 1, top // 2, top - 1, top):
        store = MemoryStore()
        done = restore(saved, store, cluster.genesis, height)
        assert height - 2 <= done.height <= height
        found = recover(store, cluster.genesis)
        assert found.ledger.applied_index == done.height
        assert {key for key, _ in store.scan(StoreTable.COMMITTED)} == {
            key for key in blocks if key <= index_key(done.height)
        }
        roots[done.height] = found.ledger.root
    assert len(set(roots.values())) > 2
    assert roots[0] == LedgerState.from_genesis(cluster.genesis).root
    with pytest.raises(UsageError, match=f"not to {top + 1}: use a newer backup"):
        restore(saved, MemoryStore(), cluster.genesis, top + 1)


async def test_a_restored_node_follows_the_cluster_to_its_head(
    cluster: Cluster, saved: Path
) -> None:
    store = MemoryStore()
    top = restore(saved, store, cluster.genesis).height
    restore(saved, half := MemoryStore(), cluster.genesis, top // 2)
    head = half.get(StoreTable.LOCAL, HEAD_KEY)
    assert head is not None
    block = decode(head, HeadRow)[0]
    following: Append = decode(store.get(StoreTable.COMMITTED, index_key(block.index + 1)), Append)
    assert following.header.parent_hash == block.hash == block.qc.hash


@pytest.mark.parametrize("data", [b"# Ambient\n" * 9, b"\0" * 90])
def test_what_is_no_backup_is_called_that(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(data)
    with pytest.raises(StoreError, match=r"README.md is no backup that this version can read"):
        next(read_rows(file))


async def test_every_flipped_row_is_named(cluster: Cluster, saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    hurt = tmp_path / "hurt"
    place, number = 0, 0
    while place < len(whole) - 32:
        size = int.from_bytes(whole[place : place + 4], "big")
        flipped = bytearray(whole)
        flipped[place + 20 + size // 2] ^= 4
        hurt.write_bytes(flipped)
        with pytest.raises(StoreError, match=rf"row {number} of .*hurt is damaged"):
            list(read_rows(hurt))
        hurt.write_bytes(whole[: place + 20])
        with pytest.raises(StoreError, match=rf"hurt ends within its row {number}"):
            list(read_rows(hurt))
        place, number = place + 20 + size, number + 1
    assert number == len(list(read_rows(saved)))
    hurt.write_bytes(whole[:-1])
    with pytest.raises(StoreError, match=r"the end of .*hurt is damaged"):
        list(read_rows(hurt))


def rewritten(source: Path, target: Path, rows: dict[int, bytes | None]) -> Path:
    """Write a backup whose own checks hold, with other rows."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for number, row in enumerate(read_rows(source)):
            chosen = rows.get(number, row)
            if chosen is not None:
                file.write(backup._framed(digest, number, chosen))
        file.write(digest.digest())
    return target


async def test_a_forged_backup_is_refused(cluster: Cluster, saved: Path, tmp_path: Path) -> None:
    rows = list(read_rows(saved))
    appends = [decode(row, Append) for row in rows[1:]]
    number = next(n for n, append in enumerate(appends) if append.records)
    block = appends[number]
    without = encode(Append(block.header, block.qc, block.tc, (), block.signature))
    forged = rewritten(saved, tmp_path / "forged", {number + 1: without})
    with pytest.raises(StoreError, match="records are not those of its header"):
        restore(forged, MemoryStore(), cluster.genesis)
    swapped = rewritten(saved, tmp_path / "swapped", {2: rows[3], 3: rows[2]})
    with pytest.raises(StoreError, match="does not follow from the block before"):
        restore(swapped, MemoryStore(), cluster.genesis)
    late = len(appends) // 2
    block = appends[late]
    unsigned = QuorumCertificate(block.qc.position, block.qc.parent_term, block.qc.hash, ())
    bare = encode(Append(block.header, unsigned, block.tc, block.records, block.signature))
    stripped = rewritten(saved, tmp_path / "bare", {late + 1: bare})
    with pytest.raises(StoreError, match=r"certificate over block [0-9]+ does not hold"):
        restore(stripped, MemoryStore(), cluster.genesis)


async def test_what_cannot_be_restored_says_why(
    cluster: Cluster, saved: Path, tmp_path: Path
) -> None:
    store = MemoryStore()
    restore(saved, store, cluster.genesis)
    with pytest.raises(UsageError, match="not empty"):
        restore(saved, store, cluster.genesis)
    other = Cluster(members=1)
    with pytest.raises(UsageError, match="of another cluster"):
        restore(saved, MemoryStore(), other.genesis)
    async with StoreWriter(MemoryStore()) as writer:
        with pytest.raises(UsageError, match="nothing to back up"):
            await write_backup(writer, b"c" * 32, CopyFolder(tmp_path), "empty")
    before = saved.read_bytes()
    async with StoreWriter(kept(cluster)) as writer:
        with pytest.raises(UsageError, match="exists already and is not overwritten"):
            await write_backup(writer, b"c" * 32, CopyFolder(saved.parent), saved.name)
        with pytest.raises(StoreError, match="cannot write the backup"):
            await write_backup(writer, b"c" * 32, CopyFolder(tmp_path / "none"), "x")
    assert saved.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["node.backup"]


@pytest.fixture(scope="module")
def compacted() -> Cluster:
    """Four members that have deleted blocks, in the second epoch."""
    cluster = Cluster(guests=1, log=LogOptions(snapshot_blocks=8, kept_blocks=10), checked=False)
    cluster.join(0)
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    while not recover(kept(cluster), cluster.genesis).kept.first_block > 20:
        cluster.until_closed(cluster.submit())
    cluster.run(2_000)
    return cluster


def check_told(told: list[tuple[int, int]]) -> None:
    """Check that what was told grows to all that there is, of which the first word is right."""
    assert told == sorted(told)
    assert {total for _, total in told} == {told[-1][0]}


async def test_a_backup_of_a_compacted_log_restores_from_its_snapshot_on(
    compacted: Cluster, tmp_path: Path
) -> None:
    before, path = kept(compacted), tmp_path / "node.backup"
    told: list[tuple[int, int]] = []

    def note(done: int, total: int) -> None:
        told.append((done, total))

    async with StoreWriter(before.copy()) as writer:
        place = CopyFolder(path.parent)
        manifest, _ = await write_backup(
            writer, fingerprint(compacted.genesis), place, path.name, told=note
        )
    check_told(told)
    was = recover(before, compacted.genesis)
    assert manifest.base == was.kept.snapshots[0].index
    store = SqliteStore(tmp_path / "node.db")
    told.clear()
    done = restore(path, store, compacted.genesis, told=note)
    check_told(told)
    again = recover(store, compacted.genesis)
    assert (done.height, done.root) == (was.ledger.applied_index, was.ledger.root)
    assert again.kept.snapshots == was.kept.snapshots[:1]
    assert again.kept.first_block == manifest.base
    assert store.get(StoreTable.LOCAL, HEAD_KEY) == before.get(StoreTable.LOCAL, HEAD_KEY)
    assert again.ledger.items() == was.ledger.items()
    store.close()
    middle = (manifest.base + manifest.height) // 2
    assert manifest.base <= restore(path, MemoryStore(), compacted.genesis, middle).height <= middle
    reason = f"reaches from block {manifest.base} to {manifest.height}"
    with pytest.raises(UsageError, match=reason):
        restore(path, MemoryStore(), compacted.genesis, manifest.base - 1)


class CountedPages(MemoryStore):
    """Counts the pages that it is asked for."""

    def __init__(self, rows: MemoryStore) -> None:
        super().__init__()
        self._tables = rows.copy()._tables
        self.pages = 0

    def get(self, table: StoreTable, key: bytes) -> bytes | None:
        """Count a page."""
        self.pages += table is StoreTable.PAGE
        return super().get(table, key)


async def test_no_more_pages_than_a_portion_are_read_while_the_node_waits(
    compacted: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PORTION", 1)
    store, at_once = CountedPages(kept(compacted)), []

    class Asked(StoreWriter):
        async def call(self, action: Callable[[Store], T]) -> T:
            """Note how many pages one question reads."""
            found = await super().call(action)
            at_once.append(store.pages - sum(at_once))
            return found

    async with Asked(store) as writer:
        manifest = await written(writer, compacted, tmp_path / "node.backup")
    assert manifest.pages > 1
    assert sum(at_once) == manifest.pages
    assert max(at_once) == 1


async def test_a_page_that_is_gone_amid_a_copy_leaves_none(
    compacted: Cluster, tmp_path: Path
) -> None:
    store = kept(compacted)
    digest = recover(store, compacted.genesis).kept.snapshots[0].pages[-1][1]
    store.write([Delete(StoreTable.PAGE, digest)])
    async with StoreWriter(store) as writer:
        with pytest.raises(StoreError, match="pages are gone by now: try again"):
            await written(writer, compacted, tmp_path / "node.backup")
    assert list(tmp_path.iterdir()) == []


async def test_a_forged_snapshot_in_a_backup_is_refused(compacted: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "node.backup"
    async with StoreWriter(kept(compacted)) as writer:
        manifest, _ = await write_backup(
            writer, fingerprint(compacted.genesis), CopyFolder(path.parent), path.name
        )
    rows = list(read_rows(path))
    place = 1 + manifest.ends
    snapshot = decode(rows[place], Snapshot)
    unsigned = [
        (header, QuorumCertificate(qc.position, qc.parent_term, qc.hash, ()))
        for header, qc in snapshot.links
    ]
    forged = encode(replace(snapshot, links=tuple(unsigned)))
    swapped = {place + 1: rows[place + 2], place + 2: rows[place + 1]}
    for name, changed in (("bare", {place: forged}), ("swapped", swapped)):
        file = rewritten(path, tmp_path / name, changed)
        with pytest.raises(StoreError, match="the snapshot proves nothing"):
            restore(file, MemoryStore(), compacted.genesis)
