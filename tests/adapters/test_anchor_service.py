"""Roots come into Bitcoin blocks on a real chain; what stands in the way is told, then gone on."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from ambientd.adapters import anchor_service
from ambientd.adapters.anchor_file import AnchorFile
from ambientd.adapters.anchor_service import ChainAnchors
from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.bitcoin_rpc import BitcoinRpcChain
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.api.story import anchor_txid
from ambientd.errors import ConfigError, UnreachableError
from ambientd.model.base import Digest
from ambientd.model.receipt import AnchorProof
from ambientd.model.record import Anchor
from ambientd.node.event import AnchorProven, AnchorSigned
from ambientd.ports.anchor_signer import AnchorSigner
from ambientd.ports.anchors import AnchorSent
from ambientd.ports.chain import Chain, Rejected, Tip
from ambientd.roles.anchoring.book import Coin
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.bitcoin import (
    REGTEST,
    Branch,
    Transaction,
    check_anchor,
    committed_roots,
    decode_transaction,
)
from tests.adapters.ground import Ground
from tests.adapters.regtest.running import running
from tests.rules.receipts import agreed

pytestmark = [pytest.mark.net, pytest.mark.slow]

DEADLINE_S = 60.0
ROOT = Digest(bytes(range(32)))
OTHER_ROOT = Digest(ROOT[::-1])
WALLET = AnchorWallet(b"\x07" * 32, "regtest")
OTHER_WALLET = AnchorWallet(b"\x08" * 32, "regtest")
QUICK = AnchoringOptions(
    look_ms=20, retry_ms=20, watch_ms=20, rebroadcast_ms=100, bump_blocks=3, bump_ms=3_600_000
)


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
    with trio.fail_after(DEADLINE_S):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await trio.sleep(0.02)


class Member:
    """A member's anchors, what they hand to the node, and the file they live on."""

    def __init__(
        self,
        chain: Chain,
        file: Path,
        *,
        wallet: AnchorSigner = WALLET,
        options: AnchoringOptions = QUICK,
        fund: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        self.sent: list[AnchorSent] = []
        self.signed: list[AnchorSigned] = []
        self.proofs: list[AnchorProof] = []
        self.anchors = ChainAnchors(
            chain,
            wallet,
            AnchorFile(file),
            options,
            lambda: int(trio.current_time() * 1000),
            fund,
            self.sent.append,
        )

    async def post(self, event: AnchorProven | AnchorSigned) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(event, AnchorProven):
            self.proofs.append(event.proof)
        else:
            self.signed.append(event)

    @asynccontextmanager
    async def works(self) -> AsyncIterator["Member"]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.anchors.run, self.post)
            yield self
            nursery.cancel_scope.cancel()

    def state(self, root: bytes = ROOT) -> str:
        found = self.anchors.progress().get(root)
        return "unknown" if found is None else found.state


async def anchored(chain: EmbeddedRegtest, file: Path, root: Digest) -> AnchorProof:
    """Bring one root into a chain that mines by itself."""
    async with Member(chain, file, fund=chain.fund).works() as member:
        member.anchors.want(1, root)
        await until(lambda: bool(member.proofs))
        return member.proofs[0]


async def test_roots_are_anchored_one_after_the_other_and_their_progress_told(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path) as embedded:
        member = Member(embedded, tmp_path / "book", fund=embedded.fund)
        assert member.anchors.status().state == "ready"
        assert WALLET.address in member.anchors.status().detail
        async with member.works():
            for size, root in enumerate((ROOT, OTHER_ROOT)):
                member.anchors.want(size, root)
                await until(lambda size=size: len(member.proofs) > size)
                proof = member.proofs[-1]
                assert holds(proof, root)
                assert not holds(proof, bytes(32))
                assert len(proof.following_headers) == 5
                assert member.sent == [AnchorSent(root, anchor_txid(proof.raw_tx))]
                assert member.signed.pop().raw_tx == proof.raw_tx
                member.sent.clear()
                await until(lambda root=root: member.state(root) == "proven")
                progress = member.anchors.progress()[root]
                assert progress.height == proof.height
                assert progress.confirmations >= 6
            assert member.anchors.status().height is not None
            assert member.anchors.status().height >= proof.height + 5


async def test_who_has_no_funds_says_where_to_send_some_and_goes_on_when_they_come(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path) as embedded, Member(embedded, tmp_path / "book").works() as member:
        member.anchors.want(1, ROOT)
        await until(lambda: "out of funds: 0 sat" in member.anchors.status().state)
        assert f"send some to {WALLET.address}" in member.anchors.status().state
        assert member.state().startswith("waiting: out of funds")
        await embedded.fund(WALLET.address)
        await until(lambda: bool(member.proofs))
        assert holds(member.proofs[0], ROOT)
        assert member.anchors.status().state == "ready"


async def test_a_fee_above_the_cap_is_not_paid(tmp_path: Path) -> None:
    async with chain(tmp_path) as embedded:
        poor = replace(QUICK, fee_sat_max=100)
        member = Member(embedded, tmp_path / "book", options=poor, fund=embedded.fund)
        async with member.works():
            member.anchors.want(1, ROOT)
            await until(lambda: "is above the cap 100" in member.anchors.status().state)
        assert not (tmp_path / "book").exists() or not member.signed


async def test_a_chain_that_is_killed_in_the_middle_is_started_and_gone_on_with(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path, interval_ms=400) as embedded:
        member = Member(embedded, tmp_path / "book", fund=embedded.fund)
        async with member.works():
            member.anchors.want(1, ROOT)
            await until(lambda: bool(member.sent))
            first = chain_pid(tmp_path)
            os.kill(first, signal.SIGKILL)
            await until(lambda: bool(member.proofs))
        assert holds(member.proofs[0], ROOT)
        assert chain_pid(tmp_path) != first


async def test_a_chain_that_hangs_is_a_trouble_until_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(anchor_service, "ANSWER_MS", 300)
    async with chain(tmp_path) as embedded:
        member = Member(embedded, tmp_path / "book", fund=embedded.fund)
        async with member.works():
            member.anchors.want(1, ROOT)
            await until(lambda: bool(member.sent))
            assert member.anchors.status().trouble is None
            process = chain_pid(tmp_path)
            os.kill(process, signal.SIGSTOP)
            try:
                await until(lambda: member.anchors.status().trouble is not None)
                told = member.anchors.status()
                assert "the regtest chain has not answered for" in (told.trouble or "")
                assert told.state == told.trouble
            finally:
                os.kill(process, signal.SIGCONT)
            await until(lambda: member.anchors.status().trouble is None)
            await until(lambda: bool(member.proofs))


class Behind:
    """A real chain whose node says that it has not downloaded all of it."""

    def __init__(self, inner: EmbeddedRegtest) -> None:
        self.inner = inner
        self.is_behind = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def tip(self) -> Tip:
        if self.is_behind:
            raise UnreachableError("still downloading the chain: it has 1 of 9 Bitcoin blocks")
        return await self.inner.tip()


async def test_nothing_is_signed_by_a_tip_that_is_none_and_the_owner_is_told(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path) as embedded:
        await embedded.fund(WALLET.address)
        behind = Behind(embedded)
        async with Member(behind, tmp_path / "book").works() as member:
            member.anchors.want(1, ROOT)
            await until(lambda: member.anchors.status().trouble is not None)
            assert "1 of 9 Bitcoin blocks" in (member.anchors.status().trouble or "")
            assert member.state() == "waiting"
            assert member.sent == []
            behind.is_behind = False
            await until(lambda: bool(member.sent))
            assert member.anchors.status().trouble is None


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


async def test_an_anchor_that_the_network_forgot_is_sent_again(tmp_path: Path) -> None:
    async with chain(tmp_path) as embedded:
        forgetful = Forgetful(embedded)
        async with Member(forgetful, tmp_path / "book", fund=embedded.fund).works() as member:
            member.anchors.want(1, ROOT)
            await until(lambda: bool(member.proofs))
            assert holds(member.proofs[0], ROOT)
            assert forgetful.sent >= 2
            # A chain that will not take a transaction is told in its own words.
            forgetful.refusal = "min relay fee not met"
            member.anchors.want(2, OTHER_ROOT)
            await until(lambda: "min relay fee not met" in member.anchors.status().state)
            assert "min relay fee not met" in member.state(OTHER_ROOT)


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[tuple[Ground, BitcoinRpcChain]]:
    """A chain on which nothing is mined but what a test mines."""
    with running(folder / "chain", "--block-interval-ms", "3600000") as process:
        moved = Ground(process.client)
        rpc = BitcoinRpcChain(process.endpoint, "regtest")
        try:
            yield moved, rpc
        finally:
            with trio.CancelScope(shield=True):
                await rpc.aclose()


def pay(moved: Ground, wallet: AnchorWallet = WALLET, value_sat: int = 50_000) -> None:
    moved.mine(1, [moved.spend((value_sat, wallet.script))])


def last(member: Member) -> Transaction:
    return decode_transaction(member.signed[-1].raw_tx)


async def carriers(moved: Ground, rpc: Chain, root: bytes) -> list[bytes]:
    """The transactions of the best chain that carry a root."""
    found = []
    for height in range(100, moved.height() + 1):
        for txid in (await rpc.block_txids(await rpc.block_hash(height)))[1:]:
            raw = await rpc.raw_tx(txid)
            assert raw is not None
            if root in committed_roots(decode_transaction(raw)):
                found.append(txid)
    return found


async def test_a_proven_anchor_that_is_undone_is_sent_again_and_its_new_proof_replaces_the_old(
    tmp_path: Path,
) -> None:
    cluster = agreed(anchored=False)
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    async with ground(tmp_path) as (moved, rpc), Member(rpc, tmp_path / "book").works() as member:
        pay(moved)
        member.anchors.want(size, root)
        await until(lambda: bool(member.signed))
        moved.mine(6, [last(member)])
        await until(lambda: member.state(root) == "proven")
        [old] = member.proofs
        cluster.block((0, Anchor(size=size, root=root, proof=old)))

        moved.mine(9, above=old.height - 1)  # nine others instead of the six
        await until(lambda: member.anchors.progress()[root].is_lost)
        assert await rpc.inclusion(last(member).txid) is None
        await until(lambda: member.state(root) == "broadcast")
        moved.mine(6, [last(member)])
        await until(lambda: member.anchors.progress()[root].confirmations == 6)
        assert member.proofs == [old], "as deep as the one before is not deep enough"
        moved.mine(1)
        await until(lambda: member.state(root) == "proven")
        new = member.proofs[-1]
        assert holds(new, root)
        assert (new.raw_tx, len(new.following_headers)) == (old.raw_tx, 6)
        cluster.block((1, Anchor(size=size, root=root, proof=new)))
        closed = cluster.state.checkpoint(size)
        assert closed is not None
        assert closed.anchor == new
        assert len(await carriers(moved, rpc, root)) == 1
        assert len(member.signed) == 1, "nothing is paid for twice"


async def test_an_anchor_that_is_stuck_is_replaced_by_one_that_pays_more(tmp_path: Path) -> None:
    async with ground(tmp_path) as (moved, rpc), Member(rpc, tmp_path / "book").works() as member:
        pay(moved)
        member.anchors.want(1, ROOT)
        await until(lambda: bool(member.signed))
        first = last(member)
        fee_sat = member.anchors.progress()[ROOT].fee_sat
        for _ in range(3):
            # They count from when the network has taken it, which may be amid these.
            moved.mine(3)
            with trio.move_on_after(5):
                await until(lambda: len(member.signed) == 2)
                break
        second = last(member)
        assert {each.outpoint for each in second.inputs} == {each.outpoint for each in first.inputs}
        progress = member.anchors.progress()[ROOT]
        assert (progress.versions, progress.fee_sat >= fee_sat + second.vsize) == (2, True)
        assert await rpc.raw_tx(first.txid) is None, "the network has dropped the first"
        assert await rpc.raw_tx(second.txid) == second.raw
        moved.mine(6, [second])
        await until(lambda: bool(member.proofs))
        assert holds(member.proofs[0], ROOT)
        assert await carriers(moved, rpc, ROOT) == [second.txid]


async def test_an_anchor_whose_coin_is_spent_elsewhere_is_paid_from_another_once_that_is_certain(
    tmp_path: Path,
) -> None:
    async with ground(tmp_path) as (moved, rpc), Member(rpc, tmp_path / "book").works() as member:
        pay(moved)
        member.anchors.want(1, ROOT)
        await until(lambda: bool(member.signed))
        # Somebody with the same key spends the coin, and a miner takes that one.
        raw = WALLET.sign([*coins_of(last(member))], OTHER_ROOT, 5_000)
        moved.mine(1, [decode_transaction(raw)])
        await until(lambda: "was spent elsewhere" in member.anchors.status().state)
        moved.mine(5)
        await until(lambda: member.anchors.status().height == moved.height())
        assert len(member.signed) == 1
        moved.mine(1)
        await until(lambda: len(member.signed) == 2)
        moved.mine(6, [last(member)])
        await until(lambda: bool(member.proofs))
        assert len(await carriers(moved, rpc, ROOT)) == 1


def coins_of(transaction: Transaction) -> list[Coin]:
    paid_sat = sum(output.value_sat for output in transaction.outputs) + 314
    [spent] = transaction.inputs
    return [Coin(txid=spent.outpoint.txid, index=spent.outpoint.index, value_sat=paid_sat)]


class Crash(Exception):  # noqa: N818 - a power cut, not an error
    """The process ends here."""


class Fragile:
    """A real chain under a process that crashes just before, or just after, it has sent."""

    def __init__(self, inner: Chain, *, after: bool) -> None:
        self.inner = inner
        self.after = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def broadcast(self, raw: bytes) -> bytes | Rejected:
        if self.after:
            await self.inner.broadcast(raw)
        raise Crash


@pytest.mark.parametrize("after", [False, True], ids=["before sending", "after sending"])
async def test_a_crash_after_signing_is_taken_up_without_paying_twice(
    tmp_path: Path, after: bool
) -> None:
    async with ground(tmp_path) as (moved, rpc):
        pay(moved)
        pay(moved)
        with pytest.RaisesGroup(Crash):
            async with Member(Fragile(rpc, after=after), tmp_path / "book").works() as member:
                member.anchors.want(1, ROOT)
                await trio.sleep(20)
        book = AnchorFile(tmp_path / "book").load()
        [version] = book.roots[0].versions
        async with Member(rpc, tmp_path / "book").works() as member:
            await until(lambda: bool(member.signed))
            assert member.signed[0].raw_tx == version.raw
            member.anchors.want(1, ROOT)
            moved.mine(6, [decode_transaction(version.raw)])
            await until(lambda: bool(member.proofs))
            assert member.anchors.progress()[ROOT].versions == 1
        assert await carriers(moved, rpc, ROOT) == [version.txid]


async def test_a_member_adopts_what_another_has_sent_instead_of_paying_as_well(
    tmp_path: Path,
) -> None:
    async with ground(tmp_path) as (moved, rpc):
        pay(moved)
        pay(moved, OTHER_WALLET)
        first = Member(rpc, tmp_path / "first")
        second = Member(rpc, tmp_path / "second", wallet=OTHER_WALLET)
        async with first.works(), second.works():
            first.anchors.want(1, ROOT)
            await until(lambda: bool(first.signed))
            second.anchors.hear(1, ROOT, first.signed[0].raw_tx)
            second.anchors.want(1, ROOT)
            await until(lambda: second.state() == "broadcast")
            moved.mine(6, [last(first)])
            await until(lambda: bool(first.proofs and second.proofs))
        assert second.proofs == first.proofs
        assert second.signed == []
        assert len(await carriers(moved, rpc, ROOT)) == 1


def test_a_book_that_is_none_stops_the_start_with_advice(tmp_path: Path) -> None:
    (tmp_path / "book").write_bytes(b"something else")
    with pytest.raises(ConfigError, match="may pay twice"):
        AnchorFile(tmp_path / "book").load()
