"""The vectors both ways: this program reproduces them, and independent code agrees with them."""

import hashlib
import json
from itertools import pairwise
from typing import Any

import msgpack
import msgspec
import pytest
from bitcoin.core import CTransaction
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from embit.descriptor import Descriptor
from embit.networks import NETWORKS

from ambientd.codec import merkle
from ambientd.codec.canonical import decode, encode
from ambientd.codec.chunks import Outline, decode_answer, decode_question, outline_in
from ambientd.codec.signing import verify, verify_note
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import check_admissible
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.chunk import OutlineGiven
from ambientd.model.genesis import Genesis
from ambientd.model.learning import Terms, TolerantPlan
from ambientd.model.message import JobMessage
from ambientd.node.frames import JOB_BYTES_MAX, job_frame
from ambientd.node.stops import follow_epochs
from ambientd.roles.courier import Courier
from ambientd.rules.blame_check import check_blame_file
from ambientd.rules.modules import read_manifest
from ambientd.rules.receipt_check import check_receipt_file
from scripts.make_vectors import DOCUMENTS, FOLDER, written
from tests.ledger.cluster import TestCluster
from tests.model.values import model_types

STRUCTS = {kind.__name__: kind for kind in model_types()}


def vectors(title: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{title}.json").read_text("utf-8"))


def test_an_independent_implementation_reads_the_manifests() -> None:
    document = vectors("modules-published")
    cluster = bytes.fromhex(document["cluster"])
    for vector in document["manifests"]:
        data = bytes.fromhex(vector["signed"])
        assert hashlib.sha256(data).hexdigest() == vector["sha256"]
        manifest, signature = msgpack.unpackb(data)
        statement = by_hand("ambient/manifest/1", cluster, msgpack.packb(manifest))
        Ed25519PublicKey.from_public_bytes(manifest[0]).verify(signature, statement)
        assert read_manifest(data, cluster).name == manifest[1]
    for vector in document["refused"]:
        with pytest.raises(RemoteProtocolError):
            read_manifest(bytes.fromhex(vector["signed"]), cluster)


def unreadable(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    if isinstance(value, list):
        return [unreadable(each) for each in value]
    return value


def by_hand(tag: str, *parts: bytes) -> bytes:
    data = bytes([len(tag)]) + tag.encode()
    for part in parts:
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).digest()


@pytest.mark.parametrize("title", DOCUMENTS)
def test_the_files_are_what_this_program_writes(title: str) -> None:
    hint = "the protocol changed; if that is meant, run python -m scripts.make_vectors"
    assert written(DOCUMENTS[title]()) == (FOLDER / f"{title}.json").read_text("utf-8"), hint


@pytest.mark.parametrize("part", ["values", "structs"])
def test_an_independent_encoder_writes_the_same_bytes(part: str) -> None:
    for vector in vectors("encoding")[part]:
        value, raw = unreadable(vector["value"]), bytes.fromhex(vector["bytes"])
        assert msgpack.packb(value, use_bin_type=True) == raw, vector["name"]
        if part == "structs":
            assert encode(decode(raw, STRUCTS[vector["struct"]])) == raw
        else:
            assert encode(msgspec.msgpack.decode(raw)) == raw


def test_an_independent_encoder_writes_the_same_job_messages() -> None:
    for vector in vectors("jobs")["messages"]:
        frame = bytes.fromhex(vector["frame"])
        packed = msgpack.packb(unreadable(vector["fields"]), use_bin_type=True)
        assert (frame[:1], packed) == (b"\x02", frame[1:]), vector["name"]
        message: JobMessage = decode(frame[1:], JobMessage, JOB_BYTES_MAX)
        assert job_frame(message) == frame, vector["name"]


def test_parcels_that_are_none_are_refused() -> None:
    courier, state = Courier(NodeId(b"r" * 32)), TestCluster().state

    def hear(frame: bytes) -> None:
        message: JobMessage = decode(frame[1:], JobMessage, JOB_BYTES_MAX)
        courier.on_message(NodeId(b"s" * 32), message, state)

    for vector in vectors("jobs")["refused"]:
        with pytest.raises(RemoteProtocolError):
            hear(bytes.fromhex(vector["frame"]))


def test_an_independent_reading_of_the_chunks_agrees() -> None:
    document = vectors("chunks")
    for vector in document["outlines"]:
        size_bytes = vector["size_bytes"]
        data = bytes((31 * place + 7) % 251 for place in range(size_bytes))
        assert hashlib.sha256(data).hexdigest() == vector["name"]
        chunks = [data[start : start + 262_144] for start in range(0, size_bytes, 262_144)]
        leaves = [hashlib.sha256(b"\x00" + chunk).digest() for chunk in chunks]
        assert [leaf.hex() for leaf in leaves] == vector["leaves"]
        assert merkle.root(leaves).hex() == vector["head"]
        answer = bytes.fromhex(vector["answer"])
        assert msgpack.packb([1, size_bytes, b"".join(leaves)], use_bin_type=True) == answer
        given = decode_answer(answer)
        assert isinstance(given, OutlineGiven)
        assert outline_in(given, size_bytes) == Outline(size_bytes, b"".join(leaves))
    for kind, read in (("questions", decode_question), ("answers", decode_answer)):
        for vector in document[kind]:
            raw = bytes.fromhex(vector["bytes"])
            assert encode(read(raw)) == raw, vector["name"]
        for vector in document[f"refused_{kind}"]:
            with pytest.raises(RemoteProtocolError):
                read(bytes.fromhex(vector["bytes"]))
    for vector in document["refused_outlines"]:
        given = decode_answer(bytes.fromhex(vector["answer"]))
        assert isinstance(given, OutlineGiven)
        with pytest.raises(RemoteProtocolError):
            outline_in(given, vector["size_bytes_max"])


def test_bent_encodings_are_refused() -> None:
    for vector in vectors("encoding")["refused"]:
        with pytest.raises(RemoteProtocolError):
            decode(bytes.fromhex(vector["bytes"]), STRUCTS[vector["struct"]])


def test_an_independent_implementation_verifies_the_signatures() -> None:
    document = vectors("signatures")
    for vector in document["tagged_hashes"]:
        parts = [bytes.fromhex(part) for part in vector["parts"]]
        assert by_hand(vector["tag"], *parts).hex() == vector["hash"]
    for vector in document["signed"]:
        key, cluster, payload, signature = (
            bytes.fromhex(vector[name]) for name in ("key", "cluster", "payload", "signature")
        )
        statement = by_hand(f"ambient/{vector['domain']}/1", cluster, payload)
        assert statement.hex() == vector["statement"]
        Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)
        assert verify(key, vector["domain"], cluster, payload, signature)
    note = document["note"]
    key, signature = bytes.fromhex(note["key"]), bytes.fromhex(note["signature"])
    Ed25519PublicKey.from_public_bytes(key).verify(signature, note["text"].encode())
    assert verify_note(key, note["text"].encode(), signature)


def test_an_independent_implementation_verifies_the_batch() -> None:
    batch = vectors("signatures")["batch"]
    statements = []
    for vector in batch["signed"]:
        cluster, payload = bytes.fromhex(vector["cluster"]), bytes.fromhex(vector["payload"])
        statements.append(by_hand(f"ambient/{vector['domain']}/1", cluster, payload))
    head = definition(statements)
    assert head.hex() == batch["root"]
    for index, vector in enumerate(batch["signed"]):
        key, cluster, payload, signature = (
            bytes.fromhex(vector[name]) for name in ("key", "cluster", "payload", "signature")
        )
        count = len(statements)
        assert signature[64:68] == count.to_bytes(2, "big") + index.to_bytes(2, "big")
        signed = by_hand("ambient/batch/1", cluster, msgpack.packb([count, head]))
        Ed25519PublicKey.from_public_bytes(key).verify(signature[:64], signed)
        assert verify(key, vector["domain"], cluster, payload, signature)


def test_bent_batch_signatures_are_refused() -> None:
    for vector in vectors("signatures")["batch"]["refused"]:
        key, cluster, payload, signature = (
            bytes.fromhex(vector[name]) for name in ("key", "cluster", "payload", "signature")
        )
        assert not verify(key, vector["domain"], cluster, payload, signature), vector["name"]


def test_bent_signatures_are_refused() -> None:
    for vector in vectors("signatures")["refused"]:
        key, cluster, payload, signature = (
            bytes.fromhex(vector[name]) for name in ("key", "cluster", "payload", "signature")
        )
        assert not verify(key, vector["domain"], cluster, payload, signature), vector["name"]
        if vector["name"] != "a key of small order":
            statement = by_hand(f"ambient/{vector['domain']}/1", cluster, payload)
            with pytest.raises((InvalidSignature, ValueError)):
                Ed25519PublicKey.from_public_bytes(key).verify(signature, statement)


def definition(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    left, right = definition(leaves[:split]), definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_trees_are_those_of_the_rfc() -> None:
    document = vectors("merkle")
    leaves = [bytes.fromhex(leaf) for leaf in document["leaves"]]
    heads = [bytes.fromhex(head) for head in document["heads"]]
    assert heads == [definition(leaves[:size]) for size in range(len(leaves) + 1)]
    for vector in document["inclusion"]:
        path = [bytes.fromhex(step) for step in vector["path"]]
        leaf = merkle.leaf_hash(leaves[vector["leaf"]])
        head = merkle.root_from_inclusion(leaf, vector["leaf"], vector["size"], path)
        assert head == heads[vector["size"]]
    for vector in document["consistency"]:
        path = [bytes.fromhex(step) for step in vector["path"]]
        old, new = vector["old_size"], vector["size"]
        assert merkle.verify_consistency(old, heads[old], new, heads[new], path)


def test_an_independent_program_reads_the_peg_s_vectors() -> None:
    document = vectors("peg")
    theirs = Descriptor.from_string(document["descriptor"])
    for each in document["addresses"]:
        one = theirs.derive(each["index"])
        assert bytes(one.script_pubkey().data).hex() == each["script"]
        assert bytes(one.witness_script().data).hex() == each["witness_script"]
        assert one.address(NETWORKS["regtest"]) == each["address"]["regtest"]
    payment = document["payment"]
    for version in payment["versions"]:
        unsigned = CTransaction.deserialize(bytes.fromhex(version["unsigned"]))
        assert unsigned.GetTxid()[::-1].hex() == version["txid"]
    signed = CTransaction.deserialize(bytes.fromhex(payment["signed"]))
    assert signed.GetTxid()[::-1].hex() == payment["versions"][1]["txid"]
    witness = signed.wit.vtxinwit[0].scriptWitness
    assert witness.stack[-1].hex() == document["addresses"][2]["witness_script"]


BLOCKS = {
    name: vectors(name)
    for name in (
        "records",
        "accounts",
        "choices",
        "offers",
        "lone-answers",
        "marks",
        "peg",
        "modules-published",
    )
}
BLOCKS |= {game["name"]: game for game in vectors("disputes")["games"]}
BLOCKS |= {f"study: {study['name']}": study for study in vectors("learning")["studies"]}


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_replay_to_the_same_roots(name: str) -> None:
    document = BLOCKS[name]
    genesis: Genesis = decode(bytes.fromhex(document["genesis"]), Genesis)
    cluster = bytes.fromhex(document["cluster"])
    assert by_hand("ambient/genesis/1", bytes.fromhex(document["genesis"])) == cluster
    state = LedgerState.from_genesis(genesis)
    assert state.root.hex() == document["state_root_of_genesis"]
    for block in document["blocks"]:
        context = BlockContext(
            index=block["index"],
            term=block["term"],
            time_ms=block["time_ms"],
            beacon=bytes.fromhex(block["beacon"]),
            proposer=NodeId(bytes.fromhex(block["proposer"])),
            hash=bytes.fromhex(block["hash"]),
        )
        records = [check_admissible(bytes.fromhex(raw), cluster) for raw in block["records"]]
        done = apply_block(state, context, records)
        assert [type(event).__name__ for event in done.events] == block["events"]
        assert done.root.hex() == block["state_root"]
        state.commit(context.index, done.writes, done.tree)


def test_marks_and_the_answer_that_stands_on_one_have_the_names_that_others_give_them() -> None:
    case = vectors("marks")
    for each in case["marks"]:
        raw = bytes.fromhex(each["mark"])
        assert by_hand("ambient/mark/1", raw).hex() == each["hash"]
    first, second = (msgspec.msgpack.decode(bytes.fromhex(each["mark"])) for each in case["marks"])
    assert second[7].hex() == case["marks"][0]["hash"]
    assert first[7] == bytes(32)
    receipt = msgspec.msgpack.decode(bytes.fromhex(case["receipt"]["receipt"]))[0]
    assert receipt[11][1] == [first]
    assert f"{first[3].hex()[:16]} to gas {first[4][0]}" in case["receipt"]["text"]


def test_a_plan_with_a_tolerance_is_one_field_longer_and_the_rest_the_same() -> None:
    case = vectors("learning")["tolerance"]
    plan = bytes.fromhex(case["plan"])
    assert by_hand("ambient/plan/1", plan).hex() == case["plan_hash"]
    read = decode(plan, TolerantPlan)
    assert (encode(read), read.tolerance_micro) == (plan, 1_000)
    fields = list(msgspec.msgpack.decode(plan))
    assert len(fields) == 16
    assert msgspec.msgpack.encode([*fields[:-1], 0]).hex() == case["without"]


@pytest.mark.parametrize("case", vectors("learning")["tolerance"]["distances"])
def test_distances_are_as_the_document_says(case: dict[str, Any]) -> None:
    pairs = list(zip(case["update"], case["again"], strict=True))
    apart = max(0, max(abs(update - again) for update, again in pairs) - 1)
    moved = max(abs(again) for _, again in pairs)
    far = -(-1_000_000 * apart // moved) if moved else 1 << 62
    assert case["distance_micro"] == (far if apart else 0)


@pytest.mark.parametrize("case", vectors("learning")["tolerance"]["repeated"])
def test_so_many_samples_can_be_repeated_in_time_and_no_more(case: dict[str, Any]) -> None:
    plan: TolerantPlan = decode(bytes.fromhex(case["plan"]), TolerantPlan)
    limits: Terms = decode(bytes.fromhex(case["terms"]), Terms)
    kind, _, sizes = plan.model.partition(":")
    widths = [int(each) for each in sizes.split(",")]
    if kind == "cnn":
        side, filters, classes = widths
        places = ((side - 2) // 2) ** 2
        numbers = 10 * filters + (filters * places + 1) * classes
        products, inputs = 16 * (numbers + 36 * filters * places), side * side
    else:
        numbers = sum((a + 1) * b for a, b in pairwise(widths))
        products, inputs = numbers, widths[0]

    def work(samples: int) -> int:
        batches = -(-samples // plan.batch)
        return plan.passes * (samples * products + batches * (300_000 + 8 * numbers))

    most, time_ms = case["samples"], min(limits.train_ms * 3 // 4, 900_000)
    room = min(10**11, 10**6 * time_ms // limits.audits)
    assert (work(most), work(1_000)) == (case["work"], case["work_of_1000"])
    assert case["work"] <= room
    fits = min(limits.samples_max, (64 << 20) // (4 * (inputs + 1)))
    assert most == fits or work(most + 1) > room


@pytest.mark.parametrize("draw", vectors("learning")["draws"])
def test_groups_are_drawn_as_the_document_says(draw: dict[str, Any]) -> None:
    seed = bytes.fromhex(draw["seed"])
    roster = [bytes.fromhex(node) for node in draw["roster"]]
    order = sorted(roster, key=lambda node: by_hand("ambient/round-order/1", seed, node))
    assert [node.hex() for node in order] == draw["order"]
    count = max(1, len(roster) // draw["group_size"])
    assert draw["groups"] == [
        sorted(node.hex() for node in order[number::count]) for number in range(count)
    ]
    assert draw["thresholds"] == [2 * len(group) // 3 + 1 for group in draw["groups"]]


def test_the_state_root_follows_from_the_entries_alone() -> None:
    document = vectors("records")["state"]
    entries = {bytes.fromhex(key): bytes.fromhex(value) for key, value in document["entries"]}
    pages: list[list[Any]] = []

    def subtree(keys: list[bytes], bit: int) -> bytes:
        if len(keys) <= 32:
            digests = (by_hand("ambient/state-entry/1", key, entries[key]) for key in sorted(keys))
            pages.append([bit, by_hand("ambient/state-page/1", b"".join(digests)).hex()])
            return bytes.fromhex(pages[-1][1])
        sides: tuple[list[bytes], list[bytes]] = ([], [])
        for key in keys:
            place = int.from_bytes(hashlib.sha256(key).digest(), "big")
            sides[place >> (255 - bit) & 1].append(key)
        return by_hand("ambient/state-branch/1", *(subtree(side, bit + 1) for side in sides))

    assert subtree(list(entries), 0).hex() == document["root"]
    assert pages == document["pages"]
    assert len(pages) > 1


def test_names_and_commitments_follow_from_the_document_alone() -> None:
    derived = vectors("records")["derived"]

    def of(name: str) -> bytes:
        return bytes.fromhex(derived[name]["of"])

    def expected(name: str) -> bytes:
        return bytes.fromhex(derived[name]["is"])

    assert by_hand("ambient/spec/1", of("spec")) == expected("spec")
    task = derived["task"]
    submitter, nonce = bytes.fromhex(task["submitter"]), bytes.fromhex(task["nonce"])
    assert by_hand("ambient/task/1", submitter, nonce, of("spec")) == expected("task")
    assert by_hand("ambient/result/1", of("result_root")) == expected("result_root")
    assert hashlib.sha256(of("receipt_hash")).digest() == expected("receipt_hash")
    assert hashlib.sha256(of("verdict_hash")).digest() == expected("verdict_hash")
    leaf = hashlib.sha256(b"\x00" + of("settlement_leaf")).digest()
    assert leaf == expected("settlement_leaf")
    assert by_hand("ambient/epoch/1", of("epoch")) == expected("epoch") == of("epoch_leaf")
    assert hashlib.sha256(b"\x00" + of("epoch_leaf")).digest() == expected("epoch_leaf")
    entries = vectors("records")["state"]["entries"]
    leaves = [value for key, value in entries if key.startswith("05")]
    assert any(expected("epoch_leaf").hex() in each for each in leaves)
    receipt = msgpack.unpackb(of("commitment"), raw=False)
    place = msgpack.packb([receipt[1], receipt[2]])
    root = by_hand("ambient/result/1", msgpack.packb(receipt[7], use_bin_type=True))
    sealed = by_hand("ambient/commit/1", receipt[0], place, receipt[3], root, receipt[10])
    assert sealed == expected("commitment")


def test_blame_certificates_are_judged_as_written() -> None:
    document = vectors("blame")
    for vector in document["files"]:
        data, pinned = bytes.fromhex(vector["file"]), bytes.fromhex(document["cluster"])
        report = check_blame_file(data, pinned=pinned)
        assert report.valid is vector["valid"], vector["name"]
        assert [check.name for check in report.checks if not check.ok] == vector["failed"]
        assert [check.name for check in report.checks] == vector["checks"]
        assert vector["valid"] is (not vector["failed"])


def test_receipt_files_are_judged_as_written() -> None:
    for vector in vectors("receipts")["files"]:
        data, pinned = bytes.fromhex(vector["file"]), bytes.fromhex(vector["cluster"])
        report = check_receipt_file(data, pinned=pinned, follow=follow_epochs)
        assert report.valid is vector["valid"], vector["name"]
        assert [check.name for check in report.checks if not check.ok] == vector["failed"]
        assert [check.name for check in report.checks] == vector["checks"]
        assert vector["valid"] is (not vector["failed"])


def test_an_independent_draw_audits_the_same_tasks() -> None:
    for vector in vectors("audits")["draws"]:
        beacon, task = bytes.fromhex(vector["beacon"]), bytes.fromhex(vector["task"])
        drawn = int.from_bytes(by_hand("ambient/audit/1", beacon, task)[:8], "big")
        assert vector["is_audited"] == (drawn / 2**64 < vector["permille"] / 1000)


def test_two_traces_are_narrowed_by_hand_as_the_document_says() -> None:
    for step in vectors("disputes")["narrowing"]:
        before, after = step["stretch"], step["narrowed"]
        low, until = before["low"][0], before["until_gas"]
        width = -(-(until - low) // 16)
        assert step["targets"] == [low + number * width for number in range(1, 16)]
        pairs = list(zip(*step["points"], strict=True))
        place = next((n for n, (one, other) in enumerate(pairs) if one != other), len(pairs))
        assert after["low"] == ([before["low"]] + [one for one, _ in pairs])[place]
        ends = [*zip(step["targets"], pairs, strict=True), (until, tuple(before["claims"]))]
        assert (after["until_gas"], after["claims"]) == (ends[place][0], list(ends[place][1]))
