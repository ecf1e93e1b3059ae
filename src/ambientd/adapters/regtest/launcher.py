"""Finding or starting the one regtest chain that all daemons of a machine share."""

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from ambientd.adapters.anchor_wallet import script_of_address
from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
from ambientd.adapters.regtest.files import (
    COOKIE_FILE,
    PROCESS_LOG_FILE,
    lack_of_room,
    read_endpoint,
)
from ambientd.adapters.rpc_client import RpcClient, RpcEndpoint, RpcError
from ambientd.errors import RemoteProtocolError, UnreachableError

START_DEADLINE_S = 60.0
FUND_SAT = 100_000_000
_PROBE_TIMEOUT_S = 5.0
_RETRY_PAUSE_S = 0.05
_STATUS_HELD = 2


@dataclass(frozen=True, slots=True)
class EmbeddedChain:
    """A data directory whose chain can be started when it is not running."""

    data_dir: Path
    block_interval_ms: int = 500
    idle_exit_s: int = 60

    def ensure_running(self) -> RpcEndpoint:
        """Give the endpoint of the running chain, starting it when needed; blocks.

        Any number of processes may call this at once: the lock on the directory lets one chain
        through, and the others find it.

        Raises:
            UnreachableError: when it does not answer in time.
        """
        deadline_s = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline_s:
            endpoint = self.running()
            if endpoint is not None:
                return endpoint
            status = self._start(deadline_s - time.monotonic())
            if status == _STATUS_HELD:  # another daemon is just starting it, or it is just ending
                time.sleep(_RETRY_PAUSE_S)
            elif status:
                raise self._failed(f"its process ended with status {status}")
        raise self._failed(f"it did not answer within {START_DEADLINE_S:.0f} s")

    def running(self) -> RpcEndpoint | None:
        """Give the endpoint when a regtest chain answers there, else None."""
        port = read_endpoint(self.data_dir)
        if port is None:
            return None
        cookie_path = self.data_dir / COOKIE_FILE
        try:
            with RpcClient(RpcEndpoint(port, cookie_path, timeout_s=_PROBE_TIMEOUT_S)) as client:
                info = client.call("getblockchaininfo")
        except (UnreachableError, RemoteProtocolError, RpcError):
            return None
        if not isinstance(info, dict) or info.get("chain") != "regtest":
            return None
        return RpcEndpoint(port, cookie_path)

    def _start(self, timeout_s: float) -> int:
        command = [
            *(sys.executable, "-m", "ambientd.adapters.regtest", "--detach"),
            *("--data-dir", str(self.data_dir)),
            *("--block-interval-ms", str(self.block_interval_ms)),
            *("--idle-exit-s", str(self.idle_exit_s)),
        ]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return 0  # the deadline of the caller has passed as well
        return done.returncode

    def _failed(self, why: str) -> UnreachableError:
        lack = lack_of_room(self.data_dir)
        msg = (
            f"the embedded regtest chain in {self.data_dir} could not be started: {why}; "
            f"{lack and f'{lack}; '}read {self.data_dir / PROCESS_LOG_FILE}"
        )
        return UnreachableError(msg)


class EmbeddedRegtest(BitcoinRpcChain):
    """The Chain port over the embedded chain: it starts again when it is gone, and it can pay."""

    def __init__(self, embedded: EmbeddedChain, endpoint: RpcEndpoint) -> None:
        """Use a running chain; see `start`."""
        super().__init__(endpoint, "regtest")
        self._embedded = embedded

    @classmethod
    async def start(cls, embedded: EmbeddedChain) -> "EmbeddedRegtest":
        """Find or start the chain."""
        endpoint = await trio.to_thread.run_sync(embedded.ensure_running)
        return cls(embedded, endpoint)

    async def fund(self, address: str, value_sat: int = FUND_SAT) -> bytes | None:
        """Pay an address and mine the payment, unless it has something to spend already."""
        if await self.utxos(script_of_address(address)):
            return None
        txid = await self._asked("fundaddress", address, value_sat)
        return bytes.fromhex(str(txid))[::-1]

    async def generate(self, count: int, address: str) -> list[bytes]:
        """Mine Bitcoin blocks that pay an address."""
        hashes = await self._asked("generatetoaddress", count, address)
        return [bytes.fromhex(one)[::-1] for one in hashes]

    async def _call(self, method: str, *params: object) -> Any:  # noqa: ANN401
        try:
            return await super()._call(method, *params)
        except UnreachableError:
            if method == "stop":
                raise
            endpoint = await trio.to_thread.run_sync(self._embedded.ensure_running)
            await trio.to_thread.run_sync(self._client.redirect, endpoint)
            return await super()._call(method, *params)
