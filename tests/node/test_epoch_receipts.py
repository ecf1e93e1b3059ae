"""Receipts across epochs: a stranger follows the committees from the founders to the note."""

import pytest
from msgspec.structs import replace

from ambientd.api.offline import check_receipt
from ambientd.api.views import receipt_file
from ambientd.codec.canonical import decode, encode
from ambientd.codec.statements import file_payload
from ambientd.consensus.messages import EpochEnd
from ambientd.model.base import TaskId
from ambientd.model.receipt import ReceiptFile
from ambientd.model.record import SeatWish
from ambientd.rules.receipt_check import EPOCHS_MAX, ReceiptReport, check_receipt_file
from ambientd.runtime.persistence import ends_of
from tests.node.cluster import Cluster

CHANGES = 2


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    """A cluster with a task settled and batched in each of three epochs; the first four leave."""
    cluster = Cluster(guests=1, checked=False)
    cluster.run(1_000)
    cluster.join(0)
    cluster.tasks = [batched(cluster)]
    cluster.ask_for_seat(4)
    cluster.vote_on_seat(4, SeatWish.IN, range(3))
    cluster.until_epoch(2)
    cluster.tasks.append(batched(cluster))
    cluster.vote_on_seat(3, SeatWish.OUT, [3])
    cluster.until_epoch(3)
    cluster.tasks.append(batched(cluster))
    return cluster


def batched(cluster: Cluster) -> TaskId:
    """Let a task be settled and its batch closed in the present epoch."""
    task = cluster.submit()
    leaf = cluster.until_closed(task).leaf
    assert leaf is not None
    cluster.until(cluster.everywhere(lambda state: state.checkpoint_covering(leaf) is not None))
    return task


def file_of(cluster: Cluster, place: int, issuer: int = 0) -> ReceiptFile:
    host = cluster.hosts[issuer]
    entry = cluster.entry(cluster.tasks[place])
    file = receipt_file(cluster.ledger(), entry, host.signer, ends_of(host.store))
    assert file is not None
    return file


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
