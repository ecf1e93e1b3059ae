"""What every signer of the peg must do; ours, and one that signs as a hardware wallet does."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from embit import bip32, ec, script
from embit.descriptor import Descriptor
from embit.psbt import PSBT, DerivationPath
from embit.transaction import Transaction, TransactionOutput
from msgspec.structs import replace

from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import AWAY_TOLD_MS, PegService
from ambientd.codec import secp256k1
from ambientd.codec.digest import sha256
from ambientd.errors import UnreachableError
from ambientd.model.peg import PaymentKind, PegPayment, PegWallet
from ambientd.model.record import PegBody, PegSigned
from ambientd.ports.peg_signer import PegSigner
from ambientd.rules.peg_payments import base_transaction, digests, outputs
from ambientd.rules.peg_script import child_key, descriptor, locking_script, witness_script
from tests.adapters.test_peg_looks import StrangeChain
from tests.ledger.peg import PegCluster
from tests.rules.peg import coin, compact, peg_out, wallet

SEED = sha256(b"peg 0")


class PsbtSigner:
    """A device: it knows its seed and the wallets' descriptors, and is handed PSBTs (BIP 174).

    It compares what it is to sign with the payment that it is shown, as a person would on a screen.
    """

    def __init__(self, seed: bytes) -> None:
        self.root = bip32.HDKey.from_seed(seed)
        self.key = self.root.get_public_key().serialize()
        self.chain_code = self.root.chain_code

    async def prove(self, digest: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return compact(self.root.key.sign(digest))

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        await trio.lowlevel.checkpoint()
        psbt = PSBT(Transaction.parse(base_transaction(payment, version)))
        shown = [(each.value, bytes(each.script_pubkey.data)) for each in psbt.tx.vout]
        assert shown == outputs(payment, version)
        for place, spent in enumerate(payment.coins):
            own = wallets[spent.wallet]
            theirs = Descriptor.from_string(descriptor(own, "regtest")).derive(spent.index)
            given = psbt.inputs[place]
            given.witness_utxo = TransactionOutput(spent.value_sat, theirs.script_pubkey())
            given.witness_script = script.Script(theirs.witness_script().data)
            child = ec.PublicKey.parse(child_key(self.key, self.chain_code, spent.index))
            given.bip32_derivations[child] = DerivationPath(self.root.my_fingerprint, [spent.index])
        signed = psbt.sign_with(self.root)
        assert signed == len(payment.coins)
        return tuple(compact(_only(each.partial_sigs.values())) for each in psbt.inputs)


def _only(signatures: object) -> ec.Signature:
    [signature] = signatures  # type: ignore[misc]
    return ec.Signature.parse(signature[:-1])


def payments() -> list[tuple[PegPayment, dict[int, PegWallet]]]:
    """A peg-out, a sweep and a late peg-in, of one coin and several, from two wallets."""
    first, second = wallet(3, 4), wallet(2, 2)
    coins = (coin(50_000, 5), coin(60_000, 0, number=2), coin(70_000, 9, number=3, wallet=2))
    both = {1: first, 2: second}
    out = peg_out(first, coins, 100_000, 900, 5_000)
    moved = {"amount_sat": 0, "script": b"", "change_script": locking_script(second, 0)}
    return [
        (out, both),
        (peg_out(first, coins[:1], 50_000, 900, 5_000), {1: first}),
        (replace(out, kind=PaymentKind.SWEEP, **moved), both),
        (replace(out, kind=PaymentKind.LATE, coins=coins[:1], **moved), both),
    ]


class SignerContract:
    """Inherit and provide the fixture `signer`, with the seed of the tests."""

    async def test_its_key_leads_to_the_wallets_addresses(self, signer: PegSigner) -> None:
        ours = wallet(1, 1)
        [known] = ours.signers
        assert (signer.key, signer.chain_code) == (known.key, known.chain_code)
        child = child_key(signer.key, signer.chain_code, 7)
        assert child in witness_script(ours, 7)

    async def test_it_shows_that_the_key_is_its_own(self, signer: PegSigner) -> None:
        digest = sha256(b"a possession")
        assert secp256k1.verify(signer.key, digest, await signer.prove(digest))

    @pytest.mark.parametrize("version", [0, 1])
    async def test_it_signs_each_coin_of_each_version(
        self, signer: PegSigner, version: int
    ) -> None:
        for payment, wallets in payments():
            signatures = await signer.sign(payment, version, wallets)
            wanted = digests(payment, version, wallets)
            assert len(signatures) == len(payment.coins)
            for spent, digest, signature in zip(payment.coins, wanted, signatures, strict=True):
                child = child_key(signer.key, signer.chain_code, spent.index)
                # The ledger takes 64 bytes with s in the lower half, and so does this.
                assert secp256k1.verify(child, digest, signature)
                assert len(signature) == 64

    async def test_it_signs_nothing_but_that(self, signer: PegSigner) -> None:
        [payment, wallets] = payments()[0]
        first, second = [await signer.sign(payment, version, wallets) for version in (0, 1)]
        assert not set(first) & set(second)
        other = replace(payment, amount_sat=payment.amount_sat + 1)
        spent = payment.coins[0]
        child = child_key(signer.key, signer.chain_code, spent.index)
        assert not secp256k1.verify(child, digests(other, 0, wallets)[0], first[0])


class TestSeedSigner(SignerContract):
    """The one in the daemon's process."""

    @pytest.fixture
    def signer(self) -> PegSigner:
        return SeedSigner(SEED)


class TestPsbtSigner(SignerContract):
    """One that is handed PSBTs."""

    @pytest.fixture
    def signer(self) -> PegSigner:
        return PsbtSigner(SEED)


class Unplugged(SeedSigner):
    """A device that does not answer for a while."""

    is_away = True

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        if self.is_away:
            await trio.lowlevel.checkpoint()
            raise UnreachableError("the device does not answer: plug it in")
        return await super().sign(payment, version, wallets)


S = TypeVar("S", bound=SeedSigner)


def with_signer(
    folder: Path, signer: S, *, stands_aside: Callable[[], bool] = lambda: False
) -> tuple[PegService, list[PegBody], list[int], S]:
    """A member with a payment to sign, what it says, and its clock."""
    cluster, said, now = PegCluster(), list[PegBody](), [1_000_000]
    cluster.open()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    chain = StrangeChain()
    [coin_spent] = cluster.payment(1).coins
    chain.raws[coin_spent.txid] = b"mined"

    async def propose(body: PegBody) -> None:
        await trio.lowlevel.checkpoint()
        said.append(body)

    service = PegService(
        cluster.node(0),
        cluster.state,
        chain,  # type: ignore[arg-type]
        signer,
        PegFile(folder / "peg.book"),
        lambda: now[0],
        propose,
        stands_aside=stands_aside,
    )
    return service, said, now, signer


async def test_a_device_that_is_away_is_asked_again(tmp_path: Path) -> None:
    service, said, now, signer = with_signer(tmp_path, Unplugged(SEED))
    await service.step()  # it looks for the ledger's coins first
    now[0] += 60_000
    await service.step()
    assert said == []
    assert PegFile(tmp_path / "peg.book").load().pledges, "what is to be signed is pledged"
    away = ("the peg's signer: the device does not answer: plug it in",)
    assert service.faults() == away
    now[0] += AWAY_TOLD_MS
    assert service.faults() == (), "others may have signed: it is told of while it is wanted"
    await service.step()
    assert service.faults() == away
    signer.is_away = False
    now[0] += 60_000
    await service.step()
    assert [type(each) for each in said] == [PegSigned]
    assert service.faults() == ()


async def test_who_stands_aside_signs_and_pledges_no_payment(tmp_path: Path) -> None:
    aside = [True]
    service, said, now, _ = with_signer(tmp_path, SeedSigner(SEED), stands_aside=lambda: aside[0])
    for _ in range(3):
        await service.step()
        now[0] += 60_000
    assert said == []
    assert not PegFile(tmp_path / "peg.book").load().pledges
    aside[0] = False  # another program, which knows the log's version
    for _ in range(2):
        await service.step()
        now[0] += 60_000
    assert [type(each) for each in said] == [PegSigned]


class Waiting(SeedSigner):
    """A device that waits for a person."""

    def __init__(self, seed: bytes) -> None:
        super().__init__(seed)
        self.asked, self.lets = trio.Event(), trio.Event()

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        self.asked.set()
        await self.lets.wait()
        return await super().sign(payment, version, wallets)


async def test_a_device_that_waits_for_a_person_is_told_of(tmp_path: Path) -> None:
    service, said, now, signer = with_signer(tmp_path, Waiting(SEED))
    await service.step()
    now[0] += 60_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.step)
        await signer.asked.wait()
        assert service.faults() == ()
        now[0] += 20_000
        assert service.faults() == ("the peg's signer has not answered for 20 s",)
        signer.lets.set()
    assert [type(each) for each in said] == [PegSigned]
    assert service.faults() == ()
