"""Vectors of a task that two workers execute: the second goes on from the first one's mark."""

from typing import Any

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import (
    file_payload,
    mark_hash,
    receipt_hash,
    sign_commit,
    sign_mark,
    sign_receipt,
    task_id,
)
from ambientd.ledger.versions import MARKS_VERSION
from ambientd.model.base import TaskId
from ambientd.model.dispute import TracePoint
from ambientd.model.mark import FROM_BEGINNING, MARKED_STATE_BYTES_MAX, GoneOn, Mark
from ambientd.model.offer import Closed, SlotName
from ambientd.model.receipt import Receipt, ReceiptFile, SignedReceipt
from ambientd.model.record import Admit, Commits, Marked, Offer, Settle, VersionKnown
from ambientd.rules.marks import marks_text
from scripts.receipt_vectors import checked
from tests.ledger.cluster import UNTIL_MS, TestCluster, spec
from tests.ledger.test_marks import (
    MARKED,
    answer,
    cluster_of,
    finish,
    hand_back,
    mark_of,
    number_of,
    slot_of,
)
from tests.rules.receipts import file_of

ROOT = sha256(b"root")


def vectors() -> dict[str, Any]:
    """Vectors of protocols/03-records.md section 12, from before state version 2 on."""
    from scripts.make_vectors import _Scene

    scene = _Scene()
    cluster = scene.cluster
    genesis_root = cluster.state.root
    word = VersionKnown(version=MARKS_VERSION, said_ms=1)
    scene.block(*((member, word) for member in range(cluster.members)))
    due = cluster.state.epoch_due
    assert due is not None, "all members know the version"
    scene.block((0, due))
    scene.block()
    terms = spec(**MARKED)
    task = task_id(cluster.node(0), b"n", terms)
    scene.block((0, Admit(nonce=b"n", spec=terms, until_ms=UNTIL_MS)))
    slot, maker = slot_of(cluster, task), number_of(cluster, task)
    first = mark_of(cluster, task, 1_000_000)
    scene.block((maker, Marked(mark=first)))
    name = SlotName(task=task, slot=0, attempt=slot.attempt)
    hot = Offer(closed=Closed.HOT, refuses=(), hands_back=(name,), said_ms=cluster.time_ms)
    scene.block((maker, hot))
    second = mark_of(cluster, task, 2_000_000, mark_hash(first))
    anew = mark_of(cluster, task, 500_000, FROM_BEGINNING)
    taker = number_of(cluster, task)
    scene.block((taker, Marked(mark=second)), (taker, Marked(mark=second)))
    scene.block((maker, Marked(mark=anew)))
    signed = answer(cluster, task, first)
    sealed = sign_commit(cluster.signers[signed.receipt.worker], signed.receipt)
    scene.block((0, Commits(commits=(sealed,))))
    scene.block((0, Settle(task=task, receipts=(signed,))))
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "marks": [_mark(first), _mark(second)],
        "receipt": _receipt(signed),
        "blocks": scene.blocks,
        "files": _files(),
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {"mark": encode(mark).hex(), "hash": mark_hash(mark).hex()}


def _receipt(signed: SignedReceipt) -> dict[str, Any]:
    return {"receipt": encode(signed).hex(), "text": marks_text(signed.receipt)}


def _files() -> list[dict[str, Any]]:
    """Give receipt files of tasks that allow marks (06 section 7), and such as lie about them."""
    good, cluster = marked_file(goes_on=True)
    anew, _ = marked_file(goes_on=False)
    (signed,) = good.receipts
    first, second = signed.receipt.marks
    other = marked(cluster, first, task=TaskId(bytes(32)))
    lies: dict[str, tuple[Mark, ...]] = {
        "a mark left out": (second,),
        "two marks in the wrong order": (second, first),
        "a mark of another task": (other,),
        "a mark that its maker did not sign": (replace(first, state=first.point.root),),
        "a mark of the answer's own attempt": (marked(cluster, first, attempt=2),),
        "a mark beyond the task's gas": (marked(cluster, first, point=TracePoint(10**9, ROOT)),),
        "a mark of a root of 31 bytes": (marked(cluster, first, point=TracePoint(9, ROOT[1:])),),
        "a mark of a state of no bytes": (marked(cluster, first, state_size_bytes=0),),
        "a mark of a state that is too large": (
            marked(cluster, first, state_size_bytes=MARKED_STATE_BYTES_MAX + 1),
        ),
        "more marks than the task allows": (first, second, second),
        "a list of no marks": (),
    }
    made = {
        "gone on from two workers' states": good,
        "marks allowed, and begun anew": anew,
    }
    for name, marks in lies.items():
        said = replace(signed.receipt, started_ms=GoneOn(5, marks))
        made[name] = _saying(good, cluster, said)
    return [checked(name, file, cluster.id) for name, file in made.items()]


def marked_file(*, goes_on: bool) -> tuple[ReceiptFile, TestCluster]:
    """Give the file of a task that three workers executed, the third from the second's state.

    Or from the beginning. The committee's change to the version that knows marks is left out.
    """
    cluster = cluster_of()
    task = cluster.admit(**MARKED)
    marks: tuple[Mark, ...] = ()
    for gas in (1_000_000, 2_000_000):
        mark = mark_of(cluster, task, gas, mark_hash(marks[-1]) if marks else FROM_BEGINNING)
        cluster.block((number_of(cluster, task), Marked(mark=mark)))
        hand_back(cluster, task)
        marks = (*marks, mark)
    named = marks if goes_on else ()
    assert finish(cluster, task, answer(cluster, task, *named)) == []
    cluster.close_batch()
    return _issued(replace(file_of(cluster, b"n"), epoch_leaf=None), cluster), cluster


def marked(cluster: TestCluster, mark: Mark, **changes: object) -> Mark:
    """Give another mark, with its maker's signature."""
    return sign_mark(cluster.signers[mark.worker], replace(mark, **changes))


def _saying(file: ReceiptFile, cluster: TestCluster, receipt: Receipt) -> ReceiptFile:
    """Give a file whose one worker has said something else; its issuer vouches for that."""
    said = sign_receipt(cluster.signers[receipt.worker], receipt)
    settlement = replace(file.settlement, receipts=(receipt_hash(said),))
    return _issued(replace(file, receipts=(said,), settlement=settlement), cluster)


def _issued(file: ReceiptFile, cluster: TestCluster) -> ReceiptFile:
    return replace(file, signature=cluster.signer(0).sign("receipt-file", file_payload(file)))
