"""A regtest network that a test can move, whatever program serves it."""

import time
from collections.abc import Sequence
from hashlib import sha256

from ambientd.adapters.regtest import miner
from ambientd.adapters.regtest.mempool import Entry
from ambientd.adapters.rpc_client import RpcClient
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    MINED_SIZE_MAX,
    Transaction,
    compact_size,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    from_display,
)

FEE_SAT = 1_000
MATURE = 110


class Ground:
    """A regtest network that a test can move: its node takes blocks and holds coins anyone has."""

    def __init__(self, rpc: RpcClient) -> None:
        self.rpc = rpc
        self.coins: list[tuple[bytes, int]] = []
        self.mine(MATURE)

    def height(self) -> int:
        return int(self.rpc.call("getblockcount"))

    def hash_at(self, height: int) -> bytes:
        return from_display(self.rpc.call("getblockhash", height))

    def mine(
        self,
        count: int = 1,
        transactions: Sequence[Transaction] = (),
        *,
        script: bytes = miner.OPEN_SCRIPT,
        above: int | None = None,
    ) -> list[bytes]:
        """Mine blocks, the first with these transactions; `above`: a branch from that height on."""
        height = self.height() if above is None else above
        previous, hashes = self.hash_at(height), []
        raw = self.rpc.call("getblockheader", display(previous), False)
        time_s = decode_header(bytes.fromhex(raw)).time_s
        for number in range(count):
            # A branch has other times than what it replaces, so that its blocks are others.
            time_s = max(int(time.time()) - 3600, time_s + (1 if above is None else 2))
            entries = [Entry(each, fee_sat=0) for each in transactions] if not number else []
            block = miner.mine(previous, height + 1 + number, time_s, script, entries)
            # Bitcoin Core says "inconclusive" of a block that is not in its best chain yet.
            assert self.rpc.call("submitblock", block.hex()) in {None, "inconclusive"}
            previous = double_sha256(block[:HEADER_SIZE])
            hashes.append(previous)
            if script == miner.OPEN_SCRIPT and above is None:
                self.coins.append((self._coinbase(block), height + 1 + number))
        return hashes

    @staticmethod
    def _coinbase(block: bytes) -> bytes:
        return decode_block(block)[1][0].txid

    def spend(self, *outputs: tuple[int, bytes], coin: bytes | None = None) -> Transaction:
        """Pay outputs out of a coin of its own, the rest back to anyone."""
        txid, value_sat = coin or self.ripe_coin(), 50 * 100_000_000
        rest = value_sat - FEE_SAT - sum(value for value, _ in outputs)
        raw = miner.open_spend([(txid, 0)], [*outputs, (rest, miner.OPEN_SCRIPT)])
        return decode_transaction(raw)

    def long_spend(self, inputs: int = 3) -> Transaction:
        """Give a transaction of some 209 kB of witness an input, longer than nodes pass on."""
        script = b"\x6d" * 200 + b"\x51"  # OP_2DROP, and OP_TRUE
        place = b"\x00\x20" + sha256(script).digest()
        paid = self.spend(*[(50_000, place)] * inputs)
        self.mine(1, [paid])
        coins = [(paid.txid, number) for number in range(inputs)]
        bare = miner.open_spend(coins, [(20_000, miner.OPEN_SCRIPT)])
        piece = compact_size(520) + bytes(520)
        witness = compact_size(401) + piece * 400 + compact_size(len(script)) + script
        base = decode_transaction(bare).base
        raw = base[:4] + b"\x00\x01" + base[4:-4] + witness * inputs + base[-4:]
        return decode_transaction(raw, MINED_SIZE_MAX)

    def ripe_coin(self) -> bytes:
        """Give a coin that can be spent and whose height is before the first halving."""
        while self.coins[0][1] + 100 > self.height():
            self.mine(1)
        txid, height = self.coins.pop(0)
        assert height < miner.HALVING_INTERVAL, "the tests use more coins than planned"
        return txid
