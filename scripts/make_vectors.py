"""Write test vectors, of protocols 00-03, 06, 11, 13, 18-21: `python -m scripts.make_vectors`.

Everything is derived from fixed seeds, so the files change only when the protocol does.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from ambientd.codec import merkle
from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256, tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import (
    commitment,
    epoch_hash,
    epoch_leaf,
    manifest_hash,
    receipt_hash,
    result_root,
    settlement_leaf,
    sign_commit,
    sign_manifest,
    sign_record,
    spec_hash,
    verdict_hash,
)
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.entries import encode_entry, encode_key
from ambientd.ledger.events import RecordRejected
from ambientd.model.base import Digest
from ambientd.model.genesis import Label, Rules
from ambientd.model.message import (
    PARCEL_BYTES_MAX,
    AbortSent,
    CommitSent,
    JobMessage,
    ParcelSent,
    RevealSent,
)
from ambientd.model.module import SignedManifest
from ambientd.model.offer import Closed, SlotName
from ambientd.model.record import (
    Anchor,
    Body,
    Bond,
    Cancel,
    Checkpoint,
    NodeReport,
    Offer,
    Registry,
    SeatAsked,
    SeatVote,
    SeatWish,
    Transfer,
    Unbond,
    VersionKnown,
)
from ambientd.model.task import Assurance, Constraint
from ambientd.node.frames import job_frame
from ambientd.rules.auditing import is_audited, lone_permille, replicas_for
from ambientd.rules.notes import note_text
from scripts import audit_vectors, mark_vectors
from scripts.bundle_vectors import bundles
from scripts.chunk_vectors import chunks
from scripts.discovery_vectors import discovery
from scripts.dispute_vectors import disputes
from scripts.learning_vectors import learning
from scripts.proof_vectors import proofs
from scripts.receipt_vectors import receipts
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import UNTIL_MS, TestCluster, profile, result, spec
from tests.model.values import plain
from tests.rules import blames
from tests.rules.receipts import LIE

FOLDER = Path(__file__).parents[1] / "protocols" / "vectors"
CHOOSY: dict[str, Any] = {
    "assurance": Assurance.QUORUM,
    "replicas": 9,
    "task_class": "inference",
    "constraints": (
        Constraint(key="region", value="eu-central"),
        Constraint(key="engine", value="wasmi", is_excluded=True),
    ),
    "distinct": ("owner", "region"),
    "priority": 9,
    "deadline_ms": UNTIL_MS,
    "attempts_max": 2,
    "strategy": "carbon-aware",
}
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def readable(value: object) -> object:
    """Write a plain value in JSON; bytes become {"hex": ...}."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [readable(each) for each in value]
    return value


def encoding() -> dict[str, Any]:
    """Vectors of protocols/00-encoding.md."""
    cluster, values = TestCluster(), []
    numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**53 - 1, -1, -32, -33]
    values += [(f"number {number}", number) for number in numbers]
    values += [("nil", None), ("true", True), ("false", False), ("no text", ""), ("text", "grüße")]
    values += [(f"text of {size}", "x" * size) for size in (31, 32, 255, 256)]
    values += [(f"{size} bytes", bytes(size)) for size in (0, 1, 32, 255, 256)]
    values += [(f"list of {size}", [7] * size) for size in (0, 15, 16)]
    task = cluster.admit()
    signed = cluster.receipt(task, 0)
    structs = [
        ("a result", signed.receipt.result),
        ("a specification", spec()),
        ("a specification that chooses its workers", spec(**CHOOSY)),
        ("a genesis", cluster.genesis),
        ("a genesis of state version 2", TestCluster(state_version=2).genesis),
        ("a signed receipt", signed),
        ("a record", sign_record(cluster.signer(0), Cancel(task=task))),
    ]
    return {
        "document": "protocols/00-encoding.md",
        "values": [
            {"name": name, "value": readable(value), "bytes": encode(value).hex()}
            for name, value in values
        ],
        "structs": [
            {
                "name": name,
                "struct": type(value).__name__,
                "value": readable(plain(value)),
                "bytes": encode(value).hex(),
            }
            for name, value in structs
        ],
        "refused": [
            {"name": name, "struct": "Result", "bytes": raw.hex()}
            for name, raw in refused_results(encode(signed.receipt.result))
        ],
    }


def refused_results(good: bytes) -> list[tuple[str, bytes]]:
    """Bend a result's bytes in every way that a lenient decoder would let pass."""
    assert good[:3] == b"\x97\x00\xa0"
    return [
        ("a byte too many", good + b"\x00"),
        ("a byte too few", good[:-1]),
        ("a field too many", b"\x98" + good[1:] + b"\xc0"),
        ("a field too few", b"\x96" + good[1:-1]),
        ("a longer array head", b"\xdc\x00\x07" + good[1:]),
        ("a longer number", b"\x97\xcc\x00" + good[2:]),
        ("a longer text head", b"\x97\x00\xd9\x00" + good[3:]),
        ("bytes in place of text", b"\x97\x00\xc4\x00" + good[3:]),
        ("nil in place of text", b"\x97\x00\xc0" + good[3:]),
        ("a float in place of a number", b"\x97\xca\x00\x00\x00\x00" + good[2:]),
        ("a map in place of an array", b"\x80"),
        ("nothing", b""),
    ]


def signatures() -> dict[str, Any]:
    """Vectors of protocols/01-signatures.md."""
    signer = Signer(sha256(b"vector seed"), sha256(b"vector cluster"))
    hashes = [("t", ()), ("t", (b"",)), ("t", (b"a", b"bc")), ("t", (b"ab", b"c"))]
    signature = signer.sign("record", b"payload")
    larger = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    good = {"key": signer.public_key, "domain": "record", "cluster": signer.cluster}
    good |= {"payload": b"payload", "signature": signature}
    bad: list[tuple[str, dict[str, Any]]] = [
        ("another domain", {"domain": "receipt"}),
        ("another cluster", {"cluster": bytes(32)}),
        ("another payload", {"payload": b"payloads"}),
        ("another key", {"key": Signer(sha256(b"other"), b"").public_key}),
        ("a flipped bit", {"signature": bytes([signature[0] ^ 1]) + signature[1:]}),
        ("S + L", {"signature": signature[:32] + larger.to_bytes(32, "little")}),
        ("a key of small order", {"key": b"\x01" + bytes(31), "signature": b"\x01" + bytes(63)}),
        ("a short signature", {"signature": signature[:63]}),
    ]
    text = note_text(signer.cluster, 3, sha256(b"root"))
    return {
        "document": "protocols/01-signatures.md",
        "tagged_hashes": [
            {"tag": tag, "parts": [p.hex() for p in parts], "hash": tagged(tag, *parts).hex()}
            for tag, parts in hashes
        ],
        "seed": signer.seed.hex(),
        "signed": [
            _hexed(good)
            | {"statement": tagged("ambient/record/1", signer.cluster, b"payload").hex()}
        ],
        "refused": [{"name": name} | _hexed(good | changes) for name, changes in bad],
        "batch": _batch(signer),
        "note": {
            "text": text.decode(),
            "key": signer.public_key.hex(),
            "signature": signer.sign_note(text).hex(),
        },
    }


def _batch(signer: Signer) -> dict[str, Any]:
    """One signature over five statements, and ways to make more of it than was signed."""
    payloads = [b"statement %d" % number for number in range(5)]
    signatures = signer.sign_batch("record", payloads)
    good = signatures[1]
    signature, place, path = good[:64], good[64:68], good[68:]
    statements = [tagged("ambient/record/1", signer.cluster, payload) for payload in payloads]
    leaves = [merkle.leaf_hash(statement) for statement in statements]
    head = merkle.root(leaves)
    left, right = merkle.root(leaves[:2]), merkle.root(leaves[2:4])
    alone = signer.sign("record", payloads[1])
    bad: list[tuple[str, dict[str, Any]]] = [
        ("another domain", {"domain": "receipt"}),
        ("another cluster", {"cluster": bytes(32)}),
        ("another statement of the batch", {"payload": payloads[2]}),
        ("the neighbour's index", {"signature": signature + b"\x00\x05\x00\x00" + path}),
        ("an index outside the batch", {"signature": signature + b"\x00\x05\x00\x05" + path}),
        ("another count", {"signature": signature + b"\x00\x06\x00\x01" + path}),
        ("a count of one", {"signature": alone + b"\x00\x01\x00\x00"}),
        ("a count above the cap", {"signature": signature + b"\x04\x01\x00\x01" + path}),
        ("a path too long", {"signature": good + bytes(32)}),
        ("a path too short", {"signature": good[:-32]}),
        ("a bent path", {"signature": good[:-1] + bytes([good[-1] ^ 1])}),
        ("a byte behind the path", {"signature": good + b"\x00"}),
        ("a plain signature with a path", {"signature": alone + place + path}),
        ("a branch for a statement", {"payload": left + right}),
        ("the signature without its path", {"signature": signature}),
        ("the batch itself", {"domain": "batch", "payload": encode((5, head))}),
    ]
    fields = {"key": signer.public_key, "domain": "record", "cluster": signer.cluster}
    fields |= {"payload": payloads[1], "signature": good}
    return {
        "root": head.hex(),
        "signed": [
            _hexed(fields | {"payload": payload, "signature": each})
            for payload, each in zip(payloads, signatures, strict=True)
        ],
        "refused": [{"name": name} | _hexed(fields | changes) for name, changes in bad],
    }


def _hexed(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: v.hex() if isinstance(v, bytes) else v for name, v in fields.items()}


def trees() -> dict[str, Any]:
    """Vectors of protocols/02-merkle.md."""
    data = [bytes([number]) * number for number in range(11)]
    leaves = [merkle.leaf_hash(each) for each in data]
    return {
        "document": "protocols/02-merkle.md",
        "leaves": [each.hex() for each in data],
        "heads": [merkle.root(leaves[:size]).hex() for size in range(len(leaves) + 1)],
        "inclusion": [
            {
                "leaf": index,
                "size": size,
                "path": [step.hex() for step in merkle.inclusion_proof(leaves[:size], index)],
            }
            for size in (1, 2, 7, 8, 11)
            for index in range(size)
        ],
        "consistency": [
            {
                "old_size": old,
                "size": size,
                "path": [step.hex() for step in merkle.consistency_proof(leaves[:size], old)],
            }
            for size in (1, 7, 8, 11)
            for old in range(1, size + 1)
        ],
    }


class _Scene:
    """A cluster whose blocks are written down as they are applied."""

    def __init__(self, rules: Rules | None = None, cluster: TestCluster | None = None) -> None:
        self.cluster = cluster or TestCluster(rules=rules)
        self.blocks: list[dict[str, Any]] = []

    def block(self, *records: tuple[int, Body], after_ms: int = 100) -> None:
        cluster = self.cluster
        cluster.time_ms += after_ms
        cluster.index += 1
        beacon = sha256(b"%d" % cluster.index)
        proposer = cluster.node(cluster.index % cluster.members)
        context = BlockContext(
            index=cluster.index,
            term=1,
            time_ms=cluster.time_ms,
            beacon=beacon,
            proposer=proposer,
            hash=sha256(b"block %d" % cluster.index),
        )
        signed = [sign_record(cluster.signer(author), body) for author, body in records]
        done = apply_block(cluster.state, context, signed)
        cluster.state.commit(context.index, done.writes, done.tree)
        self.blocks.append(
            {
                "index": context.index,
                "term": context.term,
                "time_ms": context.time_ms,
                "beacon": beacon.hex(),
                "proposer": proposer.hex(),
                "hash": context.hash.hex(),
                "records": [encode(record).hex() for record in signed],
                "events": [type(event).__name__ for event in done.events],
                "rejected": sum(isinstance(event, RecordRejected) for event in done.events),
                "state_root": done.root.hex(),
            }
        )


def records() -> dict[str, Any]:
    """Vectors of protocols/03-records.md: the life of three tasks, block by block."""
    from ambientd.codec.statements import task_id
    from ambientd.model.record import Admit

    scene = _Scene()
    cluster = scene.cluster
    genesis_root = cluster.state.root
    report = NodeReport(node=cluster.node(2), accepting=True, capacity=4)
    words = [(member, Registry(reports=(report,), observed_ms=1)) for member in range(3)]
    scene.block(*words, cluster.join(50))
    scene.block(words[0])  # a word that is brought again
    for nonce, answers in ((b"agreed", {}), (b"disputed", {1: LIE})):
        task = task_id(cluster.node(0), nonce, spec())
        scene.block((0, Admit(nonce=nonce, spec=spec(), until_ms=UNTIL_MS)))
        scene.block((0, cluster.commits(task, answers)))
        scene.block((0, cluster.settle(task, answers)))
    scene.block(*(cluster.finding(task, referee, result()) for referee in range(3)))
    scene.block((1, Admit(nonce=b"taken back", spec=spec(), until_ms=UNTIL_MS)))
    scene.block((1, Cancel(task=task_id(cluster.node(1), b"taken back", spec()))))
    scene.block((1, Admit(nonce=b"late", spec=spec(), until_ms=UNTIL_MS)))
    scene.block(after_ms=60_000)
    for _ in range(3):
        scene.block(after_ms=2_000)
    scene.block((0, Admit(nonce=b"too dear", spec=spec(gas_max=10**15), until_ms=UNTIL_MS)))
    scene.block((0, Checkpoint(note=cluster.note())))
    root = cluster.state.receipt_log_root(2)
    elsewhere = anchor_proof(root, 8, previous=bytes([7]) * 32)
    for proof in (anchor_proof(root), anchor_proof(root, 9), elsewhere, anchor_proof(root)):
        scene.block((0, Anchor(size=2, root=root, proof=proof)))
    tip = sha256(b"a new chain")
    scene.block((50, SeatAsked(beacon_tip=tip, bond_msat=0, asked_ms=1)))
    votes = [SeatVote(node=cluster.node(50), wish=SeatWish.IN, said_ms=1)] * 3
    scene.block(*enumerate(votes), (3, replace(votes[0], node=cluster.node(3), wish=SeatWish.OUT)))
    while (due := cluster.state.epoch_due) is not None:
        scene.block((0, due))
    scene.block((0, votes[0]))  # said before the seat changed
    scene.block((0, VersionKnown(version=3, said_ms=1)), (3, VersionKnown(version=2, said_ms=1)))
    words = [(member, VersionKnown(version=2, said_ms=2)) for member in (0, 1)]
    scene.block(*words, (1, VersionKnown(version=1, said_ms=3)))  # it goes back before the stop
    scene.block((2, VersionKnown(version=2, said_ms=1)), (50, VersionKnown(version=2, said_ms=1)))
    while (due := cluster.state.epoch_due) is not None:
        scene.block((0, due))
    last = cluster.state.epoch
    began = cluster.state.epoch_entry(last.number)
    assert began is not None
    root_hash = bytes.fromhex(scene.blocks[began.root_index - 1]["hash"])
    epoch = (*(getattr(last, name) for name in last.__struct_fields__), began.root_index, root_hash)
    entry = cluster.task(task)
    receipt = next(slot.receipt for slot in entry.slots if slot.receipt is not None)
    assert entry.settlement is not None
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "blocks": scene.blocks,
        "state": {
            "entries": [
                [encode_key(key).hex(), encode_entry(entry).hex()]
                for key, entry in sorted(cluster.state.items().items())
            ],
            "pages": [[depth, page.digest.hex()] for depth, page in cluster.state.tree.pages()],
            "root": cluster.state.root.hex(),
        },
        "derived": {
            "spec": {"of": encode(entry.spec).hex(), "is": spec_hash(entry.spec).hex()},
            "task": {
                "submitter": entry.submitter.hex(),
                "nonce": entry.nonce.hex(),
                "is": task.hex(),
            },
            "result_root": {
                "of": encode(receipt.receipt.result).hex(),
                "is": result_root(receipt.receipt.result).hex(),
            },
            "commitment": {
                "of": encode(receipt.receipt).hex(),
                "is": commitment(receipt.receipt).hex(),
            },
            "receipt_hash": {"of": encode(receipt).hex(), "is": receipt_hash(receipt).hex()},
            "verdict_hash": {
                "of": encode(entry.verdicts[0]).hex(),
                "is": verdict_hash(entry.verdicts[0]).hex(),
            },
            "settlement_leaf": {
                "of": encode(entry.settlement).hex(),
                "is": settlement_leaf(entry.settlement).hex(),
            },
            "epoch": {"of": encode(epoch).hex(), "is": epoch_hash(*epoch).hex()},
            "epoch_leaf": {
                "of": epoch_hash(*epoch).hex(),
                "is": epoch_leaf(epoch_hash(*epoch)).hex(),
            },
        },
    }


def accounts() -> dict[str, Any]:
    """Vectors of protocols/03-records.md section 9: credits passed on, at risk, and back."""
    scene = _Scene(Rules(keep_ms=2_000))
    cluster = scene.cluster
    genesis_root = cluster.state.root
    guest = cluster.node(50)
    gift = Transfer(to=guest, amount_msat=9_000, said_ms=1)
    scene.block(cluster.join(50), (0, gift))
    scene.block((0, gift), (50, Bond(amount_msat=9_001, said_ms=1)))
    scene.block((50, Bond(amount_msat=6_000, said_ms=2)))
    scene.block((50, Unbond(amount_msat=1_000, said_ms=3)), (0, Unbond(amount_msat=1, said_ms=2)))
    scene.block((50, Unbond(amount_msat=2_000, said_ms=4)), after_ms=1_999)
    scene.block(after_ms=1_999)
    scene.block(after_ms=1)
    scene.block((50, Transfer(to=cluster.node(0), amount_msat=6_000, said_ms=5)))
    scene.block((50, Transfer(to=cluster.node(60), amount_msat=0, said_ms=6)))
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "blocks": scene.blocks,
    }


def choices() -> dict[str, Any]:
    """Vectors of protocols/03-records.md section 6: who gets what, as tasks ask for it."""
    from ambientd.codec.statements import task_id
    from ambientd.model.record import Admit

    scene = _Scene()
    cluster = scene.cluster
    genesis_root = cluster.state.root
    homes = [profile(f"guest-{number}") for number in range(4)]
    homes = [replace(home, owner=f"o{place % 3}", region="us") for place, home in enumerate(homes)]
    homes[3] = replace(homes[3], refuses=("media",), labels=(Label(key="rack", value="7"),))
    scene.block(
        *(cluster.join(50 + n, invite=900 + n, profile=home) for n, home in enumerate(homes))
    )
    us = (Constraint(key="region", value="us"),)
    racked = Constraint(key="rack", value="7", is_excluded=True)
    late = cluster.time_ms + 4_000
    wanted: list[dict[str, Any]] = [
        {"constraints": us, "distinct": ("owner",)},
        {"constraints": (*us, racked), "replicas": 3},
        {"constraints": us, "task_class": "media", "replicas": 4, "deadline_ms": late},
        {"assurance": Assurance.AUDITED, "replicas": 1, "strategy": "least-loaded"},
        {"assurance": Assurance.QUORUM, "replicas": 5, "priority": 9, "attempts_max": 1},
    ]
    for number, terms in enumerate(wanted):
        body = Admit(nonce=b"%d" % number, spec=spec(**terms), until_ms=UNTIL_MS)
        scene.block((0, body))
    first = task_id(cluster.node(0), b"0", spec(**wanted[0]))
    scene.block((0, cluster.commits(first)))
    scene.block((0, cluster.settle(first)))
    scene.block(after_ms=1_900)
    scene.block(after_ms=1_900)
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "blocks": scene.blocks,
    }


def audits() -> dict[str, Any]:
    """Draws of audits, the shares that are audited, and how large a quorum is (03 §10)."""
    tasks = [sha256(b"task %d" % number) for number in range(8)]
    beacon = sha256(b"beacon")
    return {
        "draws": [
            {
                "beacon": beacon.hex(),
                "task": task.hex(),
                "permille": permille,
                "is_audited": is_audited(beacon, task, permille),
            }
            for task in tasks
            for permille in (0, 100, 400, 1000)
        ],
        "lone_shares": [
            {"streak": streak, "permille": permille, "share": lone_permille(streak, permille)}
            for streak in (0, 10, 19, 20, 30, 100_000)
            for permille in (0, 100, 300)
        ],
        "quorums": [
            {
                "colluders_permille": share,
                "error_ppb": error,
                "replicas": replicas_for(share, error),
            }
            for share in (0, 100, 200, 330, 500)
            for error in (1, 1_000, 10**9)
        ],
    }


def offers() -> dict[str, Any]:
    """Vectors of protocols/03-records.md section 11: a node is paused, and hands a slot back."""
    from ambientd.codec.statements import task_id
    from ambientd.model.record import Admit

    scene = _Scene()
    cluster = scene.cluster
    genesis_root = cluster.state.root
    task = task_id(cluster.node(0), b"n", spec())
    scene.block((0, Admit(nonce=b"n", spec=spec(), until_ms=UNTIL_MS)))
    slot = cluster.task(task).slots[0]
    worker = next(n for n in range(cluster.members) if cluster.node(n) == slot.worker)
    name = SlotName(task=task, slot=0, attempt=0)
    paused = Offer(closed=Closed.PAUSED, refuses=(), hands_back=(name,), said_ms=1)
    scene.block((worker, paused))
    scene.block((worker, paused))  # words that are brought again
    scene.block((worker, Offer(closed=Closed.OPEN, refuses=(), hands_back=(), said_ms=2)))
    picky = Offer(closed=Closed.OPEN, refuses=("media",), hands_back=(), said_ms=3)
    scene.block((worker, picky), after_ms=1_000)
    scene.block((0, Admit(nonce=b"m", spec=spec(task_class="media"), until_ms=UNTIL_MS)))
    small = Offer(closed=0, refuses=(), hands_back=(), said_ms=4, memory_bytes_max=1 << 20)
    scene.block((worker, small), after_ms=1_000)
    scene.block((0, Admit(nonce=b"s", spec=spec(), until_ms=UNTIL_MS)))
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "blocks": scene.blocks,
    }


def _refused_manifests(cluster: TestCluster, right: SignedManifest) -> list[dict[str, str]]:
    """Manifests that no reader takes: signed by others, changed since, or out of bounds."""
    said = right.manifest
    bent: dict[str, dict[str, Any]] = {
        "a path for a name": {"name": "../sums"},
        "a word for a version": {"version": "latest"},
        "build metadata": {"version": "1.0.0+1"},
        "a control character": {"summary": "\x1b[2J"},
        "no gas": {"gas_max": 0},
        "an unknown interface": {"interface": "python"},
        "no licence": {"licence": ""},
        "a script for a source": {"source_url": "javascript:alert(1)"},
        "a hash of no source": {"source_url": ""},
        "a summary that is too long": {"summary": "a" * 101},
    }
    found = {why: sign_manifest(cluster.signer(1), replace(said, **bent[why])) for why in bent}
    found["signed by another"] = sign_manifest(cluster.signer(2), said)
    found["changed since"] = replace(right, manifest=replace(said, version="1.0.1"))
    found["not signed"] = replace(right, signature=bytes(64))
    return [{"name": why, "signed": encode(each).hex()} for why, each in found.items()]


def modules_published() -> dict[str, Any]:
    """Vectors of protocols/15-modules.md: signed manifests, and a name's versions."""
    from ambientd.model.record import Yank
    from tests.ledger.publishing import manifest, publish

    scene = _Scene()
    cluster = scene.cluster
    genesis_root = cluster.state.root
    publisher = cluster.node(1)
    silent = {"summary": "", "source_url": "", "source_sha256": b"", "price_msat_per_mgas": 0}
    said = [manifest(publisher), manifest(publisher, version="1.1.0-rc.1", **silent)]
    signed = [sign_manifest(cluster.signer(1), each) for each in said]
    first, second = (
        publish(version=each.version, summary=each.summary, manifest=manifest_hash(by))
        for each, by in zip(said, signed, strict=True)
    )
    scene.block((1, first))
    scene.block((1, first), (1, second))  # the first is there already
    scene.block((1, publish(manifest=bytes(32))))  # what a version names never changes
    scene.block((1, publish(version="1.1.0-alpha")))  # below another of its line
    scene.block((1, Yank(name="sums", version="1.0.0", reason="adds wrongly")))
    scene.block((2, Yank(name="sums", version="1.1.0-rc.1", reason="not mine")))
    return {
        "document": "protocols/15-modules.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "manifests": [
            {"signed": encode(each).hex(), "sha256": manifest_hash(each).hex()} for each in signed
        ],
        "refused": _refused_manifests(cluster, signed[0]),
        "blocks": scene.blocks,
    }


def peg() -> dict[str, Any]:
    """Vectors of protocols/14-peg.md."""
    from scripts import peg_vectors

    scene = _Scene(cluster=peg_vectors.cluster())
    return peg_vectors.document(scene.cluster, scene.block, scene.blocks)


def jobs() -> dict[str, Any]:
    """Vectors of protocols/11-jobs.md."""
    cluster = TestCluster()
    task = cluster.admit()
    signed, small = cluster.receipt(task, 0), b"a small input"
    commit = sign_commit(cluster.signer(0), signed.receipt)
    right, wrong = Digest(sha256(small)), Digest(sha256(b"another"))
    messages: list[tuple[str, JobMessage]] = [
        ("a sealed answer", CommitSent(commit=commit)),
        ("an opened answer", RevealSent(receipt=signed)),
        ("an execution that was not finished", AbortSent(task=task, slot=0, attempt=1, cause=6)),
        ("an input with its assignment", ParcelSent(task=task, digest=right, data=small)),
    ]
    large = bytes(PARCEL_BYTES_MAX + 1)
    refused = [
        ("wrong bytes for a digest", ParcelSent(task=task, digest=wrong, data=small)),
        ("no bytes", ParcelSent(task=task, digest=Digest(sha256(b"")), data=b"")),
        ("too large", ParcelSent(task=task, digest=Digest(sha256(large)), data=large)),
    ]
    return {
        "document": "protocols/11-jobs.md",
        "messages": [
            {"name": name, "fields": readable(fields), "frame": job_frame(message).hex()}
            for name, message in messages
            for fields in [msgspec.msgpack.decode(encode(message))]
        ],
        "refused": [{"name": name, "frame": job_frame(each).hex()} for name, each in refused],
    }


DOCUMENTS = {
    "encoding": encoding,
    "signatures": signatures,
    "merkle": trees,
    "records": records,
    "accounts": accounts,
    "choices": choices,
    "offers": offers,
    "receipts": receipts,
    "audits": audits,
    "lone-answers": audit_vectors.vectors,
    "marks": mark_vectors.vectors,
    "blame": blames.vectors,
    "peg": peg,
    "modules-published": modules_published,
    "disputes": disputes,
    "learning": learning,
    "jobs": jobs,
    "bundles": bundles,
    "chunks": chunks,
    "discovery": discovery,
    "proofs": proofs,
}


def written(document: dict[str, Any]) -> str:
    """Give a vector file's text."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for title, make in DOCUMENTS.items():
        (FOLDER / f"{title}.json").write_text(written(make()), encoding="utf-8")
        print(f"wrote {FOLDER / title}.json")
