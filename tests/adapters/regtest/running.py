"""A real regtest process for tests, and spending helpers."""

import http.client
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint

WALLET = AnchorWallet(b"\x07" * 32, "regtest")
ROOT = bytes(range(32))


class Running:
    """A process in the foreground, and a client."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        command = [sys.executable, "-m", "ambientd.adapters.regtest", "--data-dir", str(data_dir)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), "the chain did not start"
        self.endpoint = RpcEndpoint(int(line.rpartition(":")[2]), data_dir / ".cookie")
        self.client = RpcClient(self.endpoint)

    def call(self, method: str, *params: object) -> object:
        return self.client.call(method, *params)

    def post(self, body: bytes, **headers: str) -> tuple[int, bytes]:
        """Send raw bytes with the right cookie unless headers say otherwise."""
        connection = http.client.HTTPConnection("127.0.0.1", self.endpoint.port, timeout=60)
        try:
            sent = {"Authorization": self.endpoint.authorization(), **headers}
            connection.request("POST", "/", body, sent)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def kill(self) -> None:
        self.client.close()
        self.process.kill()
        self.end()

    def terminate(self) -> int:
        self.client.close()
        self.process.terminate()
        return self.end()

    def end(self) -> int:
        self.client.close()
        status = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def running(data_dir: Path, *options: str) -> Iterator[Running]:
    """Start a chain, and end it whatever happens."""
    chain = Running(data_dir, *options)
    try:
        yield chain
    finally:
        if chain.process.poll() is None:
            chain.terminate()
        else:
            chain.end()
