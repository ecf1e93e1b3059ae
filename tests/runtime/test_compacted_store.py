"""A node whose log is compacted can be cut off between any two of its writes."""

from collections.abc import Sequence

import pytest

from ambientd.codec.canonical import decode, encode
from ambientd.errors import StoreError
from ambientd.ledger.entries import Table
from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.genesis import Genesis
from ambientd.ports.store import Delete, Put, Store, StoreTable, Write
from ambientd.runtime.persistence import HEAD_KEY, HeadRow, StoredBlocks, index_key, recover
from sim.node_store import CommittedRows
from tests.fakes.memory_store import MemoryStore
from tests.node.cluster import Cluster
from tests.node.test_compaction import compacted, work

Batches = list[Sequence[Write]]


def noted(store: MemoryStore) -> tuple[MemoryStore, Batches]:
    """Give what a store holds now, and a list of the batches that are written from now on."""
    before, batches, write = store.copy(), [], store.write

    def write_and_note(batch: Sequence[Write]) -> None:
        batches.append(tuple(batch))
        write(batch)

    store.write = write_and_note  # type: ignore[method-assign]
    return before, batches


def check_recovery(store: Store, genesis: Genesis) -> int:
    """Recover from what a store holds; give where the log begins."""
    found = recover(store, genesis)
    first = found.kept.first_block
    blocks: StoredBlocks = CommittedRows(store).blocks()
    head = found.ledger.applied_index
    assert len(blocks.committed(first, head)) == head - first + 1
    if first > 1:
        assert blocks.committed(first - 1, 1) == []
        newest = blocks.snapshot()
        assert newest is not None
        assert newest.index >= first - 1
        assert all(blocks.page(digest) for _, digest in newest.pages)
    return first


def check_every_cut(cluster: Cluster, store: MemoryStore, batches: Batches) -> set[int]:
    """Recover after each batch; give where the log began."""
    begins = set()
    for batch in batches:
        store.write(batch)
        begins.add(check_recovery(store.copy(), cluster.genesis))
    return begins


def test_a_node_that_compacts_its_log_recovers_after_any_of_its_writes() -> None:
    cluster = compacted(above=0)
    store = cluster.hosts[0].store
    assert isinstance(store, MemoryStore)
    before, batches = noted(store)
    while len({tuple(b) for b in batches if any(deletes_blocks(w) for w in b)}) < 3:
        work(cluster, 1)
    assert len(check_every_cut(cluster, before, batches)) > 3


def deletes_blocks(write: Write) -> bool:
    return isinstance(write, Delete) and write.table is StoreTable.COMMITTED


def leapt(cluster: Cluster) -> tuple[MemoryStore, Batches]:
    """Let the node that was away take a state over; note what it has, and all it writes."""
    late = cluster.hosts[3]
    store = late.store
    assert isinstance(store, MemoryStore)
    before, batches = noted(store)
    cluster.world.start(late.key)
    cluster.until(lambda: late.ledger.applied_index >= cluster.ledger(0).applied_index)
    return before, batches


def test_a_node_that_goes_over_to_another_state_recovers_after_any_of_its_writes() -> None:
    cluster = compacted()
    before, batches = leapt(cluster)
    work(cluster, 2)
    begins = check_every_cut(cluster, before, batches)
    assert 1 in begins
    assert max(begins) > 16
    [leap] = [batch for batch in batches if any(deletes_blocks(write) for write in batch)][:1]
    kinds = {write.table for write in leap if isinstance(write, Put)}
    assert {StoreTable.LEDGER, StoreTable.PAGE, StoreTable.COMMITTED} <= kinds
    assert Delete(StoreTable.COMMITTED, index_key(1)) in leap


def test_rows_of_a_version_to_come_are_refused() -> None:
    cluster = Cluster()
    work(cluster, 1)
    store = cluster.hosts[0].store
    row: HeadRow = decode(store.get(StoreTable.LOCAL, HEAD_KEY), HeadRow)
    later = encode((*row[:3], KNOWN_VERSION + 1))
    store.write([Put(StoreTable.LOCAL, HEAD_KEY, later)])
    with pytest.raises(StoreError, match=f"version {KNOWN_VERSION + 1}, this program knows"):
        recover(store, cluster.genesis)


def test_a_ledger_that_lacks_an_entry_is_noticed() -> None:
    cluster = Cluster()
    work(cluster, 1)
    store = cluster.hosts[0].store
    task = bytes([Table.TASK])
    [(key, _)] = list(store.scan(StoreTable.LEDGER, task, bytes([Table.TASK + 1])))
    store.write([Delete(StoreTable.LEDGER, key)])
    with pytest.raises(StoreError, match="do not make the state after block"):
        recover(store, cluster.genesis)
