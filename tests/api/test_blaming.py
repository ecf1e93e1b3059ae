"""What the ledger keeps of a conviction becomes a certificate that a stranger checks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.certificate_files import CertificateFiles
from ambientd.api.blaming import Blaming
from ambientd.api.operations import OperationError
from ambientd.api.requests import ExportBlame, ListBlames
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import audit_id, fingerprint, sign_trace
from ambientd.ledger.entries import EvidenceEntry, Table
from ambientd.ledger.events import NodeConvicted
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.blame import BlameFile, Contradiction, WrongResult, WrongStep
from ambientd.model.dispute import KnownState
from ambientd.model.record import Admit, Fraud, SeatWish
from ambientd.node.effect import Told
from ambientd.node.stops import follow_epochs
from ambientd.ports.store import Store
from ambientd.rules.blame_check import check_blame_file
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.news import News
from ambientd.runtime.store_writer import StoreWriter
from sim.vices import Vice
from tests.fakes.memory_store import MemoryStore
from tests.ledger.cluster import UNTIL_MS, TestCluster, result
from tests.ledger.test_audits import ALL, alone, decided, drawn
from tests.node.cluster import Cluster
from tests.rules import blames
from tests.rules.blames import DATA, SUM
from tests.rules.receipts import LIE, divergent


@asynccontextmanager
async def blaming(cluster: TestCluster, folder: Path, *held: bytes) -> AsyncIterator[Blaming]:
    """What answers on a node with this ledger that holds these blobs."""
    async with blaming_with(cluster.state, MemoryStore(), folder, *held) as desk:
        yield desk


@asynccontextmanager
async def blaming_with(
    ledger: LedgerState, store: Store, folder: Path, *held: bytes
) -> AsyncIterator[Blaming]:
    """What answers on a node with this ledger and this store."""

    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> None:
        return None

    blobs = Blobs(BlobFiles(folder), nobody, list)
    for data in held:
        await blobs.put(data)
    async with StoreWriter(store) as writer:
        parts: Any = SimpleNamespace(
            node=SimpleNamespace(ledger=ledger),
            pump=SimpleNamespace(writer=writer),
            blobs=blobs,
            news=News(),
        )
        yield Blaming(parts, folder / "blame")


async def exported(desk: Blaming, about: bytes, *, with_module: bool = False) -> BlameFile:
    answer = await desk.export(ExportBlame(about=about.hex(), with_module=with_module))
    file: BlameFile = decode(answer.data, BlameFile)
    assert answer.node == file.culprit.hex()
    return file


def stepped(state: bytes, *, knows_task: bool = True, shown: bytes | None = None) -> TestCluster:
    """A cluster whose ledger keeps a wrong step, as a bisected dispute leaves it.

    The culprit showed the true state at its start, or other bytes.
    """
    cluster = TestCluster()
    if knows_task:
        cluster.block((0, Admit(nonce=blames.NONCE, spec=blames.SPEC, until_ms=UNTIL_MS)))
    evidence = blames.wrong_step().evidence
    assert isinstance(evidence, WrongStep)
    last, claimed = evidence.traces
    others = KnownState(point=last.low, state=last.state, state_size_bytes=last.state_size_bytes)
    if shown is not None:
        false = replace(last, state=Digest(sha256(shown)), state_size_bytes=len(shown))
        last = sign_trace(cluster.signer(blames.CULPRIT), false)
    traces = (last, claimed)
    entry = EvidenceEntry(
        culprit=cluster.node(blames.CULPRIT),
        kind="false-step",
        task=blames.TASK,
        receipt=evidence.receipt,
        verdicts=(),
        first=encode((*traces, others)),
        second=encode(evidence.verdicts),
    )
    writes = {(Table.EVIDENCE, sha256(state)): entry}
    cluster.state.commit(cluster.index, writes, cluster.state.tree.updated(writes))
    return cluster


async def test_a_wrong_result_is_exported_by_node_and_by_task(tmp_path: Path) -> None:
    cluster = divergent()
    (entry,) = [e for e in cluster.state.items().values() if isinstance(e, EvidenceEntry)]
    assert entry.task is not None
    async with blaming(cluster, tmp_path) as desk:
        (listed,) = (await desk.blames(ListBlames())).blames
        assert (listed.node, listed.kind) == (entry.culprit.hex(), "divergent-output")
        assert listed.exportable
        by_node, by_task = await exported(desk, entry.culprit), await exported(desk, entry.task)
    assert by_node == by_task
    report = check_blame_file(encode(by_node), pinned=cluster.id)
    assert report.valid, report.checks


async def test_a_wrong_step_is_exported_with_the_state_at_its_start(tmp_path: Path) -> None:
    expected = blames.wrong_step()
    assert isinstance(expected.evidence, WrongStep)
    state = expected.evidence.state
    cluster = stepped(state)
    async with blaming(cluster, tmp_path / "a", state, SUM, DATA) as desk:
        assert await exported(desk, blames.TASK) == expected
        whole = await exported(desk, blames.TASK, with_module=True)
        assert whole == blames.with_blobs(expected)
    async with blaming(cluster, tmp_path / "b") as desk:
        with pytest.raises(OperationError, match="holds the state"):
            await exported(desk, blames.TASK)


@pytest.mark.parametrize("shown", [b"no state at all", blames.wrong_step().evidence.state[:-1]])  # type: ignore[union-attr]
async def test_who_shows_no_true_state_is_named_with_the_others(
    tmp_path: Path, shown: bytes
) -> None:
    evidence = blames.wrong_step().evidence
    assert isinstance(evidence, WrongStep)
    cluster = stepped(evidence.state, shown=shown)
    for folder, held in (("held", (shown, evidence.state)), ("withheld", (evidence.state,))):
        async with blaming(cluster, tmp_path / folder, *held) as desk:
            file = await exported(desk, cluster.node(blames.CULPRIT))
        assert isinstance(file.evidence, WrongStep)
        assert file.evidence.state == evidence.state
        assert check_blame_file(encode(file), pinned=cluster.id).valid


async def test_two_statements_are_exported_without_a_task(tmp_path: Path) -> None:
    cluster = divergent()
    task = next(iter(cluster.state.tasks()))[0]
    first, second = cluster.verdict(task, 0, result()), cluster.verdict(task, 0, LIE)
    culprit = cluster.node(0)
    fraud = Fraud(culprit=culprit, kind="verdict", first=encode(first), second=encode(second))
    cluster.block((1, fraud))
    async with blaming(cluster, tmp_path) as desk:
        file = await exported(desk, culprit)
    assert isinstance(file.evidence, Contradiction)
    assert check_blame_file(encode(file), pinned=cluster.id).valid


async def test_a_certificate_outlives_the_task_and_the_state_that_it_is_about(
    tmp_path: Path,
) -> None:
    evidence = blames.wrong_step().evidence
    assert isinstance(evidence, WrongStep)
    cluster = stepped(evidence.state)
    culprit = cluster.node(blames.CULPRIT)
    files = CertificateFiles(tmp_path / "blame")
    async with (
        blaming(cluster, tmp_path, evidence.state) as desk,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(desk.keep_certificates)
        with trio.fail_after(60):
            while not files.has(culprit):
                await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert files.get(culprit) == encode(blames.wrong_step())
    later = stepped(evidence.state, knows_task=False)
    async with blaming(later, tmp_path, SUM, DATA) as desk:
        assert (await desk.blames(ListBlames())).blames[0].exportable
        assert await exported(desk, culprit) == blames.wrong_step()
        whole = await exported(desk, culprit, with_module=True)
        assert whole == blames.with_blobs(blames.wrong_step())
        files.keep(culprit, b"damaged")
        with pytest.raises(OperationError, match="is forgotten here"):
            await exported(desk, culprit)


async def test_a_certificate_whose_state_nobody_holds_is_kept_as_soon_as_somebody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ambientd.api.blaming.RETRY_S", 0.05)
    evidence = blames.wrong_step().evidence
    assert isinstance(evidence, WrongStep)
    cluster = stepped(evidence.state)
    files = CertificateFiles(tmp_path / "blame")
    async with blaming(cluster, tmp_path) as desk, trio.open_nursery() as nursery:
        nursery.start_soon(desk.keep_certificates)
        await trio.sleep(0.2)
        assert not files.has(cluster.node(blames.CULPRIT))
        await desk._parts.blobs.put(evidence.state)
        with trio.fail_after(60):
            while not files.has(cluster.node(blames.CULPRIT)):
                await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


async def test_a_conviction_that_is_told_is_kept_and_a_full_disk_ends_nothing(
    tmp_path: Path,
) -> None:
    cluster = divergent()
    (entry,) = [e for e in cluster.state.items().values() if isinstance(e, EvidenceEntry)]
    (tmp_path / "blame").write_bytes(b"no folder")
    files = CertificateFiles(tmp_path / "blame")
    async with blaming(cluster, tmp_path) as desk, trio.open_nursery() as nursery:
        nursery.start_soon(desk.keep_certificates)
        await trio.sleep(0.2)
        assert files.get(entry.culprit) is None
        (tmp_path / "blame").unlink()
        told = Told(NodeConvicted(entry.culprit, "another"), 1, 1)
        with trio.fail_after(60):
            while not files.has(entry.culprit):
                desk._parts.news.tell(told)
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_exported_is_said(tmp_path: Path) -> None:
    async with blaming(TestCluster(), tmp_path / "a") as desk:
        assert (await desk.blames(ListBlames())).blames == ()
        with pytest.raises(OperationError, match="is no convicted node, and no task that"):
            await exported(desk, bytes(32))
    cluster = divergent()
    (key,) = [k for k, e in cluster.state.items().items() if isinstance(e, EvidenceEntry)]
    entry = cluster.state.get(key)
    assert isinstance(entry, EvidenceEntry)
    gone = Digest(b"g" * 32)
    writes = {key: replace(entry, task=gone)}
    cluster.state.commit(cluster.index, writes, cluster.state.tree.updated(writes))
    async with blaming(cluster, tmp_path / "b") as desk:
        assert not (await desk.blames(ListBlames())).blames[0].exportable
        with pytest.raises(OperationError, match="is forgotten here"):
            await exported(desk, gone)


async def test_a_lie_that_an_audit_found_is_exported_with_the_audits_findings(
    tmp_path: Path,
) -> None:
    cluster = TestCluster(rules=ALL)
    task, worker = alone(cluster, lie=True)
    drawn(cluster)
    audit = audit_id(task, 0)
    cluster.work(audit)
    decided(cluster, audit, result())
    async with blaming(cluster, tmp_path) as desk:
        file = await exported(desk, worker)
    assert isinstance(file.evidence, WrongResult)
    assert {verdict.task for verdict in file.evidence.verdicts} == {audit}
    assert check_blame_file(encode(file), pinned=cluster.id).valid


async def test_an_auditor_that_lied_is_blamed_in_the_words_of_the_task_that_it_audited(
    tmp_path: Path,
) -> None:
    cluster = TestCluster(rules=ALL)
    task, _ = alone(cluster)
    drawn(cluster)
    audit = audit_id(task, 0)
    auditor = cluster.task(audit).slots[0].worker
    cluster.work(audit, {0: result(b"a lie")})
    decided(cluster, audit, result())
    async with blaming(cluster, tmp_path) as desk:
        file = await exported(desk, auditor)
    assert isinstance(file.evidence, WrongResult)
    assert file.evidence.receipt.receipt.task == audit
    assert file.evidence.task.nonce == cluster.task(task).nonce
    assert check_blame_file(encode(file), pinned=cluster.id).valid


async def test_a_quorum_of_a_committee_that_has_become_smaller_is_enough(tmp_path: Path) -> None:
    cluster = Cluster(members=5, vices={2: Vice.LIE})
    cluster.run(1_000)
    cluster.vote_on_seat(4, SeatWish.OUT, [4])
    cluster.until_epoch(2)
    liar = NodeId(cluster.hosts[2].key)
    while cluster.ledger().conviction(liar) is None:
        cluster.until_closed(cluster.submit())
    async with blaming_with(cluster.ledger(), cluster.hosts[0].store, tmp_path) as desk:
        file = await exported(desk, liar)
    assert isinstance(file.evidence, WrongResult)
    assert (len(file.evidence.verdicts), len(file.epochs)) == (3, 1)
    pinned = fingerprint(cluster.genesis)
    assert check_blame_file(encode(file), pinned=pinned, follow=follow_epochs).valid
