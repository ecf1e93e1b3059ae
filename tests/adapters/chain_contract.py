"""What every way to a Bitcoin network must do; run against real servers of several kinds.

The Bitcoin blocks are mined here and handed in by `submitblock`, which all of them take.
"""

import time
from collections.abc import Sequence

import pytest

from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.regtest import miner
from ambientd.adapters.regtest.mempool import Entry
from ambientd.adapters.rpc_client import RpcClient
from ambientd.errors import UsageError
from ambientd.ports.chain import Chain, Rejected, Utxo
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    REGTEST,
    Transaction,
    check_anchor,
    decode_block,
    decode_header,
    decode_transaction,
    display,
    double_sha256,
    from_display,
    merkle_root,
    root_from_branch,
)
from tests.adapters.anchors import anchor_of

FEE_SAT = 1_000
ROOT = bytes(range(32))
MATURE = 110


def wallet(number: int) -> AnchorWallet:
    return AnchorWallet(bytes([number]) * 32, "regtest")


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

    def ripe_coin(self) -> bytes:
        """Give a coin that can be spent and whose height is before the first halving."""
        while self.coins[0][1] + 100 > self.height():
            self.mine(1)
        txid, height = self.coins.pop(0)
        assert height < miner.HALVING_INTERVAL, "the tests use more coins than planned"
        return txid


class ChainContract:
    """Inherit and provide the fixtures `ground`, and `chain` on the same network."""

    async def test_it_names_its_network(self, chain: Chain) -> None:
        assert chain.network == "regtest"

    async def test_tip_hashes_and_headers_agree(self, chain: Chain, ground: Ground) -> None:
        tip = await chain.tip()
        assert tip.height == ground.height()
        assert tip.hash == ground.hash_at(tip.height) == await chain.block_hash(tip.height)
        assert double_sha256(await chain.header(tip.height)) == tip.hash
        assert await chain.header(0) == REGTEST.genesis

    async def test_headers_come_in_one_piece_from_the_first_to_the_tip(
        self, chain: Chain, ground: Ground
    ) -> None:
        tip = await chain.tip()
        raw = await chain.headers(0, tip.height + 1)
        headers = [raw[at : at + HEADER_SIZE] for at in range(0, len(raw), HEADER_SIZE)]
        assert len(headers) == tip.height + 1
        assert headers[0] == REGTEST.genesis
        for height, header in enumerate(headers[1:], start=1):
            assert decode_header(header).previous == double_sha256(headers[height - 1])
        assert double_sha256(headers[-1]) == tip.hash
        assert await chain.headers(5, 29) == raw[5 * HEADER_SIZE : 29 * HEADER_SIZE]

    async def test_what_is_above_the_tip_or_unknown_is_the_caller_s_mistake(
        self, chain: Chain, ground: Ground
    ) -> None:
        above = ground.height() + 1
        for ask in (chain.header, chain.block_hash):
            with pytest.raises(UsageError, match=f"no Bitcoin block {above} yet"):
                await ask(above)
        with pytest.raises(UsageError, match=f"no Bitcoin block {above} yet"):
            await chain.headers(1, above + 1)
        with pytest.raises(UsageError, match="knows no Bitcoin block"):
            await chain.block_txids(b"\x11" * 32)

    async def test_an_unknown_transaction_is_nowhere(self, chain: Chain) -> None:
        assert await chain.raw_tx(ROOT) is None
        assert await chain.inclusion(ROOT) is None
        assert await chain.merkle_branch(ROOT) is None
        assert await chain.confirmations(ROOT) == 0

    async def test_a_transaction_waits_and_is_mined_and_confirmed(
        self, chain: Chain, ground: Ground
    ) -> None:
        sent = ground.spend()
        assert await chain.broadcast(sent.raw) == sent.txid
        assert await chain.raw_tx(sent.txid) == sent.raw
        assert await chain.inclusion(sent.txid) is None
        assert await chain.merkle_branch(sent.txid) is None
        assert await chain.confirmations(sent.txid) == 0
        [block_hash] = ground.mine(1, [sent])
        place = await chain.inclusion(sent.txid)
        assert place is not None
        assert (place.block_hash, place.height) == (block_hash, ground.height())
        assert await chain.raw_tx(sent.txid) == sent.raw
        assert await chain.confirmations(sent.txid) == 1
        ground.mine(3)
        assert await chain.confirmations(sent.txid) == 4

    async def test_what_is_known_already_is_no_refusal(self, chain: Chain, ground: Ground) -> None:
        sent = ground.spend()
        assert await chain.broadcast(sent.raw) == sent.txid
        assert await chain.broadcast(sent.raw) == sent.txid
        ground.mine(1, [sent])
        assert await chain.broadcast(sent.raw) == sent.txid

    async def test_what_spends_nothing_or_twice_is_refused_in_words(
        self, chain: Chain, ground: Ground
    ) -> None:
        coin = ground.ripe_coin()
        first, second = ground.spend(coin=coin), ground.spend((5_000, b"\x51"), coin=coin)
        ground.mine(1, [first])
        outcome = await chain.broadcast(second.raw)
        assert isinstance(outcome, Rejected)
        assert outcome.reason
        assert len(outcome.reason) <= 500

    @pytest.mark.parametrize("count", [1, 2, 4])
    async def test_a_branch_leads_from_each_transaction_to_its_header(
        self, chain: Chain, ground: Ground, count: int
    ) -> None:
        coin = ground.ripe_coin()
        spends: list[Transaction] = []
        for _ in range(count):  # each spends the one before
            value_sat = 50 * 100_000_000 - FEE_SAT * (len(spends) + 1)
            raw = miner.open_spend([(coin, 0)], [(value_sat, miner.OPEN_SCRIPT)])
            spends.append(decode_transaction(raw))
            coin = spends[-1].txid
        [block_hash] = ground.mine(1, spends)
        txids = await chain.block_txids(block_hash)
        assert txids[1:] == [each.txid for each in spends]
        header = await chain.header(ground.height())
        assert merkle_root(txids) == decode_header(header).merkle_root
        for place, txid in enumerate(txids):
            branch = await chain.merkle_branch(txid)
            assert branch is not None
            assert (branch.header, branch.txid, branch.index) == (header, txid, place)
            assert root_from_branch(txid, branch.branch) == decode_header(header).merkle_root

    async def test_a_reorganisation_takes_a_transaction_out_and_a_later_block_takes_it_in(
        self, chain: Chain, ground: Ground
    ) -> None:
        sent = ground.spend()
        ground.mine(1, [sent])
        fork = ground.height() - 1
        ground.mine(2)
        old = await chain.tip()
        assert await chain.confirmations(sent.txid) == 3
        branch = ground.mine(4, above=fork)
        tip = await chain.tip()
        assert (tip.height, tip.hash) == (fork + 4, branch[-1])
        assert await chain.inclusion(sent.txid) is None
        assert await chain.merkle_branch(sent.txid) is None
        assert await chain.confirmations(sent.txid) == 0
        assert await chain.block_hash(old.height) == branch[2]
        assert await chain.broadcast(sent.raw) == sent.txid
        [block_hash] = ground.mine(1, [sent])
        place = await chain.inclusion(sent.txid)
        assert place is not None
        assert (place.block_hash, place.height) == (block_hash, fork + 5)

    async def test_a_young_network_gives_no_fee_estimate(self, chain: Chain) -> None:
        assert await chain.fee_rate_sat_vb() is None

    async def test_what_can_be_spent_is_mined_and_listed_largest_first(
        self, chain: Chain, ground: Ground
    ) -> None:
        payee = wallet(31)
        assert await chain.utxos(payee.script) == []
        paid = ground.spend((20_000, payee.script), (90_000, payee.script), (20_000, b"\x51"))
        assert await chain.broadcast(paid.raw) == paid.txid
        assert await chain.utxos(payee.script) == [], "it is not mined yet"
        ground.mine(1, [paid])
        height = ground.height()
        assert await chain.utxos(payee.script) == [
            Utxo(paid.txid, 1, 90_000, payee.script, height),
            Utxo(paid.txid, 0, 20_000, payee.script, height),
        ]

    async def test_what_a_waiting_transaction_spends_is_listed_no_more(
        self, chain: Chain, ground: Ground
    ) -> None:
        payer = wallet(32)
        paid = ground.spend((50_000, payer.script))
        ground.mine(1, [paid])
        anchor = anchor_of(payer, await chain.utxos(payer.script), ROOT)
        assert await chain.broadcast(anchor.raw) == anchor.txid
        assert await chain.utxos(payer.script) == []
        ground.mine(1, [decode_transaction(anchor.raw)])
        assert await chain.utxos(payer.script) == [
            Utxo(anchor.txid, 1, anchor.outputs[1].value_sat, payer.script, ground.height())
        ]

    async def test_a_young_coinbase_cannot_be_spent(self, chain: Chain, ground: Ground) -> None:
        finder = wallet(33)
        ground.mine(1, script=finder.script)
        assert await chain.utxos(finder.script) == []

    async def test_an_anchor_six_deep_is_checked_without_the_server(
        self, chain: Chain, ground: Ground
    ) -> None:
        payer = wallet(34)
        ground.mine(1, [ground.spend((50_000, payer.script))])
        anchor = anchor_of(payer, await chain.utxos(payer.script), ROOT)
        assert await chain.broadcast(anchor.raw) == anchor.txid
        ground.mine(6, [decode_transaction(anchor.raw)])
        place, branch = await chain.inclusion(anchor.txid), await chain.merkle_branch(anchor.txid)
        assert place is not None
        assert branch is not None
        raw = await chain.headers(place.height, place.height + 6)
        headers = [raw[at : at + HEADER_SIZE] for at in range(0, len(raw), HEADER_SIZE)]
        check = check_anchor(ROOT, anchor.raw, branch.branch, headers[0], headers[1:], REGTEST)
        assert check.passed, check.faults
