"""Who breaks the transport's own protocols is kept out for a while, as who breaks the others is."""

from pathlib import Path

import pytest
import trio
from structlog.testing import capture_logs

from ambientd.model.base import NodeId
from ambientd.node.effect import AllowNodes
from ambientd.runtime import performer as module
from ambientd.runtime.service import hear_of_peers
from tests.adapters.libp2p.support import node
from tests.ports.transport_contract import NODES, at, until_connected, until_lost
from tests.runtime.test_performer import bench

pytestmark = pytest.mark.net

FAULTS, BAN_S = 3, 2.0


async def test_who_breaks_frames_is_banned_after_so_many_and_let_in_when_that_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FAULTS_A_BAN", FAULTS)
    monkeypatch.setattr(module, "BAN_S", BAN_S)
    too_much = bytes(1_001)
    async with (
        node(0, backoff_max_s=0.2) as guest,
        node(1, frame_bytes_max=len(too_much) - 1) as host,
        bench(tmp_path, wire=host) as place,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hear_of_peers, host, place.inbox, place.performer)
        place.performer(AllowNodes(frozenset(map(NodeId, NODES[:2]))))
        guest.set_peers([at(host.address, host.node_id)])
        with capture_logs() as lines, trio.fail_after(60):
            for _ in range(FAULTS):
                assert not is_kept_out(lines)
                await until_connected(guest, host.node_id)
                since_s = trio.current_time()
                assert guest.send(host.node_id, too_much)
                await until_lost(guest, host.node_id)
            while not is_kept_out(lines):
                await trio.sleep(0.01)
            await until_connected(guest, host.node_id)
            assert trio.current_time() - since_s >= BAN_S
        assert place.performer.counters.faults == {guest.node_id: FAULTS}
        nursery.cancel_scope.cancel()


def is_kept_out(lines: list[dict[str, object]]) -> bool:
    return any(line["event"] == "peer is kept out" for line in lines)
