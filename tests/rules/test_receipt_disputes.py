"""The receipt of a bisected dispute is checked offline like any other."""

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.model.base import NodeId
from ambientd.model.receipt import ReceiptFile
from ambientd.model.task import Verdict
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.rules.receipt_disputes import bisected_fault
from sim.traces import TraceVice
from tests.ledger.games import Match
from tests.rules.receipts import file_of


def bisected() -> ReceiptFile:
    match = Match((None, TraceVice.WRONG_STEP, None))
    match.play()
    match.cluster.close_batch()
    return file_of(match.cluster, b"n")


def test_its_receipt_holds_and_names_the_liar_and_what_is_to_be_trusted() -> None:
    file = bisected()
    assert file.settlement.verdict is Verdict.BISECTED
    report = check_receipt_file(encode(file))
    found = {check.name: check for check in report.checks}
    assert found["agreement"].ok, found["agreement"].detail
    assert file.settlement.liars[0].hex()[:16] in found["agreement"].detail
    assert any("told the truth" in sentence for sentence in report.trust)
    assert any("whose step was false" in sentence for sentence in report.trust)


def test_a_settlement_that_does_not_follow_from_its_receipts_is_refused() -> None:
    file = bisected()
    settled = file.settlement
    nobody = replace(settled, liars=())
    another = replace(settled, liars=(NodeId(bytes(32)),))
    agreeing = tuple(s for s in file.receipts if s.receipt.result == settled.result)
    for changed, reason in (
        (replace(file, settlement=nobody), "liars"),
        (replace(file, settlement=another), "liars"),
        (replace(file, receipts=agreeing), "asked for 3"),
        (replace(file, receipts=(*agreeing, agreeing[0])), "between receipts"),
    ):
        assert reason in str(bisected_fault(changed))
    assert bisected_fault(file) is None
