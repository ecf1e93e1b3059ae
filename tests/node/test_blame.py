"""Certificates about statements of the log and of telemetry, and from later committees."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import sign_receipt, sign_verdict
from ambientd.consensus.messages import Evidence
from ambientd.model.base import NodeId
from ambientd.model.blame import BlamedTask, BlameFile, Contradiction, WrongResult
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.record import SeatWish
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence, culprit_of, follow_epochs
from ambientd.rules.blame_check import FILE_VERSION, BlameReport, check_blame_file
from ambientd.runtime.persistence import ends_of
from ambientd.telemetry.core import EVIDENCE_KIND
from tests.ledger.cluster import result
from tests.node.cluster import Cluster
from tests.node.test_hostile import contradiction
from tests.node.test_penalties import (
    CLUSTER,
    GENESIS,
    LIAR,
    hidden_certificate,
    two_blocks,
    two_votes,
)
from tests.node.three_epochs import batched


def certificate(evidence: Contradiction, culprit: bytes = LIAR.public_key) -> BlameFile:
    return BlameFile(
        version=FILE_VERSION,
        genesis=GENESIS,
        epochs=(),
        culprit=NodeId(culprit),
        evidence=evidence,
        module=None,
        input=None,
    )


def check(file: BlameFile) -> BlameReport:
    return check_blame_file(encode(file), follow=follow_epochs, judge=culprit_of)


def of_log(evidence: Evidence, epoch: int = FIRST_EPOCH, second: bytes = b"") -> Contradiction:
    first = encode(LogEvidence(epoch, evidence))
    return Contradiction(kind=LOG_EVIDENCE, first=first, second=second)


@pytest.mark.parametrize("kind", [two_blocks, two_votes, hidden_certificate])
def test_two_statements_in_the_log_convict_offline(kind: Callable[[], Evidence]) -> None:
    assert check(certificate(of_log(kind()))).valid
    assert not check(certificate(of_log(kind()), bytes(32))).valid
    assert not check(certificate(of_log(kind(), epoch=2))).valid, "of a committee without proof"
    assert not check(certificate(of_log(kind(), epoch=0))).valid
    assert not check(certificate(of_log(kind(), second=b"more"))).valid


def test_two_telemetry_batches_convict_offline() -> None:
    first, second = contradiction(Signer(LIAR.seed, CLUSTER))
    said = Contradiction(kind=EVIDENCE_KIND, first=first, second=second)
    assert check(certificate(said)).valid
    for bent in (replace(said, second=first), replace(said, first=b"\xc1")):
        assert not check(certificate(bent)).valid
    assert not check(certificate(said, bytes(32))).valid
    unreadable = Contradiction(kind=LOG_EVIDENCE, first=b"\xc1", second=b"")
    assert not check(certificate(unreadable)).valid


def test_referees_of_a_later_committee_are_believed_by_the_proofs_of_its_epochs() -> None:
    cluster = Cluster(guests=1, checked=False)
    cluster.run(1_000)
    cluster.join(0)
    task = batched(cluster)
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    entry = cluster.entry(task)
    culprit = cluster.hosts[0].signer
    receipt = replace(
        entry.receipts[0].receipt, worker=NodeId(culprit.public_key), result=result(b"a lie")
    )
    verdicts = tuple(
        sign_verdict(cluster.hosts[number].signer, task, result()) for number in (1, 2, 3, 4)
    )
    evidence = WrongResult(
        task=BlamedTask(submitter=entry.submitter, nonce=entry.nonce, spec=entry.spec),
        receipt=sign_receipt(culprit, receipt),
        verdicts=verdicts,
    )
    file = replace(
        certificate(Contradiction(kind="", first=b"", second=b""), culprit.public_key),
        genesis=cluster.ledger().genesis,
        epochs=tuple(map(encode, ends_of(cluster.hosts[0].store))),
        evidence=evidence,
    )
    report = check(file)
    assert report.valid, report.checks
    assert "committee" in [each.name for each in report.checks]
    assert any("signed for other successors" in each for each in report.trust)
    failed = [each.name for each in check(replace(file, epochs=())).checks if not each.ok]
    assert failed == ["referees"]
    bent = replace(file, epochs=(file.epochs[0][:-1],))
    assert "committee" in [each.name for each in check(bent).checks if not each.ok]
