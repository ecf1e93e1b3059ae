"""Anchors whose key is on a device: it may be away, and it may take its time."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from ambientd.adapters import anchor_service
from ambientd.adapters.anchor_file import AnchorFile
from ambientd.model.base import Digest
from ambientd.roles.anchoring.book import Coin
from tests.adapters.test_anchor_service import OTHER_ROOT, ROOT, WALLET, Member, chain, holds, until

pytestmark = [pytest.mark.net, pytest.mark.slow]
AWAY = "the signing device is away: plug it in"


class Device:
    """A signer outside this process, which somebody has to let sign."""

    def __init__(self) -> None:
        self.address, self.script = WALLET.address, WALLET.script
        self.is_away = False
        self.asked = 0
        self.lets = threading.Event()

    def sign(self, coins: Sequence[Coin], root: Digest, fee_sat: int) -> bytes | str:
        self.asked += 1
        if self.is_away:
            return AWAY
        self.lets.wait()
        return WALLET.sign(coins, root, fee_sat)


async def test_a_signer_that_is_away_is_told_of_and_asked_again(tmp_path: Path) -> None:
    device = Device()
    device.is_away = True
    device.lets.set()
    async with chain(tmp_path) as embedded:
        await embedded.fund(WALLET.address)
        async with Member(embedded, tmp_path / "book", wallet=device).works() as member:
            member.anchors.want(1, ROOT)
            await until(lambda: device.asked > 2)
            assert member.anchors.status().state == AWAY
            assert member.state() == f"waiting: {AWAY}"
            assert member.signed == []
            device.is_away = False
            await until(lambda: bool(member.proofs))
            assert holds(member.proofs[0], ROOT)
            assert member.anchors.status().state == "ready"


async def test_a_slow_signer_holds_nothing_else_up_and_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_service, "ANSWER_MS", 100)
    device = Device()
    async with chain(tmp_path) as embedded:
        await embedded.fund(WALLET.address)
        async with Member(embedded, tmp_path / "book", wallet=device).works() as member:
            member.anchors.want(1, ROOT)
            await until(lambda: device.asked > 0)
            await until(lambda: member.anchors.status().trouble is not None)
            assert "signer has not answered for 0 s" in str(member.anchors.status().trouble)
            member.anchors.want(2, OTHER_ROOT)
            assert member.signed == []
            device.lets.set()
            await until(lambda: any(holds(proof, OTHER_ROOT) for proof in member.proofs))
            assert member.anchors.status().trouble is None


async def test_a_daemon_ends_though_its_signer_never_answers(tmp_path: Path) -> None:
    device = Device()
    async with chain(tmp_path) as embedded:
        await embedded.fund(WALLET.address)
        with trio.fail_after(60):
            async with Member(embedded, tmp_path / "book", wallet=device).works() as member:
                member.anchors.want(1, ROOT)
                await until(lambda: device.asked > 0)
        assert member.signed == []
        [entry] = AnchorFile(tmp_path / "book").load().roots
        assert entry.versions == (), "nothing was signed, and nothing is written down as if it were"
        device.lets.set()
