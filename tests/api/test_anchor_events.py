"""A node that sends an anchor tells its owner the transaction and what it carries."""

from pathlib import Path

import pytest

from ambientd.api.client import Client
from ambientd.api.cluster import ClusterPlan
from ambientd.api.embedded_chain import stop_embedded_chain
from ambientd.api.operations import ANCHOR_STATUS, EVENTS, TASK_SUBMIT
from ambientd.api.requests import FollowEvents, GetAnchors, SubmitTask
from ambientd.config.places import socket_path_for
from ambientd.model.genesis import Rules
from tests.mesh.cluster import Cluster
from tests.modules.compiled import module

pytestmark = [pytest.mark.mesh, pytest.mark.net, pytest.mark.slow]


def test_events_show_the_transaction_and_its_op_return(tmp_path: Path) -> None:
    plan = ClusterPlan(block_interval_ms=100, rules=Rules(batch_ms=100))
    cluster = Cluster(tmp_path / "mesh", 1, plan)
    (daemon,) = cluster.daemons
    try:
        cluster.start()
        with Client(socket_path_for(daemon.data_dir)) as listener:
            events = listener.stream(EVENTS, FollowEvents())
            ask = SubmitTask(module=module("echo"), input=b"x", gas_max=10**5, assurance="none")
            kinds = {}
            daemon.ask(TASK_SUBMIT, ask)
            for event in events:
                kinds[event.kind] = event
                if event.kind == "anchor_confirmed":
                    break
        sent, confirmed = kinds["anchor_sent"], kinds["anchor_confirmed"]
        root = str(sent.fields["root"])
        assert sent.fields["op_return"] == b"AMB1".hex() + root
        assert (root, sent.fields["txid"]) == (confirmed.fields["root"], confirmed.fields["txid"])
        (anchor,) = daemon.ask(ANCHOR_STATUS, GetAnchors()).anchors
        assert (anchor.txid, anchor.op_return) == (sent.fields["txid"], sent.fields["op_return"])
    finally:
        cluster.stop()
        assert stop_embedded_chain(cluster.root / "chain")
