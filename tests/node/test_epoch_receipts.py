"""Receipts across epochs: a stranger follows the committees from the founders to the note."""

from dataclasses import replace as replace_epoch

import pytest
from msgspec.structs import replace

from ambientd.api.offline import check_receipt
from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import Signer
from ambientd.codec.statements import file_payload, fingerprint, settlement_leaf, sign_record
from ambientd.consensus.messages import (
    EpochEnd,
    Header,
    QuorumCertificate,
    block_hash,
    records_root,
    vote_payload,
)
from ambientd.ledger.versions import KNOWN_VERSION
from ambientd.model.base import Digest, NodeId
from ambientd.model.receipt import CheckpointNote, Cosignature, ReceiptFile
from ambientd.model.record import Epoch, Record
from ambientd.node.stops import follow_epochs
from ambientd.rules.notes import note_text
from ambientd.rules.receipt_check import EPOCHS_MAX, ReceiptReport, check_receipt_file
from ambientd.rules.receipt_epochs import versions_of
from ambientd.runtime.persistence import ends_of
from tests.node.cluster import Cluster
from tests.node.three_epochs import CHANGES, file_of, next_version, three_epochs


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return three_epochs()


def reissued(cluster: Cluster, file: ReceiptFile, **changes: object) -> ReceiptReport:
    """Check a changed file that a member has signed as it is."""
    changed = replace(file, **changes)
    signature = cluster.hosts[0].signer.sign("receipt-file", file_payload(changed))
    return check_receipt(encode(replace(changed, signature=signature)))


def failed(report: ReceiptReport) -> list[str]:
    return [check.name for check in report.checks if not check.ok]


@pytest.mark.parametrize("place", range(CHANGES + 1))
def test_receipts_of_every_epoch_verify_offline(cluster: Cluster, place: int) -> None:
    file = file_of(cluster, place)
    assert len(file.epochs) == place
    report = check_receipt(encode(file))
    assert report.valid, report.checks
    said = {check.name: check.detail for check in report.checks}
    assert ("committee" in said) == (place > 0)
    assert any("keys of former members" in each for each in report.trust) == (place > 0)


def test_a_member_of_a_later_epoch_issues_receipts(cluster: Cluster) -> None:
    assert check_receipt(encode(file_of(cluster, 2, issuer=4))).valid


def test_a_note_of_a_later_committee_is_nothing_without_its_epochs(cluster: Cluster) -> None:
    file = file_of(cluster, 2)
    assert "checkpoint" in failed(reissued(cluster, file, epochs=file.epochs[:1]))
    assert failed(reissued(cluster, file, epochs=file.epochs[1:]))[:1] == ["committee"]
    assert failed(reissued(cluster, file, epochs=(file.epochs[0],) * 2))[:1] == ["committee"]
    assert failed(reissued(cluster, file, epochs=(b"\xc1",)))[:1] == ["committee"]
    assert failed(reissued(cluster, file, epochs=(b"",) * (EPOCHS_MAX + 1))) == ["format"]


def test_certificates_of_an_old_epoch_prove_no_later_end(cluster: Cluster) -> None:
    file = file_of(cluster, 2)
    first, second = (decode(each, EpochEnd) for each in file.epochs)
    mixed = encode(EpochEnd(second.record, first.links))
    report = reissued(cluster, file, epochs=(file.epochs[0], mixed))
    assert failed(report)[:1] == ["committee"]


def test_any_flipped_byte_of_a_proof_is_seen(cluster: Cluster) -> None:
    file = file_of(cluster, 1)
    [proof] = file.epochs
    for place in range(0, len(proof), 41):
        bent = bytearray(proof)
        bent[place] ^= 1
        assert not reissued(cluster, file, epochs=(bytes(bent),)).valid, place


def test_a_genesis_that_founds_no_committee_raises_nothing(cluster: Cluster) -> None:
    file = file_of(cluster, 1)
    [member, *rest] = file.genesis.members
    genesis = replace(file.genesis, members=(replace(member, beacon_tip=b""), *rest))
    assert "committee" in failed(reissued(cluster, file, genesis=genesis))


def test_without_a_way_to_follow_epochs_only_founders_are_believed(cluster: Cluster) -> None:
    assert check_receipt_file(encode(file_of(cluster, 0))).valid
    assert "committee" in failed(check_receipt_file(encode(file_of(cluster, 1))))


# An epoch that is known from elsewhere.


def hash_of(cluster: Cluster, number: int) -> bytes:
    """Give an epoch's hash as the proofs of an honest node show it."""
    ends = tuple(encode(end) for end in ends_of(cluster.hosts[0].store))
    followed = follow_epochs(cluster.genesis, ends)
    assert not isinstance(followed, str)
    return followed[number - 2].hash


def certified(header: Header, parent_term: int, signers: list[Signer]) -> QuorumCertificate:
    """Certify a block of the first epoch with its members' keys."""
    hash_ = block_hash(header)
    payload = vote_payload(1, header.position, parent_term, hash_)
    votes = tuple((number, signer.sign("vote", payload)) for number, signer in enumerate(signers))
    return QuorumCertificate(header.position, parent_term, hash_, votes)


def forged(cluster: Cluster) -> ReceiptFile:
    """Let the founders, long after their epoch, sign another succession, and it another receipt."""
    true = file_of(cluster, 2)
    founders = sorted((host.signer for host in cluster.hosts[:4]), key=lambda s: s.public_key)
    stranger = Signer(sha256(b"stranger"), fingerprint(cluster.genesis))
    first = cluster.ledger().epoch_entry(1)
    assert first is not None
    tips = dict(zip(first.epoch.members, first.epoch.beacon_tips, strict=True))
    tips[NodeId(stranger.public_key)] = Digest(bytes(32))
    body = Epoch(
        number=2,
        members=tuple(sorted(tips)),
        seed=Digest(sha256(b"forged")),
        beacon_tips=tuple(tips[member] for member in sorted(tips)),
    )
    record = encode(sign_record(founders[0], body))
    (stop, _), (child, _), *_ = decode(true.epochs[0], EpochEnd).links
    stop = replace(stop, records_root=records_root((record,)))
    child = replace(child, term=stop.term, parent_hash=block_hash(stop))
    links = ((stop, certified(stop, stop.term, founders)),)
    links += ((child, certified(child, stop.term, founders)),)
    settlement = replace(true.settlement, settled_ms=1)
    root = settlement_leaf(settlement)
    text = note_text(fingerprint(cluster.genesis), 1, root)
    cosignatures = tuple(
        Cosignature(member=NodeId(signer.public_key), signature=signer.sign_note(text))
        for signer in (*founders, stranger)
    )
    return replace(
        true,
        settlement=settlement,
        leaf_index=0,
        path=(),
        epochs=(encode(EpochEnd(record, links)),),
        epoch_leaf=None,
        note=CheckpointNote(size=1, root=root, cosignatures=cosignatures),
        anchor=None,
    )


def checked(cluster: Cluster, file: ReceiptFile, trusted: bytes | None) -> ReceiptReport:
    signature = cluster.hosts[0].signer.sign("receipt-file", file_payload(file))
    data = encode(replace(file, signature=signature))
    return check_receipt(data, fingerprint(cluster.genesis), trusted_epoch=trusted)


def test_retired_keys_forge_a_receipt_but_for_who_knows_a_later_epoch(cluster: Cluster) -> None:
    file = forged(cluster)
    believed = checked(cluster, file, None)
    assert believed.valid, believed.checks
    assert any("keys of former members can still sign" in each for each in believed.trust)
    for number in (2, 3):
        assert failed(checked(cluster, file, hash_of(cluster, number))) == ["committee"]


@pytest.mark.parametrize("number", [2, 3])
def test_with_an_epoch_given_only_its_committee_and_later_ones_count(
    cluster: Cluster, number: int
) -> None:
    report = checked(cluster, file_of(cluster, 2), hash_of(cluster, number))
    assert report.valid, report.checks
    assert f"epoch {number} is the one given" in dict_of(report)["committee"]
    [said] = [each for each in report.trust if "no longer matter" in each]
    assert f"committees before epoch {number} no longer matter" in said
    assert not any("former members" in each for each in report.trust)


def test_a_receipt_from_before_the_epoch_that_is_given_does_not_hold(cluster: Cluster) -> None:
    for place in (0, 1):
        report = checked(cluster, file_of(cluster, place), hash_of(cluster, 3))
        assert failed(report) == ["committee"]


def dict_of(report: ReceiptReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks}


def test_a_receipt_shows_its_epoch_among_the_leaves_of_its_note(cluster: Cluster) -> None:
    file = file_of(cluster, 2)
    leaf = file.epoch_leaf
    assert leaf is not None
    report = check_receipt(encode(file))
    assert report.valid
    assert dict_of(report)["epoch"] == f"3, {hash_of(cluster, 3).hex()}, is a leaf"
    assert file_of(cluster, 1).epoch_leaf is None  # only the present epoch's leaf is at hand
    for changes in (
        {"epoch_leaf": replace(leaf, leaf_index=leaf.leaf_index + 1)},
        {"epoch_leaf": replace(leaf, leaf_index=10**6)},
        {"epoch_leaf": replace(leaf, path=(*leaf.path, Digest(bytes(32))))},
        {"epoch_leaf": replace(leaf, leaf_index=file.leaf_index, path=file.path)},
    ):
        assert failed(reissued(cluster, file, **changes)) == ["epoch"]
    assert "epoch" in failed(reissued(cluster, file, epochs=file.epochs[:1]))
    assert "epoch" in failed(reissued(cluster, file, epochs=()))
    long = replace(leaf, path=(Digest(bytes(32)),) * 65)
    assert failed(reissued(cluster, file, epoch_leaf=long)) == ["format"]


def test_a_receipt_tells_by_which_versions_rules_its_task_was_settled(cluster: Cluster) -> None:
    file = file_of(cluster, 2)
    followed = follow_epochs(cluster.genesis, file.epochs)
    assert not isinstance(followed, str)
    [check] = [each for each in check_receipt(encode(file)).checks if each.name == "committee"]
    assert "; settled by the rules of state version 1, unless the file leaves out" in check.detail
    first, second = (replace_epoch(each, state_version=n) for n, each in enumerate(followed, 2))
    told = [
        (first.since_ms - 1, (1,)),
        (first.since_ms, (1, 2)),
        (first.since_ms + 1, (2,)),
        (second.since_ms, (2, 3)),
        (second.since_ms + 1, (3,)),
    ]
    for settled_ms, versions in told:
        settled = replace(file, settlement=replace(file.settlement, settled_ms=settled_ms))
        assert versions_of(settled, (first, second)) == versions
    assert first.since_ms + 1 < second.since_ms


def test_a_receipt_of_a_cluster_founded_in_a_later_version_says_so() -> None:
    cluster = three_epochs(KNOWN_VERSION)
    for place in range(CHANGES + 1):
        report = check_receipt(encode(file_of(cluster, place)), fingerprint(cluster.genesis))
        assert report.valid, failed(report)
        told = dict_of(report)
        assert f"4 founding members, state version {KNOWN_VERSION})" in told["cluster"]
        if place:
            assert f"the rules of state version {KNOWN_VERSION}" in told["committee"]
    bent = replace(cluster.genesis, state_version=0)
    assert failed(reissued(cluster, file_of(cluster, 0), genesis=bent)) == ["format"]


def test_a_later_version_follows_the_one_that_the_genesis_names() -> None:
    cluster = next_version(KNOWN_VERSION)
    file = file_of(cluster, 0)
    ends = tuple(map(encode, ends_of(cluster.hosts[0].store)))
    report = reissued(cluster, file, epochs=ends)
    assert report.valid, failed(report)
    assert f"by the rules of state version {KNOWN_VERSION}" in dict_of(report)["committee"]
    followed = follow_epochs(cluster.genesis, ends)
    assert [each.state_version for each in followed if not isinstance(each, str)] == [
        KNOWN_VERSION + 1
    ]


def test_whoever_leaves_the_last_epoch_out_is_told_of_with_the_version(cluster: Cluster) -> None:
    file = file_of(cluster, 2)
    assert file.note is not None
    text = note_text(fingerprint(cluster.genesis), file.note.size, file.note.root)
    # Of those who sit in both epochs: their words on a note hold before either committee.
    signers = [host.signer for host in cluster.hosts[:4]]
    words = [Cosignature(NodeId(each.public_key), each.sign_note(text)) for each in signers]
    words.sort(key=lambda each: each.member)
    note = replace(file.note, cosignatures=tuple(words))
    report = reissued(cluster, file, epochs=file.epochs[:1], epoch_leaf=None, note=note)
    assert report.valid, failed(report)
    [check] = [each for each in report.checks if each.name == "committee"]
    assert check.detail.endswith(", unless the file leaves out an epoch that had begun by then")


def test_the_version_of_a_proof_cannot_be_bent(cluster: Cluster) -> None:
    file = file_of(cluster, 1)
    end: EpochEnd = decode(file.epochs[0], EpochEnd)
    record: Record = decode(end.record, Record)
    assert isinstance(record.body, Epoch)
    bent = replace(record, body=replace(record.body, state_version=2))
    proof = encode(EpochEnd(encode(bent), end.links))
    assert "committee" in failed(reissued(cluster, file, epochs=(proof,)))
