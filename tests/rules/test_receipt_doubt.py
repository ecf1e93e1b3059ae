"""Files of results that are suspect or revoked: what their check says."""

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import file_payload
from ambientd.model.base import Digest, TaskId
from ambientd.model.receipt import Doubt, ReceiptFile
from ambientd.rules.receipt_check import ReceiptReport, check_receipt_file
from tests.rules.receipts import agreed, file_of, revoked, suspect

REVOKED = revoked()
FILE = file_of(REVOKED, b"n")


def finding(report: ReceiptReport) -> str:
    """Give what the one check says that does not hold."""
    (fault,) = [check for check in report.checks if not check.ok]
    assert fault.name == "standing"
    return fault.detail


def bent(doubt: Doubt) -> ReceiptReport:
    file: ReceiptFile = replace(FILE, doubt=doubt)
    signer = REVOKED.signer(0)
    return check_receipt_file(
        encode(replace(file, signature=signer.sign("receipt-file", file_payload(file))))
    )


def test_a_revoked_result_says_so_and_where_the_log_says_it() -> None:
    assert FILE.doubt is not None
    text = finding(check_receipt_file(encode(FILE)))
    assert text.startswith("revoked: the referees found another result in audit ")
    assert text.endswith(f"leaf {FILE.doubt.leaf_index} of {FILE.note.size}")


def test_a_result_that_stands_on_nobodys_word_is_suspect() -> None:
    assert finding(check_receipt_file(encode(file_of(suspect(), b"n")))).startswith("suspect: ")


def test_a_revocation_that_no_batch_holds_yet_makes_a_result_suspect() -> None:
    assert file_of(revoked(closed=False), b"n").doubt == Doubt()


def test_nothing_speaks_against_what_replicas_agreed_on() -> None:
    assert file_of(agreed(), b"n").doubt is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leaf_index": 10**9}, "has no place"),
        ({"leaf_index": 0}, "has no place"),
        ({"path": (Digest(b""),)}, "has no place"),
        ({"path": (Digest(bytes(32)),) * 65}, "has no place"),
        ({"path": (Digest(sha256(b"else")),)}, "does not lead"),
    ],
)
def test_a_revocation_without_a_place_in_the_log_is_none(changes: dict, said: str) -> None:
    assert FILE.doubt is not None
    assert said in finding(bent(replace(FILE.doubt, **changes)))


def test_a_revocation_of_another_result_is_none_of_this() -> None:
    assert FILE.doubt is not None
    assert FILE.doubt.revocation is not None
    other = replace(FILE.doubt.revocation, task=TaskId(bytes(32)))
    assert "of another result" in finding(bent(replace(FILE.doubt, revocation=other)))
