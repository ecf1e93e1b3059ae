"""The peg on a real chain: peg-in, credit, peg-out, a higher fee, another committee."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from bitcoin.core import CTransaction
from embit.descriptor import Descriptor
from embit.transaction import Transaction

from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import PegService
from ambientd.adapters.regtest.launcher import EmbeddedRegtest
from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, StoreError
from ambientd.model.base import NodeId
from ambientd.model.peg import PaymentKind
from ambientd.model.record import Body, PegAddress, PegBody, PegFee
from ambientd.ports.chain import Rejected
from ambientd.rules.bitcoin import Outpoint
from ambientd.rules.peg_payments import signed_transaction, txid
from ambientd.rules.peg_script import address, descriptor
from tests.adapters.regtest.running import WALLET
from tests.adapters.test_anchor_service import chain
from tests.ledger.peg import PegCluster
from tests.ledger.test_peg import GUEST, rotate
from tests.rules.peg import PAYEE, signed_by

pytestmark = [pytest.mark.net, pytest.mark.slow]

STEP_MS = 60_000


class Federation:
    """Members around one ledger and one chain."""

    def __init__(self, regtest: EmbeddedRegtest, folder: Path) -> None:
        self.chain = regtest
        self.cluster = PegCluster()
        self.folder = folder
        self.proposed: list[tuple[int, Body]] = []
        self.now = 1_000_000
        self.services = {number: self.service(number) for number in range(4)}

    def service(self, number: int) -> PegService:
        async def propose(body: PegBody) -> None:
            await trio.lowlevel.checkpoint()
            self.proposed.append((number, body))

        return PegService(
            NodeId(self.cluster.node(number)),
            self.cluster.state,
            self.chain,
            SeedSigner(sha256(b"peg %d" % number)),
            PegFile(self.folder / f"peg-{number}.book"),
            lambda: self.now,
            propose,
        )

    async def settle(self, rounds: int = 4, *, without: tuple[int, ...] = ()) -> None:
        """Let everybody look, and the log take what they say, some times."""
        for _ in range(rounds):
            self.now += STEP_MS
            for number, service in self.services.items():
                if number not in without:
                    await service.step()
            records, self.proposed = self.proposed, []
            self.cluster.block(*records)

    async def mine(self, count: int = 6) -> None:
        await self.chain.generate(count, WALLET.address)

    async def pay(self, to: str, value_sat: int) -> None:
        assert await self.chain.fund(to, value_sat)

    async def on_chain_sat(self) -> int:
        """Add up what the wallets' addresses hold, as anybody can."""
        found: dict[Outpoint, int] = {}
        for wallet in self.cluster.state.peg_index.wallets.values():
            theirs = Descriptor.from_string(descriptor(wallet, "regtest"))
            for index in range(self.cluster.state.peg.addresses + 1):
                script = bytes(theirs.derive(index).script_pubkey().data)
                for utxo in await self.chain.utxos(script):
                    found[Outpoint(utxo.txid, utxo.index)] = utxo.value_sat
        return sum(found.values())

    async def check_parsed(self, number: int, version: int) -> None:
        """Have two other programs read what the chain has taken."""
        name = txid(self.cluster.payment(number), version)
        raw = await self.chain.raw_tx(name)
        assert raw is not None
        assert CTransaction.deserialize(raw).GetTxid() == name
        theirs = Transaction.parse(raw)
        assert theirs.txid()[::-1] == name
        assert len(theirs.vin[0].witness.items) == 3 + 2


@pytest.fixture
async def federation(tmp_path: Path) -> AsyncIterator[Federation]:
    async with chain(tmp_path / "chain", interval_ms=600_000) as regtest:
        found = Federation(regtest, tmp_path)
        await found.mine(110)
        await found.settle(2)
        found.cluster.block(*((number, PegAddress()) for number in range(4)))
        yield found


def address_of(federation: Federation, number: int, wallet: int = 1) -> str:
    index = federation.cluster.state.peg_node(federation.cluster.node(number)).index
    return address(federation.cluster.state.peg_index.wallets[wallet], index, "regtest")


async def test_coins_come_in_go_out_and_follow_the_committee(federation: Federation) -> None:
    cluster = federation.cluster
    await federation.pay(address_of(federation, 1), 500_000)
    await federation.pay(address_of(federation, 2), 300_000)
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
    await federation.mine()
    await federation.settle(without=(2,))
    entry = cluster.state.peg_payment(1)
    assert entry is not None
    assert entry.final == 1, "the dearer version has replaced the first"
    await federation.check_parsed(1, 1)
    [paid] = await federation.chain.utxos(PAYEE)
    assert paid.value_sat == 196_000
    assert await federation.on_chain_sat() == 600_000

    rotate(cluster, GUEST)
    federation.services[GUEST] = federation.service(GUEST)
    late = address_of(federation, 2, wallet=1)
    await federation.settle()
    await federation.mine()
    await federation.settle()
    sweep = cluster.payment(2)
    assert sweep.kind is PaymentKind.SWEEP
    held = cluster.state.peg_index.held_sat()
    assert held == {2: 600_000 - sweep.fees_sat[0]}
    await federation.check_parsed(2, 0)
    assert await federation.on_chain_sat() == held[2]

    await federation.pay(late, 50_000)
    await federation.mine()
    await federation.settle()
    assert cluster.balance_sat(2) == 299_500, "not before it is brought over"
    await federation.mine()
    await federation.settle()
    fee_sat = cluster.payment(3).fees_sat[0]
    assert cluster.balance_sat(2) == 299_500 + 50_000 - fee_sat - 500
    assert await federation.on_chain_sat() == sum(cluster.state.peg_index.held_sat().values())


async def test_a_minority_s_transaction_is_refused_by_the_chain(federation: Federation) -> None:
    cluster = federation.cluster
    await federation.pay(address_of(federation, 1), 500_000)
    await federation.mine()
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


def test_a_book_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "peg.book"
    path.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="sign a coin away twice"):
        PegFile(path).load()
    with pytest.raises(StoreError, match="cannot be read"):
        PegFile(tmp_path).load()
    with pytest.raises(StoreError, match="cannot be written"):
        PegFile(tmp_path / "nowhere" / "peg.book").save(PegFile(tmp_path / "none").load())
