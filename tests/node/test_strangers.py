"""Records of keys that the cluster does not know never enter a node's pool."""

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_record
from ambientd.model.base import TaskId
from ambientd.model.record import Cancel
from ambientd.node.build import record_gate
from tests.ledger.cluster import TestCluster


def test_a_record_of_an_invented_key_is_kept_out_and_a_nodes_own_is_not() -> None:
    cluster = TestCluster()
    may_enter = record_gate(cluster.state)
    body = Cancel(task=TaskId(bytes(32)))
    stranger = Signer(b"s" * 32, cluster.id)
    assert not may_enter(encode(sign_record(stranger, body)))
    assert may_enter(encode(sign_record(cluster.signer(0), body)))


def test_bytes_that_are_no_record_are_left_to_the_validity_check() -> None:
    assert record_gate(TestCluster().state)(b"\xc1garbage")
