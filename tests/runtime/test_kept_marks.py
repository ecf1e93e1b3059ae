"""What a worker has said of a long execution is on its disk before anybody else has it."""

from pathlib import Path

from msgspec.structs import replace

from ambientd.model.effect import PersistMark
from ambientd.node.effect import NodeEffect
from ambientd.runtime.persistence import recover, writes_of
from tests.fakes.memory_store import MemoryStore
from tests.ledger.test_marks import MARKED, cluster_of, mark_of
from tests.runtime.support import found_cluster


def test_each_slots_last_mark_is_there_after_a_start_until_its_slot_is_out_of_hand(
    tmp_path: Path,
) -> None:
    genesis, _ = found_cluster(tmp_path)
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    first, later = (mark_of(cluster, task, gas) for gas in (1_000_000, 2_000_000))
    other = replace(first, slot=1)
    store = MemoryStore()

    def keep(effect: NodeEffect) -> None:
        writes = writes_of(effect)
        assert writes is not None
        store.write(writes)

    assert recover(store, genesis).marks == ()
    for mark in (first, other, later):
        keep(PersistMark(task, mark.slot, mark))
    assert recover(store, genesis).marks == (later, other)
    keep(PersistMark(task, 0, None))
    keep(PersistMark(task, 0, None))
    assert recover(store, genesis).marks == (other,)
