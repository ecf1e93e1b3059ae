"""The test vectors of protocols/06-receipts.md: files, and what their check must say."""

from typing import Any

from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import file_payload, fingerprint, sign_record
from ambientd.consensus.messages import EpochEnd
from ambientd.model.receipt import ReceiptFile
from ambientd.model.record import Admit
from ambientd.node.stops import follow_epochs
from ambientd.rules.notes import signed_note
from ambientd.rules.receipt_check import check_receipt_file
from ambientd.runtime.persistence import ends_of
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import OUTPUT, TestCluster, spec
from tests.node import three_epochs
from tests.rules import receipts as scenes
from tests.rules.receipts import file_of


def receipts() -> dict[str, Any]:
    """Give honest files of every verdict, and such as lie."""
    made = {
        "agreed and anchored": scenes.agreed(),
        "agreed, anchor pending": scenes.agreed(anchored=False),
        "agreed, nothing cosigned yet": scenes.agreed(anchored=False, closed=False),
        "divergent": scenes.divergent(),
        "inconclusive": scenes.inconclusive(),
        "one worker": scenes.single(),
        "one worker, convicted since": scenes.suspect(),
        "one worker, revoked": scenes.revoked(),
        "a worker that did not open its answer": scenes.withheld(),
        "signed in batches": scenes.batched(),
    }
    files = [checked(name, file_of(each, b"n"), each.id) for name, each in made.items()]
    cluster = made["agreed and anchored"]
    good = file_of(cluster, b"n")
    assert good.note is not None
    lies: list[tuple[str, dict[str, Any]]] = [
        ("another time", {"settlement": replace(good.settlement, settled_ms=1)}),
        ("a receipt left out", {"receipts": good.receipts[:1]}),
        ("another specification", {"spec": spec(gas_max=9_999_999)}),
        ("a time below zero, signed as its last byte", _below_zero(good, cluster)),
        ("too few cosignatures", {"note": replace(good.note, cosignatures=())}),
        ("no headers after the anchor", {"anchor": anchor_proof(good.note.root, 1)}),
        ("a stranger issued it", {"issuer": cluster.signer(70).public_key}),
    ]
    for name, changes in lies:
        signer = cluster.signer(70 if "issuer" in changes else 0)
        bent = replace(good, **changes)
        bent = replace(bent, signature=signer.sign("receipt-file", file_payload(bent)))
        files.append(checked(name, bent, cluster.id))
    batched = file_of(made["signed in batches"], b"n")
    for name, changes in (
        ("a batch signature under another specification", {"spec": spec(gas_max=9_999_999)}),
        ("a batch signature of another place", {"admit_signature": _moved(batched)}),
    ):
        bent = replace(batched, **changes)
        bent = replace(bent, signature=cluster.signer(0).sign("receipt-file", file_payload(bent)))
        files.append(checked(name, bent, cluster.id))
    files += _across_epochs()
    files += _founded_later()
    unsigned = replace(good, signature=bytes(64))
    files.append(checked("the issuer's signature missing", unsigned, cluster.id))
    names = {cluster.node(number): f"node-{number}" for number in range(4)}
    return {
        "document": "protocols/06-receipts.md",
        "output": OUTPUT.hex(),
        "files": files,
        "note": signed_note(cluster.id, good.note, names),
    }


def _below_zero(file: ReceiptFile, cluster: TestCluster) -> dict[str, Any]:
    """Give a time limit of -1000, and the submitter's signature of 24: they end in one byte."""
    body = Admit(nonce=file.nonce, spec=file.spec, until_ms=-1000 & 0xFF)
    signature = sign_record(cluster.signers[file.submitter], body).signature
    return {"until_ms": -1000, "admit_signature": signature}


def _moved(file: ReceiptFile) -> bytes:
    """Give the submitter's batch signature as if it were of the neighbour in the batch."""
    index = file.admit_signature[67] ^ 1
    return file.admit_signature[:67] + bytes([index]) + file.admit_signature[68:]


def _across_epochs() -> list[dict[str, Any]]:
    """Give files that lead through two changes of the committee, and such as pretend to."""
    changed = three_epochs.three_epochs()
    good, issuer = three_epochs.file_of(changed, 2), changed.hosts[0].signer
    first, second = good.epochs
    made = {
        "by the committee of the third epoch": good.epochs,
        "a change left out": (first,),
        "changes in the wrong order": (second, first),
        "a change proven with another's certificates": (
            first,
            encode(EpochEnd(decode(second, EpochEnd).record, decode(first, EpochEnd).links)),
        ),
    }
    files = []
    for name, epochs in made.items():
        bent = replace(good, epochs=epochs)
        bent = replace(bent, signature=issuer.sign("receipt-file", file_payload(bent)))
        files.append(checked(name, bent, fingerprint(changed.genesis)))
    return files


def _founded_later() -> list[dict[str, Any]]:
    """Give files of a cluster that was founded in state version 2, whose next epoch names 3."""
    cluster = three_epochs.next_version(2)
    good, issuer = three_epochs.file_of(cluster, 0), cluster.hosts[0].signer
    ends = tuple(map(encode, ends_of(cluster.hosts[0].store)))
    made: dict[str, dict[str, Any]] = {
        "founded in state version 2": {"epochs": ()},
        "founded in state version 2, and an epoch of 3 after it": {"epochs": ends},
        "another state version in the genesis": {
            "genesis": replace(good.genesis, state_version=1),
        },
        "a genesis of no state version": {"genesis": replace(good.genesis, state_version=0)},
    }
    files = []
    for name, changes in made.items():
        bent = replace(good, **changes)
        bent = replace(bent, signature=issuer.sign("receipt-file", file_payload(bent)))
        files.append(checked(name, bent, fingerprint(cluster.genesis)))
    return files


def checked(name: str, file: ReceiptFile, cluster: bytes) -> dict[str, Any]:
    """Give a file, and what its check says."""
    report = check_receipt_file(encode(file), pinned=cluster, follow=follow_epochs)
    failed = [check.name for check in report.checks if not check.ok]
    return {
        "name": name,
        "cluster": cluster.hex(),
        "file": encode(file).hex(),
        "valid": report.valid,
        "checks": [check.name for check in report.checks],
        "failed": failed,
    }
