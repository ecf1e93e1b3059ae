"""A member that crashes anywhere between the book and the log signs no coin away twice."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import trio

from ambientd.adapters.peg_file import PegFile
from ambientd.adapters.peg_keys import SeedSigner
from ambientd.adapters.peg_service import PegService
from ambientd.codec.digest import sha256
from ambientd.model.peg import PegPayment, PegWallet
from ambientd.model.record import PegBody, PegSigned
from ambientd.roles.pegging.book import PegBook
from tests.adapters.test_peg_looks import StrangeChain
from tests.ledger.cluster import rejections
from tests.ledger.peg import PegCluster


class WatchedSigner(SeedSigner):
    """Tells what it was asked to sign, and what the disk held then."""

    def __init__(self, file: PegFile) -> None:
        super().__init__(sha256(b"peg 0"))
        self.file = file
        self.asked: list[tuple[int, ...]] = []

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        self.asked.append(tuple(pledge.payment for pledge in self.file.load().pledges))
        return await super().sign(payment, version, wallets)


class FullDisk(PegFile):
    """Takes nothing."""

    def save(self, book: PegBook) -> None:
        raise OSError(28, "No space left on device")


class CrashError(Exception):
    """The process ends here."""


def with_payment() -> tuple[PegCluster, StrangeChain]:
    """Give a payment whose coin the chain knows, and waits to be signed."""
    cluster, chain = PegCluster(), StrangeChain()
    cluster.open()
    cluster.fund(1, 200_000)
    cluster.block((1, cluster.out(100_000)))
    [coin] = cluster.payment(1).coins
    chain.raws[coin.txid] = b"mined"
    return cluster, chain


def stepped(
    cluster: PegCluster, chain: StrangeChain, signer: WatchedSigner, *, crashes: bool
) -> list[PegSigned]:
    """Let a member that has just started look and then sign; give what reached the log."""
    said: list[PegSigned] = []

    async def propose(body: PegBody) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(body, PegSigned):
            if crashes:
                raise CrashError
            said.append(body)

    async def main() -> None:
        service = PegService(
            cluster.node(0),
            cluster.state,
            chain,  # type: ignore[arg-type]
            signer,
            signer.file,
            lambda: 1_000_000,
            propose,
        )
        for _ in range(2):
            await service.step()

    trio.run(main)
    return said


def test_nothing_is_signed_that_is_not_on_disk(tmp_path: Path) -> None:
    cluster, chain = with_payment()
    signer = WatchedSigner(FullDisk(tmp_path / "peg.book"))
    with pytest.raises(OSError, match="No space"):
        stepped(cluster, chain, signer, crashes=False)
    assert signer.asked == []


def test_a_crash_after_signing_leads_to_the_same_signature_again(tmp_path: Path) -> None:
    cluster, chain = with_payment()
    signer = WatchedSigner(PegFile(tmp_path / "peg.book"))
    with pytest.raises(CrashError):
        stepped(cluster, chain, signer, crashes=True)
    [said] = stepped(cluster, chain, signer, crashes=False)
    assert signer.asked == [(1,), (1,)], "it was on disk both times"
    assert rejections(cluster.block((0, said))) == []
