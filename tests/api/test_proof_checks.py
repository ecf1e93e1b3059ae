"""Receipt, proof and module are tied together offline; the proof is a real one."""

from pathlib import Path

import pytest
import wasmtime
from msgspec.structs import replace

from ambientd.api.image_files import read_images
from ambientd.api.proof_checks import (
    BY_YOURSELF,
    IN_THE_CIRCUIT,
    MODULE_LEFT,
    TRANSLATED,
    OwnImage,
    with_proof_checked,
)
from ambientd.api.views import receipt_file, task_reply
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import fingerprint, sign_receipt
from ambientd.ledger.images import image_row, own_image
from ambientd.model.base import Digest, TaskId
from ambientd.model.image import ImageFile
from ambientd.model.proof import Finding
from ambientd.model.receipt import SignedReceipt
from ambientd.model.task import Result
from ambientd.rules.images import FILE_VERSION, TRANSLATION
from ambientd.rules.proofs import proof_fault, read_proof
from ambientd.rules.receipt_check import ReceiptReport, check_receipt_file
from ambientd.rules.receipt_trust import VERIFIED_BY_MEMBERS
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from tests.ledger.cluster import TestCluster
from tests.ledger.imaging import gone_over, named
from tests.ledger.proving import TERMS, ProvingCluster
from tests.proofs.images import program

FOLDER = Path(__file__).parents[1]
PROOF = (FOLDER.parent / "protocols" / "vectors" / "interpreted.proof").read_bytes()
MODULE = bytes(wasmtime.wat2wasm((FOLDER / "modules" / "divide.wat").read_text()))
DATA = bytes(4)
LIMITS: dict[str, object] = {
    "module": sha256(MODULE),
    "module_size_bytes": len(MODULE),
    "input": sha256(DATA),
    "input_size_bytes": len(DATA),
    "gas_max": 10_000_000_000,
    "memory_bytes_max": 512 << 20,
    "output_bytes_max": 16 << 20,
}


def prepared() -> bytes:
    made = prepare(MODULE)
    assert isinstance(made, Prepared)
    return made.module


def trapped() -> Result:
    return Result(
        kind=1,
        reason="integer_divide_by_zero",
        output=Digest(sha256(b"")),
        output_size_bytes=0,
        gas=10_000_000_000,
        prepared=Digest(sha256(prepared())),
        rewriter_version=REWRITER_VERSION,
    )


VECTORS = FOLDER.parent / "protocols" / "vectors"
OWN_PROOF = (VECTORS / "execution.proof").read_bytes()
OWN_MODULE = (FOLDER.parent / "examples" / "image-classify" / "classify.wasm").read_bytes()
OWN_IMAGE = read_proof(OWN_PROOF).image


def own_limits() -> dict[str, object]:
    """Give the terms of the task that the committed proof by an own image is of."""
    stated, data = read_proof(OWN_PROOF).statement, (VECTORS / "execution.input").read_bytes()
    return {
        "module": sha256(OWN_MODULE),
        "module_size_bytes": len(OWN_MODULE),
        "input": sha256(data),
        "input_size_bytes": len(data),
        "gas_max": int.from_bytes(stated[112:120], "big"),
        "memory_bytes_max": int.from_bytes(stated[128:136], "big"),
        "output_bytes_max": int.from_bytes(stated[136:144], "big"),
    }


def classified() -> Result:
    made, output = prepare(OWN_MODULE), (VECTORS / "execution.output").read_bytes()
    assert isinstance(made, Prepared)
    return Result(
        kind=0,
        reason="",
        output=Digest(sha256(output)),
        output_size_bytes=len(output),
        gas=int.from_bytes(read_proof(OWN_PROOF).statement[120:128], "big"),
        prepared=Digest(sha256(made.module)),
        rewriter_version=REWRITER_VERSION,
    )


def by_own_image(image: Digest = OWN_IMAGE) -> tuple[ReceiptReport, bytes]:
    """Give the receipt of a task proven so, and what its members say of the module's image.

    They say it in a ledger of the same founders, since a receipt of a later epoch needs a log.
    """
    cluster, saying = WithProof.made(), gone_over()
    cluster.named, module = Digest(sha256(OWN_PROOF)), Digest(sha256(OWN_MODULE))
    saying.block(*(named(saying, n, image, module, TRANSLATION) for n in (0, 1)))
    row = image_row(saying.state, module)
    assert row is not None
    assert (own_image(saying.state, module), saying.id) == (image, cluster.id)
    task = cluster.admit(assurance=TERMS, replicas=1, **own_limits())
    cluster.work(task, {0: classified()})
    for member in range(3):
        cluster.block(cluster.word(task, member, Finding.HOLDS, read_proof(OWN_PROOF).cycles))
    cluster.close_batch()
    file = receipt_file(cluster.state, cluster.task(task), cluster.signer(0))
    assert file is not None
    report = check_receipt_file(encode(file), pinned=cluster.id)
    assert report.valid, [check for check in report.checks if not check.ok]
    return report, encode(ImageFile(FILE_VERSION, saying.genesis, (), row.claims))


class WithProof(ProvingCluster):
    """A cluster whose worker names the committed proof."""

    __test__ = False
    named = Digest(sha256(PROOF))

    def receipt(self, task: TaskId, slot: int, answer: Result | None = None) -> SignedReceipt:
        made = super().receipt(task, slot, answer).receipt
        return sign_receipt(self.signers[made.worker], replace(made, nonce=self.named))


def settled(result: Result, proof: bytes = PROOF) -> tuple[TestCluster, TaskId]:
    cluster = WithProof.made()
    cluster.named = Digest(sha256(proof))
    task = cluster.admit(assurance=TERMS, replicas=1, **LIMITS)
    cluster.work(task, {0: result})
    for member in range(3):
        cluster.block(cluster.word(task, member, Finding.HOLDS, read_proof(PROOF).cycles))
    cluster.close_batch()
    return cluster, task


def checked(result: Result, proof: bytes = PROOF) -> ReceiptReport:
    cluster, task = settled(result, proof)
    file = receipt_file(cluster.state, cluster.task(task), cluster.signer(0))
    assert file is not None
    report = check_receipt_file(encode(file), pinned=cluster.id)
    assert report.valid, [check for check in report.checks if not check.ok]
    return report


def test_the_committed_proof_is_of_the_task_that_it_was_made_of() -> None:
    cluster, task = settled(trapped())
    spec = cluster.task(task).spec
    assert proof_fault(read_proof(PROOF), spec, trapped(), prepared()) is None


def test_a_stranger_with_proof_and_module_needs_nobodys_word_on_the_execution() -> None:
    report = checked(trapped())
    assert VERIFIED_BY_MEMBERS in report.trust
    verifier = str(program("ambient-verify"))
    whole = with_proof_checked(report, PROOF, MODULE, verifier)
    assert whole.valid
    assert whole.checks[-1].name == "proof"
    assert IN_THE_CIRCUIT in whole.trust
    assert not {VERIFIED_BY_MEMBERS, MODULE_LEFT} & set(whole.trust)
    without = with_proof_checked(report, PROOF, None, verifier)
    assert without.valid
    assert MODULE_LEFT in without.trust


def test_another_proof_module_or_seal_is_found() -> None:
    report, verifier = checked(trapped()), str(program("ambient-verify"))
    other = bytes(wasmtime.wat2wasm((FOLDER / "modules" / "sum.wat").read_text()))
    broken = PROOF[:-8] + bytes(8)
    for found in (
        with_proof_checked(report, broken, MODULE, verifier),
        with_proof_checked(report, PROOF, other, verifier),
        with_proof_checked(checked(trapped(), broken), broken, MODULE, verifier),
        with_proof_checked(checked(replace(trapped(), gas=9)), PROOF, MODULE, verifier),
        with_proof_checked(
            checked(replace(trapped(), reason="unreachable")), PROOF, None, verifier
        ),
    ):
        assert not found.valid
        assert [check.name for check in found.checks if not check.ok] == ["proof"]


def test_a_stranger_takes_the_image_from_the_words_of_the_receipts_own_members() -> None:
    report, words = by_own_image()
    verifier, module = str(program("ambient-verify")), Digest(sha256(OWN_MODULE))
    assert report.file is not None
    vouched = read_images(words, module, fingerprint(report.file.genesis))
    whole = with_proof_checked(
        report, OWN_PROOF, OWN_MODULE, verifier, OwnImage(vouched.image, vouched.trust_text)
    )
    assert whole.valid, whole.checks[-1]
    assert OWN_IMAGE.hex() in whole.checks[-1].detail
    assert {TRANSLATED, vouched.trust_text} <= set(whole.trust)
    assert not {VERIFIED_BY_MEMBERS, MODULE_LEFT, IN_THE_CIRCUIT} & set(whole.trust)
    without = with_proof_checked(report, OWN_PROOF, None, verifier, OwnImage(vouched.image))
    assert without.valid
    assert MODULE_LEFT not in without.trust, "its statement names the module itself"
    assert BY_YOURSELF in without.trust


def test_a_proof_by_an_image_that_nobody_vouches_for_shows_nothing() -> None:
    verifier = str(program("ambient-verify"))
    report, _ = by_own_image()
    alone = with_proof_checked(report, OWN_PROOF, OWN_MODULE, verifier)
    assert not alone.valid
    assert "--images" in alone.checks[-1].detail
    other = Digest(sha256(b"what members found instead"))
    report, words = by_own_image(other)
    vouched = read_images(words, Digest(sha256(OWN_MODULE)), None)
    assert vouched.image == other
    found = with_proof_checked(report, OWN_PROOF, None, verifier, OwnImage(vouched.image))
    assert not found.valid
    assert other.hex() in found.checks[-1].detail


def test_a_receipt_of_no_proven_task_has_no_proof_to_check() -> None:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task)
    cluster.close_batch()
    file = receipt_file(cluster.state, cluster.task(task), cluster.signer(0))
    assert file is not None
    found = with_proof_checked(check_receipt_file(encode(file)), PROOF, None, "nowhere")
    assert not found.valid


def test_a_task_tells_its_proof_only_once_it_is_proven() -> None:
    cluster, task = settled(trapped())
    told = task_reply(cluster.state, task, cluster.task(task), ())
    assert (told.assurance, told.verdict) == ("proven", "proven")
    assert told.proof_sha256 == sha256(PROOF).hex()
    plain = TestCluster()
    other = plain.admit()
    assert task_reply(plain.state, other, plain.task(other), ()).proof_sha256 is None


@pytest.mark.parametrize("changed", [{"gas": 5}, {"output": Digest(bytes(32))}])
def test_what_a_result_says_besides_is_what_is_proven(changed: dict[str, object]) -> None:
    cluster, task = settled(trapped())
    spec = cluster.task(task).spec
    assert proof_fault(read_proof(PROOF), spec, replace(trapped(), **changed)) is not None
