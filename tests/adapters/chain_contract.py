"""What every way to a Bitcoin network must do; run against real servers of several kinds.

The Bitcoin blocks are mined here and handed in by `submitblock`, which all of them take.
"""

import pytest

from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.esplora import UTXOS_MAX
from ambientd.adapters.regtest import miner
from ambientd.errors import UsageError
from ambientd.ports.chain import Chain, Rejected, Utxo
from ambientd.rules.bitcoin import (
    HEADER_SIZE,
    REGTEST,
    TRANSACTION_SIZE_MAX,
    Outpoint,
    Transaction,
    check_anchor,
    check_inclusion,
    decode_header,
    decode_transaction,
    double_sha256,
    merkle_root,
    root_from_branch,
)
from tests.adapters.anchors import anchor_of
from tests.adapters.ground import FEE_SAT, Ground
from tests.adapters.peg_contract import PegContract

ROOT = bytes(range(32))


def wallet(number: int) -> AnchorWallet:
    return AnchorWallet(bytes([number]) * 32, "regtest")


class ChainContract(PegContract):
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

    async def test_what_several_scripts_can_spend_is_listed_at_once(
        self, chain: Chain, ground: Ground
    ) -> None:
        first, second, third = wallet(36).script, wallet(37).script, wallet(38).script
        assert await chain.utxos_of([]) == []
        paid = ground.spend((20_000, first), (90_000, second), (70_000, first), (5_000, third))
        ground.mine(1, [paid])
        listed = await chain.utxos_of([first, second, first, wallet(39).script])
        assert [(each.value_sat, each.script) for each in listed] == [
            (90_000, second),
            (70_000, first),
            (20_000, first),
        ]
        assert {(each.txid, each.height) for each in listed} == {(paid.txid, ground.height())}

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

    async def test_a_coin_is_there_until_something_mined_spends_it(
        self, chain: Chain, ground: Ground
    ) -> None:
        payer = wallet(40)
        paid = ground.spend((50_000, payer.script))
        coin = Outpoint(paid.txid, 0)
        assert not await chain.is_unspent(coin), "nobody knows it"
        ground.mine(1, [paid])
        assert await chain.is_unspent(coin)
        assert not await chain.is_unspent(Outpoint(paid.txid, 9))
        anchor = anchor_of(payer, await chain.utxos(payer.script), ROOT)
        ground.mine(1, [decode_transaction(anchor.raw)])
        assert not await chain.is_unspent(coin)
        assert await chain.is_unspent(Outpoint(anchor.txid, 1))

    async def test_a_coin_is_there_whatever_strangers_pay_to_its_script(
        self, chain: Chain, ground: Ground
    ) -> None:
        script = wallet(41).script
        paid = ground.spend(*[(20_000 + number, script) for number in range(UTXOS_MAX + 1)])
        ground.mine(1, [paid])
        assert await chain.is_unspent(Outpoint(paid.txid, 0)), "the smallest of many"

    async def test_a_replacement_takes_the_place_of_an_anchor_that_waits(
        self, chain: Chain, ground: Ground
    ) -> None:
        payer = wallet(35)
        ground.mine(1, [ground.spend((50_000, payer.script), (30_000, payer.script))])
        coins = await chain.utxos(payer.script)
        first, second = anchor_of(payer, coins, ROOT), anchor_of(payer, coins, ROOT, 2_000)
        assert await chain.broadcast(first.raw) == first.txid
        assert await chain.broadcast(second.raw) == second.txid
        assert await chain.raw_tx(first.txid) is None
        assert await chain.raw_tx(second.txid) == second.raw
        assert isinstance(await chain.broadcast(first.raw), Rejected)
        ground.mine(1, [decode_transaction(second.raw)])
        [left] = await chain.utxos(payer.script)
        assert (left.txid, left.value_sat) == (second.txid, 78_000)

    async def test_what_was_mined_longer_than_nodes_pass_on_is_found_and_proved(
        self, chain: Chain, ground: Ground
    ) -> None:
        sent = ground.long_spend()
        assert len(sent.raw) > 600_000 > TRANSACTION_SIZE_MAX
        ground.mine(6, [sent])
        assert await chain.raw_tx(sent.txid) == sent.raw
        assert await chain.confirmations(sent.txid) == 6
        assert await chain.is_unspent(Outpoint(sent.txid, 0))
        place, branch = await chain.inclusion(sent.txid), await chain.merkle_branch(sent.txid)
        assert place is not None
        assert branch is not None
        raw = await chain.headers(place.height, place.height + 6)
        headers = [raw[at : at + HEADER_SIZE] for at in range(0, len(raw), HEADER_SIZE)]
        check = check_inclusion(sent.base, branch.branch, headers[0], headers[1:], REGTEST)
        assert check.passed, check.faults

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
