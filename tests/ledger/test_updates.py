"""A node that is updated between two words of one dispute is not convicted by the difference."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import sign_receipt, sign_verdict
from ambientd.ledger.dispute_entries import DisputeEntry, DisputeState
from ambientd.ledger.entries import Entry, Key, Table, TaskEntry, dispute_key
from ambientd.model.record import DisputeStep, Fraud
from ambientd.model.task import TaskState
from ambientd.rules.executions import is_foreign
from ambientd.rules.verdicts import contradicts
from ambientd.wasm.prepare import REWRITER_VERSION
from sim.traces import TraceVice
from tests.ledger.cluster import TestCluster, rejections, result
from tests.ledger.games import Match

LATER = replace(result(), rewriter_version=REWRITER_VERSION + 1)
LIE = result(b"a lie")


def write(cluster: TestCluster, key: Key, entry: Entry) -> None:
    """Put into both replicas what a step of an update would have left there."""
    for state in (cluster.state, cluster.replica):
        state.commit(cluster.index, {key: entry}, state.tree.updated({key: entry}))


def of_another_form(row: DisputeEntry) -> DisputeEntry:
    """Keep every word, with signatures that hold for a form which the program has no more."""
    game = row.game
    assert game is not None
    traces = tuple(each and replace(each, signature=bytes(64)) for each in game.traces)
    found = tuple(replace(each, signature=bytes(64)) for each in game.verdicts)
    return replace(row, game=replace(game, traces=traces, verdicts=found))  # type: ignore[arg-type]


@pytest.mark.parametrize("updated", [False, True])
def test_a_trace_that_was_kept_in_another_form_convicts_nobody(updated: bool) -> None:
    match = Match(("twice", None))
    match.cluster.block(match.tell(0, match.trace(0)))
    row = match.row
    assert row is not None
    if updated:
        write(match.cluster, dispute_key(match.task), of_another_form(row))
    other = match.tell(0, match.trace(0, TraceVice.WRONG_EVERYWHERE))
    events = match.cluster.block(other)
    assert match.is_convicted(0) is not updated
    assert any("another form" in each for each in rejections(events)) is updated


@pytest.mark.parametrize("updated", [False, True])
def test_a_finding_that_was_kept_in_another_form_convicts_nobody(updated: bool) -> None:
    match = Match((None, TraceVice.WRONG_STEP))
    while match.row is not None and match.row.state is DisputeState.TRACING:
        match.step()
    game = match.game
    match.cluster.block(match.segment(0, game.claims[0]))
    row = match.row
    assert row is not None
    if updated:
        write(match.cluster, dispute_key(match.task), of_another_form(row))
    match.cluster.block(match.segment(0, game.claims[1]))
    node = match.cluster.state.node(match.cluster.node(0))
    assert node is not None
    assert node.tombstoned is not updated


@pytest.mark.parametrize(("again", "convicts"), [(LIE, True), (LATER, False)])
def test_a_referee_that_finds_by_two_versions_of_the_rewriter_is_not_convicted(
    again: object, *, convicts: bool
) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    cluster.block(cluster.finding(task, 0, result()))
    second = sign_verdict(cluster.signer(0), task, again)  # type: ignore[arg-type]
    cluster.block((0, DisputeStep(second)))
    node = cluster.state.node(cluster.node(0))
    assert node is not None
    assert node.tombstoned is convicts


@pytest.mark.parametrize(("again", "convicts"), [(LIE, True), (LATER, False)])
def test_two_receipts_of_two_versions_of_the_rewriter_are_no_evidence(
    again: object, *, convicts: bool
) -> None:
    cluster = TestCluster()
    task = cluster.admit()
    first = cluster.receipt(task, 0)
    signer = cluster.signers[first.receipt.worker]
    second = sign_receipt(signer, replace(first.receipt, result=again))
    said = (encode(first), encode(second))
    fraud = Fraud(culprit=first.receipt.worker, kind="receipt", first=said[0], second=said[1])
    assert contradicts(fraud, cluster.id) is convicts


def opened(entry: TaskEntry, version: Callable[[int], int]) -> TaskEntry:
    """Give a task whose answers name other versions of the rewriter."""
    slots = []
    for slot in entry.slots:
        assert slot.receipt is not None
        said = slot.receipt.receipt
        answered = replace(said.result, rewriter_version=version(slot.slot))
        receipt = replace(slot.receipt, receipt=replace(said, result=answered))
        slots.append(replace(slot, receipt=receipt))
    return replace(entry, slots=tuple(slots))


def older(cluster: TestCluster, match: Match) -> None:
    entry = opened(match.entry, lambda _: REWRITER_VERSION - 1)
    write(cluster, (Table.TASK, match.task), entry)


def test_what_names_only_other_versions_is_foreign() -> None:
    before = replace(result(), rewriter_version=REWRITER_VERSION - 1)
    assert is_foreign([before, before])
    assert is_foreign([before, LATER])
    assert not is_foreign([before, result()])
    assert not is_foreign([result()])
    assert not is_foreign([])


def test_where_all_answers_are_of_an_earlier_version_nobody_is_convicted_in_the_end() -> None:
    """Parties pass and referees are silent, as their roles do: the task ends without a finding."""
    match = Match((None, TraceVice.WRONG_STEP))
    older(match.cluster, match)
    match.cluster.block(match.tell(0, match.trace(0, "pass")))
    row = match.row
    assert row is not None
    assert row.state is DisputeState.WHOLE
    while match.entry.state is TaskState.DISPUTED:
        match.late()
    assert match.entry.settlement is not None
    assert match.entry.settlement.verdict.name == "INCONCLUSIVE"
    assert not match.is_convicted(0)
    assert not match.is_convicted(1)
