"""Vectors of a task that two workers execute: the second goes on from the first one's mark."""

from typing import Any

from ambientd.codec.canonical import encode
from ambientd.codec.statements import mark_hash, sign_commit, task_id
from ambientd.ledger.versions import MARKS_VERSION
from ambientd.model.mark import FROM_BEGINNING, Mark
from ambientd.model.offer import Closed, SlotName
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import Admit, Commits, Marked, Offer, Settle, VersionKnown
from ambientd.rules.marks import marks_text
from tests.ledger.cluster import UNTIL_MS, spec
from tests.ledger.test_marks import MARKED, answer, mark_of, number_of, slot_of


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
    }


def _mark(mark: Mark) -> dict[str, Any]:
    return {"mark": encode(mark).hex(), "hash": mark_hash(mark).hex()}


def _receipt(signed: SignedReceipt) -> dict[str, Any]:
    return {"receipt": encode(signed).hex(), "text": marks_text(signed.receipt)}
