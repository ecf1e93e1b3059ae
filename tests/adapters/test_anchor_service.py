"""Roots come into Bitcoin blocks on a real chain; what stands in the way is told, then gone on."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters import anchor_service
from ambientd.adapters.anchor_service import ChainAnchors
from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.api.story import anchor_txid
from ambientd.model.receipt import AnchorProof
from ambientd.ports.anchors import AnchorSent
from ambientd.ports.chain import Rejected
from ambientd.rules.bitcoin import REGTEST, Branch, check_anchor

pytestmark = [pytest.mark.net, pytest.mark.slow]

ROOT = bytes(range(32))
WALLET = AnchorWallet(b"\x07" * 32, "regtest")
FEE_SAT_MAX = 10_000


def chain_pid(folder: Path) -> int:
    """The process that has the chain's folder open."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"ambientd.adapters.regtest" in command and os.fsencode(folder) in command:
                return int(entry.name)
    raise AssertionError(f"no chain runs in {folder}")


@asynccontextmanager
async def chain(folder: Path, interval_ms: int = 50) -> AsyncIterator[EmbeddedRegtest]:
    started = await EmbeddedRegtest.start(EmbeddedChain(folder, interval_ms, idle_exit_s=30))
    try:
        yield started
    finally:
        with trio.CancelScope(shield=True):
            await started.aclose()
        os.kill(chain_pid(folder), signal.SIGTERM)


def holds(proof: AnchorProof, root: bytes) -> bool:
    branch = Branch(proof.index, proof.siblings)
    check = check_anchor(
        root, proof.raw_tx, branch, proof.header, list(proof.following_headers), REGTEST
    )
    return check.passed


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    with trio.fail_after(20):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await trio.sleep(0.02)


async def test_roots_are_anchored_one_after_the_other_and_their_progress_told(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path) as embedded:
        sent: list[AnchorSent] = []
        anchors = ChainAnchors(embedded, WALLET, FEE_SAT_MAX, embedded.fund, sent.append)
        assert anchors.status().state == "ready"
        assert WALLET.address in anchors.status().detail
        for root in (ROOT, ROOT[::-1]):
            with trio.fail_after(30):
                proof = await anchors.anchor(root)
            assert holds(proof, root)
            assert not holds(proof, bytes(32))
            assert len(proof.following_headers) == 5
            assert sent.pop() == AnchorSent(root, anchor_txid(proof.raw_tx))
            assert sent == []
            progress = anchors.progress()[root]
            assert (progress.state, progress.height) == ("confirming", proof.height)
            assert progress.confirmations >= 6
        assert anchors.status().height is not None
        assert anchors.status().height >= proof.height + 5


async def test_who_has_no_funds_says_where_to_send_some_and_goes_on_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_service, "RETRY_PAUSE_S", 0.05)
    async with chain(tmp_path) as embedded, trio.open_nursery() as nursery:
        anchors = ChainAnchors(embedded, WALLET, FEE_SAT_MAX)
        proofs: list[AnchorProof] = []

        async def anchor() -> None:
            proofs.append(await anchors.anchor(ROOT))

        nursery.start_soon(anchor)
        await until(lambda: "out of funds: 0 sat" in anchors.status().state)
        assert f"send some to {WALLET.address}" in anchors.status().state
        assert anchors.progress()[ROOT].state.startswith("waiting: out of funds")
        await embedded.fund(WALLET.address)
        await until(lambda: bool(proofs))
        assert holds(proofs[0], ROOT)
        assert anchors.status().state == "ready"


async def test_a_fee_above_the_cap_is_not_paid(tmp_path: Path) -> None:
    async with chain(tmp_path) as embedded:
        anchors = ChainAnchors(embedded, WALLET, fee_sat_max=100, fund=embedded.fund)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anchors.anchor, ROOT)
            await until(lambda: "is above the cap 100" in anchors.status().state)
            nursery.cancel_scope.cancel()


async def test_a_chain_that_is_killed_in_the_middle_is_started_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_service, "RETRY_PAUSE_S", 0.05)
    monkeypatch.setattr(anchor_service, "REBROADCAST_POLLS", 1)
    async with chain(tmp_path, interval_ms=400) as embedded, trio.open_nursery() as nursery:
        anchors = ChainAnchors(embedded, WALLET, FEE_SAT_MAX, embedded.fund)
        proofs: list[AnchorProof] = []

        async def anchor() -> None:
            proofs.append(await anchors.anchor(ROOT))

        nursery.start_soon(anchor)
        await until(lambda: ROOT in anchors.progress())
        first = chain_pid(tmp_path)
        os.kill(first, signal.SIGKILL)
        await until(lambda: bool(proofs))
        assert holds(proofs[0], ROOT)
        assert chain_pid(tmp_path) != first


class Forgetful:
    """A real chain that loses the first transaction it is given, and refuses when it is told to."""

    def __init__(self, inner: EmbeddedRegtest) -> None:
        self.inner = inner
        self.lost = 0
        self.sent = 0
        self.refusal: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        self.sent += 1
        if self.refusal is not None:
            return Rejected(self.refusal)
        if not self.lost:
            self.lost += 1
            return b"t" * 32
        return await self.inner.broadcast(raw)


async def test_an_anchor_that_the_network_forgot_is_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_service, "REBROADCAST_POLLS", 2)
    monkeypatch.setattr(anchor_service, "RETRY_PAUSE_S", 0.05)
    async with chain(tmp_path) as embedded:
        forgetful = Forgetful(embedded)
        anchors = ChainAnchors(forgetful, WALLET, FEE_SAT_MAX, embedded.fund)
        with trio.fail_after(20):
            assert holds(await anchors.anchor(ROOT), ROOT)
        assert forgetful.sent >= 2
        # A chain that will not take a transaction is told in its own words.
        forgetful.refusal = "min relay fee not met"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anchors.anchor, ROOT[::-1])
            await until(lambda: "min relay fee not met" in anchors.status().state)
            nursery.cancel_scope.cancel()
