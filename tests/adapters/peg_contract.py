"""The peg on whatever chain: bitcoin comes in, goes out, pays more, follows the committee."""

from pathlib import Path
from typing import Any

from ambientd.adapters.anchor_wallet import script_of_address
from ambientd.ledger.peg import reserves_sat
from ambientd.ledger.peg_ins import PEG_IN_FEE_SAT
from ambientd.model.peg import PaymentKind
from ambientd.model.record import PegFee, PegReturn
from ambientd.ports.chain import Chain, Rejected
from ambientd.roles.pegging.core import ENDED_MS
from ambientd.rules.bitcoin import Transaction, decode_transaction
from ambientd.rules.peg_payments import txid
from tests.adapters.federation import STEP_MS, Federation
from tests.adapters.ground import Ground
from tests.adapters.second_reader import Reading, readings
from tests.ledger.test_peg import GUEST, rotate
from tests.rules.peg import PAYEE


class Overheard:
    """A chain, and what it has taken that is not mined: the last of those that exclude others."""

    def __init__(self, inner: Chain) -> None:
        self.inner = inner
        self.taken: list[Transaction] = []
        self.waiting: list[Transaction] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        answer = await self.inner.broadcast(raw)
        sent = decode_transaction(raw)
        if answer == sent.txid and sent.txid not in {each.txid for each in self.taken}:
            self.taken.append(sent)
            spent = {each.outpoint for each in sent.inputs}
            self.waiting = [
                each for each in self.waiting if not spent & {one.outpoint for one in each.inputs}
            ]
            self.waiting.append(sent)
        return answer


def federation_on(chain: Overheard, ground: Ground, folder: Path) -> Federation:
    async def mine(count: int) -> None:
        waiting, chain.waiting = chain.waiting, []
        ground.mine(count, waiting)

    async def pay(address: str, value_sat: int) -> None:
        ground.mine(1, [ground.spend((value_sat, script_of_address(address)))])

    return Federation(chain, folder, mine, pay)  # type: ignore[arg-type]


class PegContract:
    """Inherit and provide the fixtures `ground`, and `chain` on the same network."""

    async def test_a_peg_stands_on_it(self, chain: Chain, ground: Ground, tmp_path: Path) -> None:
        heard = Overheard(chain)
        federation = federation_on(heard, ground, tmp_path)
        cluster = federation.cluster
        await federation.open()

        await federation.pay(federation.address(1), 500_000)
        await federation.mine(4)
        await federation.settle(2)
        assert cluster.balance_sat(1) == 0, "five confirmations are too few"
        await federation.mine(1)
        await federation.settle(2)
        assert cluster.balance_sat(1) == 499_500

        cluster.block((1, cluster.out(200_000, fee_sat=400)))
        await federation.settle(2, without=(0,))
        assert await chain.raw_tx(txid(cluster.payment(1), 0)) is not None, "it waits"
        cluster.block((1, PegFee(payment=1, fee_sat=4_000)))
        await federation.settle(2, without=(3,))
        assert await chain.raw_tx(txid(cluster.payment(1), 0)) is None, "it was replaced"
        await federation.mine(6)
        await federation.settle(2, without=(2,))
        entry = cluster.state.peg_payment(1)
        assert entry is not None
        assert entry.final == 1
        paid = [each.value_sat for each in await chain.utxos(PAYEE)]
        assert paid == [196_000]
        assert await federation.on_chain_sat() == 300_000

        rotate(cluster, GUEST)
        federation.services[GUEST] = federation.service(GUEST)
        await federation.settle(3)
        await federation.mine(6)
        await federation.settle(2)
        sweep = cluster.payment(2)
        assert sweep.kind is PaymentKind.SWEEP
        left_sat = 300_000 - sweep.fees_sat[0]
        assert cluster.state.peg_index.held_sat() == {2: left_sat}
        assert await federation.on_chain_sat() == left_sat

        await federation.pay(federation.address(2, wallet=1), 50_000)
        await federation.mine(5)
        await federation.settle(3)
        assert cluster.balance_sat(2) == 0, "it came to the earlier wallet"
        await federation.mine(6)
        await federation.settle(2)
        fee_sat = cluster.payment(3).fees_sat[0]
        assert cluster.balance_sat(2) == 50_000 - fee_sat - PEG_IN_FEE_SAT
        assert await federation.on_chain_sat() == left_sat + 50_000 - fee_sat
        await self.check_return(chain, federation)
        self.check_read(heard, federation, tmp_path)

    async def check_return(self, chain: Chain, federation: Federation) -> None:
        """Send back what is too small to be credited, from its own worth."""
        cluster, sender = federation.cluster, b"\x00\x14" + bytes(19) + b"\x07"
        before_sat = await federation.on_chain_sat()
        await federation.pay(federation.address(3), 4_000)
        [coin] = await chain.utxos(script_of_address(federation.address(3)))
        asked = PegReturn(
            txid=coin.txid,
            output=coin.index,
            script=sender,
            fee_sat=400,
            said_ms=cluster.next_ms(),
        )
        cluster.block((3, asked))
        await federation.mine(5)
        await federation.settle(3)
        payment = cluster.payment(4)
        assert payment.kind is PaymentKind.RETURN
        await federation.mine(6)
        await federation.settle(2)
        assert [each.value_sat for each in await chain.utxos(sender)] == [3_600]
        assert cluster.state.peg_index.open_payments() == []
        assert await federation.on_chain_sat() == reserves_sat(cluster.state) == before_sat

    def check_read(self, heard: Overheard, federation: Federation, folder: Path) -> None:
        """Have another program verify all that the chain has taken."""
        values = {
            txid(payment, version): [spent.value_sat for spent in payment.coins]
            for payment in map(federation.cluster.payment, (1, 2, 3, 4))
            for version in range(len(payment.fees_sat))
        }
        assert {each.txid for each in heard.taken} == set(values)
        found = readings(folder, [(each.raw, values[each.txid]) for each in heard.taken])
        for ours, reading in zip(heard.taken, found, strict=True):
            assert isinstance(reading, Reading), reading
            assert (reading.txid, reading.is_verified) == (ours.txid, True)

    async def test_a_deep_reorganisation_mines_another_version_and_the_books_follow(
        self, chain: Chain, ground: Ground, tmp_path: Path
    ) -> None:
        heard = Overheard(chain)
        federation = federation_on(heard, ground, tmp_path)
        cluster = federation.cluster
        await federation.open()
        await federation.pay(federation.address(1), 500_000)
        await federation.mine(6)
        await federation.settle(2)
        fork, elsewhere = ground.height(), b"\x00\x14" + bytes(range(1, 21))

        cluster.block((1, cluster.out(100_000, script=elsewhere)))
        await federation.settle(2)
        [first] = heard.waiting
        cluster.block((1, PegFee(payment=1, fee_sat=5_000)))
        await federation.settle(2)
        await federation.mine(6)
        await federation.settle(2)
        cluster.block((1, cluster.out(50_000, script=elsewhere)))
        await federation.settle(2)
        await federation.mine(6)
        await federation.settle(2)
        assert cluster.state.peg.out_sat == 95_000 + 49_500

        ground.mine(ground.height() - fork + 1, [first], above=fork)
        heard.waiting.clear()
        await federation.settle(2 + ENDED_MS // STEP_MS)
        assert cluster.state.peg.out_sat == 99_500
        assert cluster.state.peg_index.open_payments() == [2], "it was undone, too"
        await federation.mine(6)
        await federation.settle(2)
        assert cluster.state.peg.out_sat == 99_500 + 49_500
        paid = [each.value_sat for each in await chain.utxos(elsewhere)]
        assert paid == [99_500, 49_500]
        assert await federation.on_chain_sat() == reserves_sat(cluster.state) == 350_000
