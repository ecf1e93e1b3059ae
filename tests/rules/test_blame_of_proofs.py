"""A certificate of a wrong proof holds by members' words, and is refuted by a proof that holds."""

import pytest
from msgspec.structs import replace

from ambientd.api.blame_replay import REPLAY, Replay, check_blame
from ambientd.api.module_pausing import PausingProcess
from ambientd.api.proof_checks import why_wrong
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.errors import UsageError
from ambientd.model.base import Digest
from ambientd.model.blame import BlamedTask, BlameFile, WrongProof
from ambientd.model.proof import Finding, ProofWord
from ambientd.model.task import Result
from ambientd.rules.blame_check import FILE_VERSION, check_blame_file
from tests.api.test_proof_checks import LIMITS as ASKED
from tests.api.test_proof_checks import (
    MODULE,
    OWN_IMAGE,
    OWN_MODULE,
    OWN_PROOF,
    PROOF,
    WithProof,
    by_own_image,
    classified,
    own_limits,
    prepared,
    trapped,
)
from tests.engines import engines
from tests.ledger.proving import TERMS
from tests.proofs.images import program

ENGINE = engines()[0]


def certificate(
    proof: bytes = PROOF, asked: dict[str, object] = ASKED, result: Result | None = None
) -> BlameFile:
    """Three members have found the committed proof wrong, which it is not."""
    cluster = WithProof.made()
    cluster.named = Digest(sha256(proof))
    task = cluster.admit(assurance=TERMS, replicas=1, **asked)
    cluster.work(task, {0: result or trapped()})
    signed = cluster.task(task).receipts[0]
    cluster.say(task, Finding.WRONG)
    found = cluster.state.conviction(signed.receipt.worker)
    assert found is not None
    entry = cluster.task(task)
    blamed = BlamedTask(submitter=entry.submitter, nonce=entry.nonce, spec=entry.spec)
    words = decode(found.second, tuple[ProofWord, ...])
    evidence = WrongProof(task=blamed, receipt=signed, verdicts=words, proof=b"")
    return BlameFile(
        version=FILE_VERSION,
        genesis=cluster.genesis,
        epochs=(),
        culprit=signed.receipt.worker,
        evidence=evidence,
        module=None,
        input=None,
    )


def changed(file: BlameFile, **fields: object) -> BlameFile:
    assert isinstance(file.evidence, WrongProof)
    return replace(file, evidence=replace(file.evidence, **fields))


def test_q_words_on_the_proof_that_the_receipt_names_make_a_certificate() -> None:
    file = certificate()
    report = check_blame_file(encode(file))
    assert report.valid, report.checks
    assert any("members" in sentence for sentence in report.trust)
    assert check_blame_file(encode(changed(file, proof=PROOF))).valid
    assert len(encode(file)) < 16 << 10


def test_fewer_or_other_words_and_another_proof_make_none() -> None:
    file = certificate()
    assert isinstance(file.evidence, WrongProof)
    words = file.evidence.verdicts
    for wrong in (
        changed(file, verdicts=words[:2]),
        changed(file, verdicts=(*words[:2], words[0])),
        changed(file, verdicts=(*words[:2], replace(words[2], attempt=9))),
        changed(file, verdicts=(*words[:2], replace(words[2], proof=Digest(bytes(32))))),
        changed(file, verdicts=tuple(replace(each, finding=Finding.MISSING) for each in words)),
        changed(file, proof=PROOF + b"\0"),
        replace(file, culprit=words[0].referee),
    ):
        assert not check_blame_file(encode(wrong)).valid


def test_whoever_has_proof_and_module_sees_whether_the_members_are_right() -> None:
    assert program("ambient-verify")
    lied_about = changed(certificate(), proof=PROOF).evidence
    assert isinstance(lied_about, WrongProof)
    assert why_wrong(lied_about, MODULE) == ""
    assert why_wrong(lied_about, None) is None
    broken = replace(lied_about, proof=PROOF[:-8] + bytes(8))
    assert why_wrong(broken, None)
    assert why_wrong(replace(lied_about, proof=b"none"), None)
    assert why_wrong(lied_about, prepared())


def test_of_an_image_that_a_prover_called_the_modules_no_certificate_shows_whose_it_is() -> None:
    assert program("ambient-verify")
    evidence = changed(certificate(OWN_PROOF, own_limits(), classified()), proof=OWN_PROOF).evidence
    assert isinstance(evidence, WrongProof)
    assert why_wrong(evidence, OWN_MODULE) is None, "it holds for its image, whosever that is"
    assert why_wrong(replace(evidence, proof=OWN_PROOF[:-8] + bytes(8)), None)
    assert why_wrong(evidence, MODULE), "it is of another module"
    assert why_wrong(evidence, OWN_MODULE, OWN_IMAGE) is None, "it may be decided since"
    fault = why_wrong(evidence, None, Digest(bytes(32)))
    assert fault is not None
    assert OWN_IMAGE.hex() in fault


def test_what_members_say_of_the_image_shows_that_a_proof_by_another_is_wrong() -> None:
    file = changed(certificate(OWN_PROOF, own_limits(), classified()), proof=OWN_PROOF)
    _, words = by_own_image(Digest(sha256(b"what members found instead")))
    report = check_blame(encode(file), None, Replay(PausingProcess(ENGINE), images=words))
    assert report.valid, report.checks
    assert (report.checks[-1].name, report.checks[-1].ok) == (REPLAY, True)
    assert OWN_IMAGE.hex() in report.checks[-1].detail
    assert any("2 of the 4 members" in each for each in report.trust)
    pinned = Replay(PausingProcess(ENGINE), images=words, epoch=bytes(32))
    with pytest.raises(UsageError, match="no epoch on the way from the founders has the hash"):
        check_blame(encode(file), None, pinned)
    _, words = by_own_image()
    report = check_blame(encode(file), None, Replay(PausingProcess(ENGINE), images=words))
    assert report.valid
    assert REPLAY not in {check.name for check in report.checks}, "it may be decided since"
