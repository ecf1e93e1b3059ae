"""Real receipt files, from a ledger that was driven through the task's whole life."""

from msgspec.structs import replace

from ambientd.api.views import receipt_file
from ambientd.codec.canonical import encode
from ambientd.codec.statements import audit_id, sign_records, task_id
from ambientd.model.genesis import Rules
from ambientd.model.receipt import ReceiptFile
from ambientd.model.record import Admit, Anchor, Fraud, Settle
from ambientd.model.task import Assurance
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import UNTIL_MS, TestCluster, result, spec

LIE = result(b"another answer")


def file_of(cluster: TestCluster, nonce: bytes, issuer: int = 0) -> ReceiptFile:
    entry = next(entry for _, entry in cluster.state.tasks() if entry.nonce == nonce)
    file = receipt_file(cluster.state, entry, cluster.signer(issuer))
    assert file is not None
    return file


def agreed(members: int = 4, *, anchored: bool = True, closed: bool = True) -> TestCluster:
    """Give a cluster whose task `n` is settled, among others, in a closed and anchored batch."""
    cluster = TestCluster(members)
    for number in range(5):
        cluster.work(cluster.admit(nonce=b"before%d" % number))
    cluster.work(cluster.admit(nonce=b"n"))
    cluster.work(cluster.admit(nonce=b"after"))
    if closed:
        cluster.close_batch()
    if anchored:
        size = cluster.state.checkpoint_size()
        root = cluster.state.receipt_log_root(size)
        cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))
    return cluster


def divergent() -> TestCluster:
    """Give a cluster that has convicted a worker of task `n`."""
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    for referee in range(3):
        cluster.block(cluster.finding(task, referee, result()))
    cluster.close_batch()
    return cluster


def inconclusive() -> TestCluster:
    cluster = TestCluster()
    task = cluster.admit()
    cluster.work(task, {1: LIE})
    cluster.block(cluster.finding(task, 0, result()))
    cluster.block(after_ms=70_000)
    cluster.close_batch()
    return cluster


def single() -> TestCluster:
    cluster = TestCluster()
    cluster.work(cluster.admit(assurance=Assurance.NONE, replicas=1))
    cluster.close_batch()
    return cluster


def suspect() -> TestCluster:
    """Give a cluster that has convicted the one worker of task `n` of something else."""
    cluster = TestCluster(rules=Rules(audit_permille=0))
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task)
    said = [encode(cluster.receipt(task, 0, each)) for each in (result(), LIE)]
    worker = cluster.task(task).slots[0].worker
    fraud = Fraud(culprit=worker, kind="receipt", first=said[0], second=said[1])
    cluster.block((0, fraud))
    cluster.close_batch()
    return cluster


def revoked(*, closed: bool = True) -> TestCluster:
    """Give a cluster whose referees found the answer of the one worker of task `n` to be wrong."""
    cluster = TestCluster(rules=Rules(audit_permille=1000, audit_window_ms=4_000))
    task = cluster.admit(assurance=Assurance.NONE, replicas=1)
    cluster.work(task, {0: LIE})
    cluster.close_batch()
    cluster.block(after_ms=1_000)
    audit = audit_id(task, 0)
    cluster.work(audit)
    for referee in range(3):
        cluster.block(cluster.finding(audit, referee, result()))
    if closed:
        cluster.close_batch()
    return cluster


def withheld() -> TestCluster:
    """Give a cluster in which referees stood in for a worker that never opened its answer."""
    cluster = TestCluster()
    task = cluster.admit()
    cluster.block((0, cluster.commits(task)))
    cluster.block((0, Settle(task=task, receipts=(cluster.receipt(task, 0),))))
    cluster.block(after_ms=10_000)
    for referee in range(3):
        cluster.block(cluster.finding(task, referee, result()))
    cluster.close_batch()
    return cluster


def batched() -> TestCluster:
    """Give a cluster whose submitter and workers sign many statements at once."""
    cluster = TestCluster()
    bodies = [Admit(nonce=nonce, spec=spec(), until_ms=UNTIL_MS) for nonce in (b"m", b"n", b"o")]
    cluster.apply(sign_records(cluster.signer(0), bodies))
    task = task_id(cluster.node(0), b"n", spec())
    cluster.block((0, cluster.commits(task)))
    opened = []
    for signed in cluster.settle(task).receipts:
        payloads = [encode(signed.receipt), b"another receipt"]
        signatures = cluster.signers[signed.receipt.worker].sign_batch("receipt", payloads)
        opened.append(replace(signed, signature=signatures[0]))
    cluster.block((0, Settle(task=task, receipts=tuple(opened))))
    cluster.close_batch()
    return cluster


def data_of(cluster: TestCluster) -> bytes:
    return encode(file_of(cluster, b"n"))
