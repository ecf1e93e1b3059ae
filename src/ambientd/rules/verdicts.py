"""Verdicts: unanimity of the replicas, else a quorum of referees; never a majority vote."""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from ambientd.codec.canonical import decode
from ambientd.codec.statements import (
    audit_id,
    result_root,
    verify_receipt,
    verify_segment,
    verify_trace,
    verify_verdict,
)
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import SegmentVerdict, Trace
from ambientd.model.execution import OutcomeKind
from ambientd.model.receipt import Receipt, RefereeVerdict, SignedReceipt
from ambientd.model.record import Fraud
from ambientd.model.task import Result
from ambientd.rules.auditing import AUDITS_MAX

Said = TypeVar("Said", bound=Hashable)

NO_RESULT = Result(
    kind=OutcomeKind.REFUSED,
    reason="inconclusive: the referees did not agree",
    output=Digest(bytes(32)),
    output_size_bytes=0,
    gas=0,
    prepared=Digest(bytes(32)),
    rewriter_version=0,
)
"""What the settlement of a dispute says that came to no decision."""


def liars_max(members: int) -> int:
    """Give f, the liars that a committee of n survives."""
    return (members - 1) // 3


def vouching(members: int) -> int:
    """Give how many of n agree so that one of them is honest: f + 1, and two where there are two.

    Of two or three f is 0, but nobody's word is taken alone where another could be asked.
    """
    return max(liars_max(members) + 1, min(2, members))


def quorum(members: int) -> int:
    """Give q = (n + f) // 2 + 1 (COORDINATION, What is and is not promised)."""
    return (members + liars_max(members)) // 2 + 1


def agreed(receipts: Sequence[SignedReceipt]) -> bool:
    """Tell whether all replicas say the same."""
    return len({result_root(signed.receipt.result) for signed in receipts}) == 1


def most_said(said: Sequence[Said]) -> tuple[Said, int]:
    """Give what was said most often, the first of equals, and how often."""
    counted = Counter(said)
    return max(counted.items(), key=lambda each: each[1])


def decided(verdicts: Sequence[RefereeVerdict], needed: int) -> Result | None:
    """Give the result that a quorum of different referees found, or None."""
    votes: dict[bytes, set[NodeId]] = {}
    for verdict in verdicts:
        root = result_root(verdict.result)
        votes.setdefault(root, set()).add(verdict.referee)
        if len(votes[root]) >= needed:
            return verdict.result
    return None


def still_possible(verdicts: Sequence[RefereeVerdict], members: int) -> bool:
    """Tell whether referees who have not spoken can still complete a quorum."""
    votes: dict[bytes, int] = {}
    for verdict in verdicts:
        root = result_root(verdict.result)
        votes[root] = votes.get(root, 0) + 1
    silent = members - len(verdicts)
    return max(votes.values(), default=0) + silent >= quorum(members)


def differ(one: Receipt | RefereeVerdict, other: Receipt | RefereeVerdict) -> bool:
    """Tell whether two results of one task exclude each other.

    Those of two versions of the rewriter do not: who was updated meanwhile came to both in truth.
    """
    first, second = one.result, other.result
    is_same_version = first.rewriter_version == second.rewriter_version
    return is_same_version and result_root(first) != result_root(second)


def contradicts(fraud: Fraud, cluster: bytes) -> bool:
    """Tell whether two statements of one worker or referee exclude each other."""
    try:
        if fraud.kind == "receipt":
            return _two_receipts(fraud, cluster)
        if fraud.kind == "verdict":
            return _two_verdicts(fraud, cluster)
        if fraud.kind == "trace":
            return _two_traces(fraud, cluster)
        if fraud.kind == "segment":
            return _two_segments(fraud, cluster)
    except RemoteProtocolError:
        return False
    return False


def _two_receipts(fraud: Fraud, cluster: bytes) -> bool:
    """Two answers to one slot; an execution has one outcome, however often it is done.

    One that went on from another's state has that of the other's word: it convicts nobody, as
    whoever cannot have that state again begins anew, and comes to another one in all honesty.
    """
    first: SignedReceipt = decode(fraud.first, SignedReceipt)
    second: SignedReceipt = decode(fraud.second, SignedReceipt)
    places = {(s.receipt.worker, s.receipt.task, s.receipt.slot) for s in (first, second)}
    return (
        len(places) == 1
        and first.receipt.worker == fraud.culprit
        and all(isinstance(s.receipt.started_ms, int) for s in (first, second))
        and differ(first.receipt, second.receipt)
        and verify_receipt(first, cluster)
        and verify_receipt(second, cluster)
    )


def _two_verdicts(fraud: Fraud, cluster: bytes) -> bool:
    first: RefereeVerdict = decode(fraud.first, RefereeVerdict)
    second: RefereeVerdict = decode(fraud.second, RefereeVerdict)
    return (
        first.task == second.task
        and first.referee == second.referee == fraud.culprit
        and differ(first, second)
        and verify_verdict(first, cluster)
        and verify_verdict(second, cluster)
    )


def _two_traces(fraud: Fraud, cluster: bytes) -> bool:
    """Two traces of one round; a pass is none."""
    first: Trace = decode(fraud.first, Trace)
    second: Trace = decode(fraud.second, Trace)
    places = {(each.task, each.game, each.round, each.party) for each in (first, second)}
    return (
        len(places) == 1
        and first.party == fraud.culprit
        and not (first.is_pass or second.is_pass)
        and replace(first, signature=b"") != replace(second, signature=b"")
        and verify_trace(first, cluster)
        and verify_trace(second, cluster)
    )


def _two_segments(fraud: Fraud, cluster: bytes) -> bool:
    first: SegmentVerdict = decode(fraud.first, SegmentVerdict)
    second: SegmentVerdict = decode(fraud.second, SegmentVerdict)
    places = {(s.task, s.start, s.until_gas, s.referee) for s in (first, second)}
    return (
        len(places) == 1
        and first.referee == fraud.culprit
        and first.end != second.end
        and verify_segment(first, cluster)
        and verify_segment(second, cluster)
    )


def convicts(
    receipt: SignedReceipt,
    verdicts: Sequence[RefereeVerdict],
    members: frozenset[NodeId],
    cluster: bytes,
) -> bool:
    """Replay evidence: a worker's signed answer against a quorum of members who found another.

    They found it in a dispute about the task itself, or about one of its audits. What stands on
    others' states convicts nobody (03 §12).
    """
    if not isinstance(receipt.receipt.started_ms, int):
        return False
    task = receipt.receipt.task
    known = {task, *(audit_id(task, number) for number in range(AUDITS_MAX))}
    genuine = [
        verdict
        for verdict in verdicts
        if verdict.referee in members and verdict.task in known and verify_verdict(verdict, cluster)
    ]
    found = decided(genuine, quorum(len(members)))
    if found is None or not verify_receipt(receipt, cluster):
        return False
    return result_root(found) != result_root(receipt.receipt.result)
