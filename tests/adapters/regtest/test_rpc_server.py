"""Connections of a bounded life."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.regtest.esplora_paths import EsploraPaths
from ambientd.adapters.regtest.node import RegtestNode
from ambientd.adapters.regtest.rpc_methods import RpcFault, RpcMethods
from ambientd.adapters.regtest.rpc_server import RpcServer

pytestmark = pytest.mark.net


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RegtestNode]:
    opened = RegtestNode(tmp_path)
    yield opened
    opened.close()


def test_a_connection_that_lives_too_long_is_cut(
    node: RegtestNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RpcServer(0, RpcMethods(node, lambda: None), EsploraPaths(node), "password") as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        kept.request("POST", "/", b"{}", {"Authorization": server.authorization.decode()})
        assert kept.getresponse().read()
        server.close_expired()
        assert kept.sock is not None
        monkeypatch.setattr("ambientd.adapters.regtest.rpc_server.CONNECTION_S_MAX", -1.0)
        server.close_expired()
        assert kept.sock.recv(1) == b""
        kept.close()
        server.shutdown()
        serving.join()


def test_a_call_to_a_closed_chain_says_so(node: RegtestNode) -> None:
    methods = RpcMethods(node, lambda: None)
    node.close()
    with pytest.raises(RpcFault, match="closing"):
        methods.call("getblockcount", [])
