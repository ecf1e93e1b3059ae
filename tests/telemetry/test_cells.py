"""Cells by hash, a head for a while, and what the committee believes of them."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.model.base import NodeId
from ambientd.model.record import NodeReport
from ambientd.telemetry.cells import (
    AHEAD_MS_MAX,
    CANDIDATES,
    REPORT_BYTES_MAX,
    REPORT_MS,
    ROUND_MS,
    STALE_MS,
    TENURE_MS,
    CellBoard,
    CellMember,
    CellReport,
    SendBatch,
    candidates,
    cell_number,
    roster_of,
)

CLUSTER = b"c" * 32
SIGNERS = {
    NodeId(signer.public_key): signer
    for signer in (Signer(sha256(b"%d" % number), CLUSTER) for number in range(40))
}
ROSTER = roster_of(SIGNERS, 4)
CELL = ROSTER.cells[1]
NOW = TENURE_MS * 1_000
ORDER = candidates(CELL, 1_000)
HEAD = ORDER[0]
VECTORS = Path(__file__).parents[2] / "protocols" / "vectors" / "cells.json"


def member(node: NodeId) -> CellMember:
    return CellMember(SIGNERS[node], ROSTER)


def fit(*nodes: NodeId) -> list[NodeReport]:
    return [NodeReport(node=node, accepting=True) for node in nodes]


def head_in_office() -> CellMember:
    head = member(HEAD)
    assert not head.is_due(NOW)
    assert head.next_deadline == NOW + REPORT_MS + ROUND_MS
    return head


def told(head: CellMember, reports: list[NodeReport], now: int) -> bytes:
    sent = head.on_reports(reports, now)
    assert sent is not None
    return sent.data


@given(st.binary(min_size=32, max_size=32), st.integers(1, 100))
def test_a_key_alone_says_which_cell_a_node_is_in(key: bytes, cells: int) -> None:
    number = cell_number(NodeId(key), cells)
    assert 0 <= number < cells
    assert NodeId(key) in roster_of([NodeId(key)], cells).cells[number]


def test_cells_and_candidates_are_those_of_the_vectors() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    keys = [NodeId(bytes.fromhex(key)) for key in vectors["keys"]]
    assert [cell_number(key, vectors["cells"]) for key in keys] == vectors["numbers"]
    for tenure, order in vectors["candidates"].items():
        found = candidates(tuple(sorted(keys)), int(tenure))
        assert [key.hex() for key in found] == order


def test_members_agree_on_the_head_and_take_turns() -> None:
    heads = set()
    for tenure in range(1_000, 1_040):
        [head] = {member(node).head(tenure * TENURE_MS) for node in CELL}
        heads.add(head)
    assert len(heads) > len(CELL) // 2


def test_a_batch_goes_to_the_first_candidate_that_is_reached() -> None:
    node = next(node for node in CELL if node not in ORDER)
    here = member(node)
    assert here.on_published(b"batch", NOW) == SendBatch(HEAD, b"batch")
    here.lost(HEAD)
    assert here.on_published(b"batch", NOW) == SendBatch(ORDER[1], b"batch")
    here.found(HEAD)
    assert here.on_published(b"batch", NOW) == SendBatch(HEAD, b"batch")
    for lost in ORDER:
        here.lost(lost)
    assert here.on_published(b"batch", NOW) is None
    assert member(HEAD).on_published(b"batch", NOW) is None


def test_a_head_listens_for_a_round_then_tells_what_changed() -> None:
    head, board = head_in_office(), CellBoard(CLUSTER, ROSTER)
    now = head.next_deadline
    assert head.is_due(now)
    assert board.on_report(told(head, fit(*CELL[:3]), now), now) is None
    assert set(board.reports(now)) == set(CELL[:3])
    now += REPORT_MS
    assert head.is_due(now)
    data = told(head, [*fit(*CELL[:2]), NodeReport(node=CELL[2], accepting=False)], now)
    assert [each.node for each in decode(data, CellReport).reports] == [CELL[2]]
    assert board.on_report(data, now) is None
    assert not board.reports(now)[CELL[2]].accepting
    assert board.reports(now)[CELL[0]].accepting


def test_who_is_silent_all_along_does_not_accept() -> None:
    head, board = head_in_office(), CellBoard(CLUSTER, ROSTER)
    now = NOW + STALE_MS
    assert head.is_due(now)
    assert board.on_report(told(head, fit(HEAD), now), now) is None
    found = board.reports(now)
    assert set(found) == set(CELL)
    assert [node for node, report in found.items() if report.accepting] == [HEAD]


def test_an_office_ends_with_its_tenure_and_begins_anew() -> None:
    head = head_in_office()
    later = next(t for t in range(1_001, 2_000) if HEAD not in candidates(CELL, t))
    assert not head.is_due(later * TENURE_MS)
    assert head.next_deadline == (later + 1) * TENURE_MS
    assert head.on_reports(fit(HEAD), later * TENURE_MS) is None


def test_a_cell_that_falls_silent_is_not_known() -> None:
    head, board = head_in_office(), CellBoard(CLUSTER, ROSTER)
    assert board.on_report(told(head, fit(HEAD), NOW), NOW) is None
    assert board.reports(NOW + STALE_MS)
    assert not board.reports(NOW + STALE_MS + 1)


def signed(report: CellReport, signer: Signer) -> bytes:
    fields = (report.cell, report.beat, report.reports, report.head)
    return encode(replace(report, signature=signer.sign("cell-report", encode(fields))))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cell": 99}, "there is no such cell"),
        ({"beat": NOW + AHEAD_MS_MAX + 1}, "the report is of a time to come"),
        (
            {"head": next(n for n in CELL if n not in ORDER)},
            "who reports is no candidate for head of this cell",
        ),
        (
            {"reports": (NodeReport(node=ROSTER.cells[2][0], accepting=True),)},
            "a node of another cell is reported",
        ),
    ],
)
def test_a_report_that_no_head_makes_is_refused(changes: dict[str, object], said: str) -> None:
    good = CellReport(cell=1, beat=NOW, reports=(), head=HEAD, signature=b"")
    near = {n for t in (999, 1_000, 1_001) for n in candidates(CELL, t)}
    if "head" in changes:
        changes = {"head": next(node for node in CELL if node not in near)}
    bad = replace(good, **changes)
    board = CellBoard(CLUSTER, ROSTER)
    assert board.on_report(signed(bad, SIGNERS[bad.head]), NOW) == said
    assert not board.reports(NOW)


def test_bytes_that_are_no_report_are_refused_and_old_ones_change_nothing() -> None:
    head, board = head_in_office(), CellBoard(CLUSTER, ROSTER)
    assert board.on_report(b"\x00", NOW) is not None
    assert board.on_report(bytes(REPORT_BYTES_MAX + 1), NOW) is not None
    first = told(head, fit(HEAD), NOW)
    second = told(head, [NodeReport(node=HEAD, accepting=False)], NOW + 1)
    bent = second[:-1] + bytes([second[-1] ^ 1])
    assert board.on_report(bent, NOW + 1) == "the report has a wrong signature"
    assert board.on_report(second, NOW + 1) is None
    assert board.on_report(first, NOW + 1) is None
    assert not board.reports(NOW + 1)[HEAD].accepting


def test_no_cell_has_more_candidates_than_allowed() -> None:
    assert len(ORDER) == CANDIDATES
    assert candidates(CELL[:2], 7) in (CELL[:2], CELL[:2][::-1])
