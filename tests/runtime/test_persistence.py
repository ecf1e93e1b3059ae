"""What a commit makes durable, and what it clears away."""

from ambientd.consensus.block_tree import BlockTree, derive
from ambientd.consensus.messages import block_hash
from ambientd.node.effect import PersistLedger
from ambientd.ports.store import Delete, StoreTable
from ambientd.runtime.persistence import writes_of
from tests.consensus.bench import Bench, record


def test_the_rows_of_blocks_that_lost_against_a_commit_are_deleted_with_it() -> None:
    bench = Bench(4)
    tree = BlockTree(bench.committee, bench.genesis, None, ())
    first = bench.block(1, 0, bench.genesis)
    loser = bench.block(1, 0, bench.genesis, record("loser"))
    second = bench.block(1, 0, bench.qc(first, 0, 1, 2))
    for block in (first, loser, second):
        tree.blocks[block_hash(block.header)] = derive(block, block_hash(block.header))
    child = tree.blocks[block_hash(second.header)]
    committed = tree.commit(child, bench.qc(second, 0, 1, 2))
    assert committed is not None
    writes = writes_of(PersistLedger(committed, {}, b"r" * 32, 1))
    assert writes is not None
    deleted = [w.key for w in writes if isinstance(w, Delete) and w.table is StoreTable.BLOCK]
    assert deleted == [block_hash(first.header), block_hash(loser.header)]
