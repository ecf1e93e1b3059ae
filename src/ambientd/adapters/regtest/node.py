"""The regtest node: kernel, index, mempool, miner and block log behind one lock."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from ambientd.adapters.regtest import miner
from ambientd.adapters.regtest.block_log import BlockLog
from ambientd.adapters.regtest.files import KERNEL_FOLDER
from ambientd.adapters.regtest.index import ChainIndex
from ambientd.adapters.regtest.kernel import Kernel, Verdict
from ambientd.adapters.regtest.mempool import Entry, Mempool, Refusal
from ambientd.errors import StoreError, UsageError
from ambientd.rules.bitcoin import Transaction, decode_block, decode_header, decode_transaction

CONFIRMATIONS_WANTED = 6
_FAUCET_FEE_SAT = 1_000
_FAUCET_INPUTS_MAX = 100
_PREMINE_MAX = 200


class RegtestNode:
    """A one-node Bitcoin network. Hold `lock` around every call from more than one thread."""

    def __init__(self, data_dir: Path) -> None:
        """Open the chain, and bring back the blocks that a crash kept the kernel from flushing."""
        self.lock = threading.RLock()
        self.is_closed = False
        self.data_dir = data_dir
        self.kernel = Kernel(data_dir / KERNEL_FOLDER)
        self._log = BlockLog(data_dir / "blocks.log")
        for raw in self._log.replay():
            if not self.kernel.is_connected(raw):  # asking is far cheaper than handing in
                self.kernel.submit(raw)
        genesis_hash = self.kernel.hash_at(0)
        self.index = ChainIndex(genesis_hash, decode_header(self._header(genesis_hash)))
        self.mempool = Mempool(self.kernel, self.index)
        self._follow()

    def _header(self, block_hash: bytes) -> bytes:
        raw = self.kernel.header(block_hash)
        assert raw is not None, "a block of the best chain has a header"
        return raw

    def block_at(self, height: int) -> list[Transaction]:
        """Give the transactions of the best chain's Bitcoin block at a height."""
        raw = self.kernel.block(self.index.hashes[height])
        assert raw is not None, "a block of the best chain is on disk"
        return decode_block(raw)[1]

    def transaction(self, txid: bytes) -> tuple[Transaction, int | None] | None:
        """Give a transaction and its height, None while it waits."""
        place = self.index.place_of(txid)
        if place:
            return self.block_at(place[0])[place[1]], place[0]
        waiting = self.mempool.get(txid)
        return (waiting, None) if waiting else None

    def submit(self, raw: bytes) -> tuple[Verdict, str]:
        """Take in a Bitcoin block from outside, and make it durable."""
        outcome = self._submit(raw)
        self._log.sync()
        return outcome

    def _submit(self, raw: bytes) -> tuple[Verdict, str]:
        verdict, reason = self.kernel.submit(raw)
        if verdict is not Verdict.REFUSED:
            self._log.append(raw)
            self._follow()
        return verdict, reason

    def _follow(self) -> None:
        """Bring the index and the mempool to the kernel's best chain."""
        returned: list[Transaction] = []
        index = self.index
        while self.kernel.height < index.height or (
            self.kernel.hash_at(index.height) != index.hashes[-1]
        ):
            stale = self.block_at(index.height)
            index.disconnect(stale)
            returned = [*stale[1:], *returned]
        while index.height < self.kernel.height:
            raw = self.kernel.block(self.kernel.hash_at(index.height + 1))
            assert raw is not None, "a block of the best chain is on disk"
            header, transactions = decode_block(raw)
            index.connect(header, transactions)
            self.mempool.on_mined(transactions)
        if returned:
            self.mempool.recheck(returned)

    def wants_block(self) -> bool:
        """Whether something waits to be mined, or to be confirmed often enough."""
        confirmations = self.index.payment_confirmations
        unconfirmed = confirmations is not None and confirmations < CONFIRMATIONS_WANTED
        return len(self.mempool) > 0 or unconfirmed

    def mine(self, script: bytes, count: int = 1) -> list[bytes]:
        """Mine what waits, then empty blocks; give the hashes once they are durable."""
        hashes = [self._mine_waiting(script) for _ in range(count)]
        self._log.sync()
        return hashes

    def mine_exactly(self, script: bytes, entries: Sequence[Entry]) -> bytes:
        """Mine one Bitcoin block with exactly these transactions.

        Raises:
            UsageError: when the chain refuses it.
        """
        refusal = self._mine_one(script, entries)
        if refusal:
            msg = f"a Bitcoin block of these transactions is invalid: {refusal}"
            raise UsageError(msg)
        self._log.sync()
        return self.index.hashes[-1]

    def _mine_waiting(self, script: bytes) -> bytes:
        entries = miner.select(self.mempool.entries())
        while refusal := self._mine_one(script, entries):
            # Policy let something through that consensus refuses: narrow it down and drop it,
            # else one bad transaction would stop the chain.
            if not entries:
                msg = (
                    f"the regtest chain refuses an empty block ({refusal}); look at {self.data_dir}"
                )
                raise StoreError(msg)
            if len(entries) == 1:
                self.mempool.drop(entries[0].transaction.txid)
                entries = miner.select(self.mempool.entries())
            else:
                entries = entries[: len(entries) // 2]
        return self.index.hashes[-1]

    def _mine_one(self, script: bytes, entries: Sequence[Entry]) -> str:
        index = self.index
        time_s = max(int(time.time()), index.median_time_s + 1)
        raw = miner.mine(index.hashes[-1], index.height + 1, time_s, script, entries)
        verdict, reason = self._submit(raw)
        return "" if verdict is Verdict.CONNECTED else reason or verdict.name.lower()

    def fund(self, script: bytes, value_sat: int) -> bytes | Refusal:
        """Pay a script out of the miner's open coins, and mine the payment; the faucet."""
        for _ in range(_PREMINE_MAX):
            coins, total_sat = self._open_coins(value_sat + _FAUCET_FEE_SAT)
            if total_sat >= value_sat + _FAUCET_FEE_SAT:
                break
            self.mine(miner.OPEN_SCRIPT)
        else:
            reason = f"the faucet cannot raise {value_sat} sat: ask for less, or start a new chain"
            return Refusal(-4, reason)
        change_sat = total_sat - value_sat - _FAUCET_FEE_SAT
        outputs = [(value_sat, script), (change_sat, miner.OPEN_SCRIPT)]
        transaction = decode_transaction(miner.open_spend(coins, outputs))
        refusal = self.mempool.accept(transaction)
        if refusal:
            return refusal
        self.mine(miner.OPEN_SCRIPT)
        return transaction.txid

    def _open_coins(self, wanted_sat: int) -> tuple[list[tuple[bytes, int]], int]:
        chosen: list[tuple[bytes, int]] = []
        total_sat = 0
        for outpoint, coin in self.index.coins_of(miner.OPEN_SCRIPT):
            if total_sat >= wanted_sat or len(chosen) == _FAUCET_INPUTS_MAX:
                break
            usable = coin.matures_by(self.index.height + 1) and not self.mempool.spends(outpoint)
            if usable and coin.output.value_sat > _FAUCET_FEE_SAT:
                chosen.append((outpoint.txid, outpoint.index))
                total_sat += coin.output.value_sat
        return chosen, total_sat

    def close(self) -> None:
        """Flush and close the chain; nothing may be called afterwards."""
        with self.lock:
            if not self.is_closed:
                self.is_closed = True
                self._log.sync()
                self._log.close()
                self.kernel.close()
