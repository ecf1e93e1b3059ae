"""The one-node network in this process: policy, mining, reorganisations, the faucet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.adapters.regtest import miner
from ambientd.adapters.regtest.index import Coin
from ambientd.adapters.regtest.kernel import Verdict
from ambientd.adapters.regtest.mempool import Entry, Refusal
from ambientd.adapters.regtest.node import RegtestNode
from ambientd.errors import UsageError
from ambientd.rules.bitcoin import Outpoint, Transaction, decode_transaction
from tests.adapters.regtest.running import ROOT, WALLET

OPEN = miner.OPEN_SCRIPT
FEE_SAT = 1_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[RegtestNode]:
    opened = RegtestNode(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def rich(node: RegtestNode) -> RegtestNode:
    """A node whose first three coinbases are mature."""
    node.mine(OPEN, 102)
    return node


def spend(
    node: RegtestNode, coins: int = 1, *, skip: int = 0, fee_sat: int = FEE_SAT, outputs: int = 1
) -> Transaction:
    """Spend the oldest open coins to the open script."""
    found = list(node.index.coins_of(OPEN))[skip : skip + coins]
    total_sat = sum(coin.output.value_sat for _, coin in found) - fee_sat
    parts = [(total_sat // outputs, OPEN)] * outputs
    raw = miner.open_spend([(outpoint.txid, outpoint.index) for outpoint, _ in found], parts)
    return decode_transaction(raw)


def child_of(parent: Transaction, fee_sat: int = FEE_SAT) -> Transaction:
    value_sat = parent.outputs[0].value_sat - fee_sat
    return decode_transaction(miner.open_spend([(parent.txid, 0)], [(value_sat, OPEN)]))


def with_locktime(transaction: Transaction, locktime: int) -> Transaction:
    return decode_transaction(transaction.raw[:-4] + locktime.to_bytes(4, "little"))


def with_sequence(transaction: Transaction, sequence: int) -> Transaction:
    raw = transaction.raw.replace(b"\xfd\xff\xff\xff", sequence.to_bytes(4, "little"), 1)
    return decode_transaction(raw)


def reason(refusal: Refusal | None) -> str:
    return refusal.reason if refusal else "accepted"


def snapshot(node: RegtestNode, height: int) -> dict[Outpoint, Coin]:
    return {
        o: c for o, c in node.index.coins.items() if c.height is not None and c.height <= height
    }


def branch(node: RegtestNode, base: int, count: int) -> None:
    """Submit a rival branch of empty blocks on top of a height."""
    previous = node.index.hashes[base]
    time_s = node.index.median_time_s + 100
    for height in range(base + 1, base + 1 + count):
        raw = miner.mine(previous, height, time_s + height, b"\x51", [])
        verdict, why = node.submit(raw)
        assert verdict is not Verdict.REFUSED, why
        previous = decode_header_hash(raw)


def decode_header_hash(raw: bytes) -> bytes:
    from ambientd.rules.bitcoin import double_sha256

    return double_sha256(raw[:80])


def test_a_young_coinbase_cannot_be_spent(node: RegtestNode) -> None:
    node.mine(OPEN, 99)
    early = spend(node)
    assert reason(node.mempool.accept(early)) == "bad-txns-premature-spend-of-coinbase"
    node.mine(OPEN)
    assert node.mempool.accept(early) is None


def test_what_waits_is_mined_parents_first(rich: RegtestNode) -> None:
    parent = spend(rich)
    child = child_of(parent)
    assert reason(rich.mempool.accept(child)) == "bad-txns-inputs-missingorspent"
    assert rich.mempool.accept(parent) is None
    assert rich.mempool.accept(child) is None
    rich.mine(OPEN)
    assert [t.txid for t in rich.block_at(rich.index.height)[1:]] == [parent.txid, child.txid]
    assert len(rich.mempool) == 0
    assert reason(rich.mempool.accept(child)) == "Transaction outputs already in utxo set"


def test_accepting_twice_and_trying_dry_change_nothing(rich: RegtestNode) -> None:
    transaction = spend(rich)
    assert rich.mempool.accept(transaction, dry_run=True) is None
    assert len(rich.mempool) == 0
    assert rich.mempool.accept(transaction) is None
    assert rich.mempool.accept(transaction) is None
    assert len(rich.mempool) == 1


def test_a_replacement_must_pay_for_all_it_replaces_and_for_itself(rich: RegtestNode) -> None:
    first = spend(rich)
    child = child_of(first)
    for transaction in (first, child):
        assert rich.mempool.accept(transaction) is None
    cheap = spend(rich, fee_sat=2 * FEE_SAT)
    assert "rejecting replacement" in reason(rich.mempool.accept(cheap))
    dear = spend(rich, fee_sat=2 * FEE_SAT + cheap.vsize)
    assert rich.mempool.accept(dear) is None
    assert [entry.transaction.txid for entry in rich.mempool.entries()] == [dear.txid]


def test_a_replacement_may_not_spend_what_it_replaces(rich: RegtestNode) -> None:
    first = spend(rich)
    assert rich.mempool.accept(first) is None
    coin = first.inputs[0].outpoint
    value_sat = first.outputs[0].value_sat
    both = miner.open_spend([(coin.txid, coin.index), (first.txid, 0)], [(value_sat, OPEN)])
    assert reason(rich.mempool.accept(decode_transaction(both))) == "bad-txns-spends-conflicting-tx"


def test_policy_refuses_what_bitcoin_core_would_not_relay(rich: RegtestNode) -> None:
    accept = rich.mempool.accept
    coin = spend(rich).inputs[0].outpoint
    place = (coin.txid, coin.index)

    def paying(value_sat: int, script: bytes, *places: tuple[bytes, int]) -> Transaction:
        return decode_transaction(miner.open_spend(places or [place], [(value_sat, script)]))

    assert reason(accept(paying(10**4, OPEN, place, place))) == "bad-txns-inputs-duplicate"
    assert reason(accept(paying(10**4, OPEN, (bytes(32), 0xFFFFFFFF)))) == "coinbase"
    assert reason(accept(paying(51 * 10**8, OPEN))) == "bad-txns-in-belowout"
    assert "min relay fee" in reason(accept(spend(rich, fee_sat=10)))
    assert reason(accept(paying(10**4, b"\x6a" + b"\x4c\x60" + bytes(96)))) == "datacarrier"
    assert reason(accept(with_locktime(spend(rich), 1_000))) == "non-final"
    assert reason(accept(with_locktime(spend(rich), 4_000_000_000))) == "non-final"
    assert reason(accept(paying(10**4, bytes(100_001)))) == "tx-size"
    assert reason(accept(paying(10**4, b""))) == "tx-size-small"


def test_a_wrong_witness_is_refused_by_the_kernel(rich: RegtestNode) -> None:
    raw = spend(rich).raw
    wrong = decode_transaction(raw[:-5] + b"\x52" + raw[-4:])
    assert "script-verify" in reason(rich.mempool.accept(wrong))


def test_a_full_mempool_refuses_more(rich: RegtestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ambientd.adapters.regtest.mempool.COUNT_MAX", 1)
    assert rich.mempool.accept(spend(rich)) is None
    assert reason(rich.mempool.accept(spend(rich, skip=1))) == "mempool full"


def test_a_transaction_that_only_consensus_refuses_does_not_stop_the_chain(
    rich: RegtestNode,
) -> None:
    locked = with_sequence(spend(rich), 0x0000FFFF)  # BIP 68: not before 65,535 more blocks
    assert rich.mempool.accept(locked) is None
    good = [spend(rich, skip=1), spend(rich, skip=2)]
    for transaction in good:
        assert rich.mempool.accept(transaction) is None
    before = rich.index.height
    rich.mine(OPEN, 3)
    assert rich.index.height == before + 3
    assert all(rich.index.place_of(transaction.txid) for transaction in good)
    assert locked.txid not in rich.mempool


def test_a_block_of_chosen_transactions_is_mined_or_refused_whole(rich: RegtestNode) -> None:
    first = spend(rich)
    rich.mine_exactly(OPEN, [Entry(first, 0)])
    assert rich.index.place_of(first.txid) == (rich.index.height, 1)
    before = rich.index.height
    with pytest.raises(UsageError, match="consensus"):
        rich.mine_exactly(OPEN, [Entry(first, 0)])
    assert rich.index.height == before


@pytest.mark.parametrize("damage", ["work", "root", "coinbase", "orphan"])
def test_an_invalid_block_is_refused_and_the_tip_stays(rich: RegtestNode, damage: str) -> None:
    index = rich.index
    height, time_s = index.height + 1, index.median_time_s + 1
    previous = b"\x11" * 32 if damage == "orphan" else index.hashes[-1]
    fee_sat = 10**8 if damage == "coinbase" else 0
    entries = [Entry(spend(rich), fee_sat)] if damage == "coinbase" else []
    raw = bytearray(miner.mine(previous, height, time_s, OPEN, entries))
    if damage == "root":
        raw[40] ^= 1
    while damage == "work" and decode_header_hash(bytes(raw))[31] < 0x80:
        raw[76] = (raw[76] + 1) % 256
    verdict, why = rich.submit(bytes(raw))
    assert (verdict, rich.index.height) == (Verdict.REFUSED, height - 1)
    assert why


def test_a_longer_branch_takes_over_and_the_payment_waits_again(rich: RegtestNode) -> None:
    base = rich.index.height
    before = snapshot(rich, base)
    parent = spend(rich)
    child = child_of(parent)
    rich.mempool.accept(parent)
    rich.mine(OPEN)
    rich.mempool.accept(child)
    rich.mine(OPEN)
    assert rich.index.place_of(child.txid)
    branch(rich, base, 2)
    assert rich.index.place_of(child.txid), "an equally long branch changes nothing"
    branch(rich, base, 3)
    assert rich.index.height == base + 3
    assert snapshot(rich, base) == before
    assert rich.index.payment_confirmations is None
    assert [e.transaction.txid for e in rich.mempool.entries()] == [parent.txid, child.txid]
    rich.mine(OPEN)
    assert rich.index.place_of(child.txid) == (base + 4, 2)


def test_mining_is_wanted_until_six_confirmations(rich: RegtestNode) -> None:
    assert not rich.wants_block()
    rich.mempool.accept(spend(rich))
    mined = 0
    while rich.wants_block():
        rich.mine(OPEN)
        mined += 1
    assert (mined, rich.index.payment_confirmations) == (6, 6)


def test_the_faucet_pays_from_the_first_block_on(node: RegtestNode) -> None:
    txid = node.fund(WALLET.script, 10**8)
    assert isinstance(txid, bytes)
    [(outpoint, coin)] = node.index.coins_of(WALLET.script)
    assert (outpoint.txid, coin.output.value_sat, coin.height) == (txid, 10**8, node.index.height)
    again = node.fund(WALLET.script, 120 * 10**8)
    assert isinstance(again, bytes)


def test_the_faucet_says_when_it_cannot_pay(node: RegtestNode) -> None:
    paid = node.fund(WALLET.script, 20_000_000 * 10**8)
    assert isinstance(paid, Refusal)
    assert "start a new chain" in paid.reason


def test_many_blocks_in_one_second_stay_inside_the_allowed_times(rich: RegtestNode) -> None:
    rich.mine(OPEN, 300)
    assert rich.index.height == 402


def test_reopening_rebuilds_the_same_index(tmp_path: Path) -> None:
    first = RegtestNode(tmp_path)
    first.fund(WALLET.script, 10**8)
    coins, hashes = dict(first.index.coins), list(first.index.hashes)
    first.close()
    first.close()
    second = RegtestNode(tmp_path)
    assert (second.index.coins, second.index.hashes) == (coins, hashes)
    second.close()


def test_blocks_only_in_the_log_come_back(tmp_path: Path) -> None:
    import shutil

    first = RegtestNode(tmp_path)
    first.mine(OPEN, 5)
    tip = first.index.hashes[-1]
    first.close()
    shutil.rmtree(tmp_path / "kernel")
    second = RegtestNode(tmp_path)
    assert second.index.hashes[-1] == tip
    second.close()


def test_an_anchor_spends_what_the_faucet_paid(node: RegtestNode) -> None:
    from ambientd.ports.chain import Utxo
    from tests.adapters.anchors import anchor_of

    node.fund(WALLET.script, 10**6)
    [(outpoint, coin)] = node.index.coins_of(WALLET.script)
    utxo = Utxo(outpoint.txid, outpoint.index, coin.output.value_sat, WALLET.script, 0)
    assert node.mempool.accept(anchor_of(WALLET, [utxo], ROOT)) is None
