"""The peg on a real chain: peg-in, credit, peg-out, a higher fee, another committee."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bitcoin.core import CTransaction
from embit.transaction import Transaction
from structlog.testing import capture_logs

from ambientd.adapters.peg_file import PegFile
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, StoreError
from ambientd.model.genesis import Rules
from ambientd.model.peg import PaymentKind
from ambientd.model.record import PegFee
from ambientd.ports.chain import Rejected
from ambientd.rules.peg_payments import signed_transaction, txid
from tests.adapters.federation import Federation
from tests.adapters.regtest.running import WALLET
from tests.adapters.test_anchor_service import chain
from tests.ledger.test_peg import GUEST, rotate
from tests.rules.peg import PAYEE, signed_by

pytestmark = [pytest.mark.net, pytest.mark.slow]


async def check_parsed(federation: Federation, number: int, version: int) -> None:
    """Have two other programs read what the chain has taken."""
    name = txid(federation.cluster.payment(number), version)
    raw = await federation.chain.raw_tx(name)
    assert raw is not None
    assert CTransaction.deserialize(raw).GetTxid() == name
    theirs = Transaction.parse(raw)
    assert theirs.txid()[::-1] == name
    assert len(theirs.vin[0].witness.items) == 3 + 2


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    async with chain(tmp_path / "chain", interval_ms=600_000) as regtest:

        async def mine(count: int) -> None:
            await regtest.generate(count, WALLET.address)

        async def pay(to: str, value_sat: int) -> None:
            assert await regtest.fund(to, value_sat)

        found = Federation(regtest, tmp_path, mine, pay)
        await mine(110)
        await found.open()
        yield found


async def test_coins_come_in_go_out_and_follow_the_committee(federation: Federation) -> None:
    cluster = federation.cluster
    await federation.pay(federation.address(1), 500_000)
    await federation.pay(federation.address(2), 300_000)
    await federation.mine(3)
    await federation.settle()
    assert cluster.balance_sat(1) == 0, "five confirmations are too few"
    await federation.mine(2)
    await federation.settle()
    assert (cluster.balance_sat(1), cluster.balance_sat(2)) == (499_500, 299_500)
    assert await federation.on_chain_sat() == 800_000

    cluster.block((1, cluster.out(200_000, fee_sat=400)))
    await federation.settle(without=(0,))
    cluster.block((1, PegFee(payment=1, fee_sat=4_000)))
    await federation.settle(without=(3,))
    await federation.mine(6)
    await federation.settle(without=(2,))
    entry = cluster.state.peg_payment(1)
    assert entry is not None
    assert entry.final == 1, "the dearer version has replaced the first"
    await check_parsed(federation, 1, 1)
    [paid] = await federation.chain.utxos(PAYEE)
    assert paid.value_sat == 196_000
    assert await federation.on_chain_sat() == 600_000

    rotate(cluster, GUEST)
    federation.services[GUEST] = federation.service(GUEST)
    late = federation.address(2)
    await federation.settle()
    await federation.mine(6)
    await federation.settle()
    sweep = cluster.payment(2)
    assert sweep.kind is PaymentKind.SWEEP
    held = cluster.state.peg_index.held_sat()
    assert held == {2: 600_000 - sweep.fees_sat[0]}
    await check_parsed(federation, 2, 0)
    assert await federation.on_chain_sat() == held[2]

    await federation.pay(late, 50_000)
    await federation.mine(6)
    await federation.settle()
    assert cluster.balance_sat(2) == 299_500, "not before it is brought over"
    await federation.mine(6)
    await federation.settle()
    fee_sat = cluster.payment(3).fees_sat[0]
    assert cluster.balance_sat(2) == 299_500 + 50_000 - fee_sat - 500
    assert await federation.on_chain_sat() == sum(cluster.state.peg_index.held_sat().values())


async def test_a_final_payment_is_sent_again_without_a_word(federation: Federation) -> None:
    cluster = federation.cluster
    await federation.pay(federation.address(1), 500_000)
    await federation.mine(6)
    await federation.settle()
    cluster.block((1, cluster.out(200_000)))
    told = "payment of the peg broadcast"
    with capture_logs() as before:
        await federation.settle()
    assert told in [each["event"] for each in before]
    await federation.mine(6)
    await federation.settle()
    federation.services[1] = federation.service(1)
    with capture_logs() as after:
        await federation.settle()
    assert told not in [each["event"] for each in after]


async def test_a_minority_s_transaction_is_refused_by_the_chain(federation: Federation) -> None:
    cluster = federation.cluster
    await federation.pay(federation.address(1), 500_000)
    await federation.mine(6)
    await federation.settle()
    cluster.block((1, cluster.out(200_000)))
    payment, wallets = cluster.payment(1), cluster.state.peg_index.wallets
    [signed] = signed_by([0, 1], payment, 0, wallets)
    [other] = set(signed_by([2], payment, 0, wallets)[0])
    junk = {**signed, other: next(iter(signed.values()))}
    forged = signed_transaction(payment, 0, wallets, [junk])
    assert forged is not None
    assert isinstance(await federation.chain.broadcast(forged), Rejected)
    [third] = signed_by([2], payment, 0, wallets)
    good = signed_transaction(payment, 0, wallets, [signed | third])
    assert good is not None
    assert await federation.chain.broadcast(good) == txid(payment, 0)


async def test_a_replaced_key_helps_to_move_the_coins_while_another_member_is_away(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path / "chain", interval_ms=600_000) as regtest:

        async def mine(count: int) -> None:
            await regtest.generate(count, WALLET.address)

        async def pay(to: str, value_sat: int) -> None:
            assert await regtest.fund(to, value_sat)

        found = Federation(regtest, tmp_path, mine, pay, Rules(keep_ms=1))
        await mine(110)
        await found.open()
        await pay(found.address(1), 500_000)
        await mine(6)
        await found.settle()
        new, old = sha256(b"another key"), sha256(b"peg 0")
        found.services[0] = found.service(0, new)
        await found.settle(without=(3,))
        sweep = found.cluster.payment(1)
        assert (sweep.kind, sweep.change_wallet) == (PaymentKind.SWEEP, 2)
        entry = found.cluster.state.peg_payment(1)
        assert entry is not None
        assert len(entry.words) == 2, "two of the earlier keys are too few"
        found.services[0] = found.service(0, new, old)
        assert found.services[0].faults() == ()
        await found.settle(without=(3,))
        await mine(6)
        await found.settle(without=(3,))
        assert found.cluster.state.peg_index.held_sat() == {2: 500_000 - sweep.fees_sat[0]}
        assert await found.on_chain_sat() == 500_000 - sweep.fees_sat[0]


def test_a_book_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peg.book"
    path.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="sign a coin away twice"):
        PegFile(path).load()
    with pytest.raises(StoreError, match="cannot be read"):
        PegFile(tmp_path).load()
    with pytest.raises(StoreError, match="cannot be written"):
        PegFile(tmp_path / "nowhere" / "peg.book").save(PegFile(tmp_path / "none").load())
