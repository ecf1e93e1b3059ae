from ambientd.codec.statements import sign_record
from ambientd.ledger import tasks
from ambientd.ledger.assigning import SAMPLE_NODES
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import NodeEntry, Table
from ambientd.model.base import NodeId
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit
from tests.ledger.cluster import START_MS, UNTIL_MS, TestCluster, profile, spec


class CountingDraft(Draft):
    looks = 0

    def node(self, node: NodeId) -> NodeEntry | None:
        self.looks += 1
        return super().node(node)


def test_a_slot_looks_at_a_sample_of_nodes_however_many_there_are_and_all_busy() -> None:
    cluster = TestCluster()
    busy = NodeEntry(profile=profile("guest"), is_member=False, open_slots=8)
    guests = {(Table.NODE, number.to_bytes(32, "big")): busy for number in range(5_000)}
    cluster.state.commit(0, guests, cluster.state.tree.updated(guests))
    context = BlockContext(index=1, term=1, time_ms=START_MS, beacon=bytes(32))
    draft = CountingDraft(cluster.state, cluster.state, context)
    body = Admit(nonce=b"n", spec=spec(replicas=8), until_ms=UNTIL_MS)
    assert tasks.admit(draft, sign_record(cluster.signer(0), body), body) is None
    assert SAMPLE_NODES <= draft.looks < 8 * 3 * SAMPLE_NODES


def test_a_lease_leaves_time_to_make_a_large_module_ready() -> None:
    ends = []
    for size_bytes in (100, 6_000_000):
        cluster = TestCluster(rules=Rules(lease_ms=1_000))
        entry = cluster.task(cluster.admit(module_size_bytes=size_bytes))
        ends.append(entry.slots[0].deadline_ms - cluster.state.meta.time_ms)
    assert ends == [2_000, 2_000 + 46_875]
