"""Receipt, proof and module are tied together offline; the proof is a real one."""

from pathlib import Path

import pytest
import wasmtime
from msgspec.structs import replace

from ambientd.api.proof_checks import IN_THE_CIRCUIT, MODULE_LEFT, with_proof_checked
from ambientd.api.views import receipt_file, task_reply
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import sign_receipt
from ambientd.model.base import Digest, TaskId
from ambientd.model.proof import Finding
from ambientd.model.receipt import SignedReceipt
from ambientd.model.task import Result
from ambientd.rules.proofs import proof_fault, read_proof
from ambientd.rules.receipt_check import ReceiptReport, check_receipt_file
from ambientd.rules.receipt_trust import VERIFIED_BY_MEMBERS
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from tests.ledger.cluster import TestCluster
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


class WithProof(ProvingCluster):
    """A cluster whose worker names the committed proof."""

    __test__ = False
    named = Digest(sha256(PROOF))

    def receipt(self, task: TaskId, slot: int, answer: Result | None = None) -> SignedReceipt:
        made = super().receipt(task, slot, answer).receipt
        return sign_receipt(self.signers[made.worker], replace(made, nonce=self.named))


def settled(result: Result, named: bytes = PROOF) -> tuple[TestCluster, TaskId]:
    cluster = WithProof.made()
    cluster.named = Digest(sha256(named))
    task = cluster.admit(assurance=TERMS, replicas=1, **LIMITS)
    cluster.work(task, {0: result})
    for member in range(3):
        cluster.block(cluster.word(task, member, Finding.HOLDS, read_proof(PROOF).cycles))
    cluster.close_batch()
    return cluster, task


def checked(result: Result, named: bytes = PROOF) -> ReceiptReport:
    cluster, task = settled(result, named)
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
