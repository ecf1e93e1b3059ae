"""A witness's folder: what it keeps, what it cosigns, and what a node has to show it."""

import base64
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ambientd.adapters.keys import load_key
from ambientd.api.log_updates import prefix_of
from ambientd.api.witnessing import (
    KEY_FILE,
    NOTE_FILE,
    SEEN_FILE,
    WitnessFolder,
    check_evidence,
    read_update,
)
from ambientd.codec.canonical import encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.errors import StoreError, UsageError
from ambientd.rules.notes import cosigned_text
from ambientd.rules.witnessing import Followed, NothingNew, Split, SplitProven, Unproven, proves
from tests.ledger.cluster import TestCluster
from tests.rules.logs import GENESIS, Log
from tests.rules.receipts import agreed, file_of

CLUSTER = fingerprint(GENESIS)


def test_what_was_seen_outlives_the_witness(tmp_path: Path) -> None:
    log = Log(20)
    assert isinstance(WitnessFolder(tmp_path).take(log.update(5)).outcome, Followed)
    again = WitnessFolder(tmp_path)
    assert again.size == 5
    assert isinstance(again.take(log.update(9, since=5)).outcome, Followed)
    assert WitnessFolder(tmp_path).size == 9
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_only_what_is_consistent_is_cosigned(tmp_path: Path) -> None:
    log, folder = Log(20), WitnessFolder(tmp_path)
    folder.take(log.update(5))
    before = (tmp_path / NOTE_FILE).read_bytes()
    assert isinstance(folder.take(log.update(9)).outcome, Unproven)
    assert isinstance(folder.take(Log(20, fork=3).update(9, since=5)).outcome, Split)
    assert (tmp_path / NOTE_FILE).read_bytes() == before
    text, lines = before.decode().split("\n\n")
    assert text.split("\n")[1] == "5"
    *_, line = lines.splitlines()
    blob = base64.b64decode(line.split(" ")[2])
    key = Signer(load_key(tmp_path / KEY_FILE), CLUSTER).public_key
    signed = cosigned_text((text + "\n").encode(), int.from_bytes(blob[4:12], "big"))
    Ed25519PublicKey.from_public_bytes(key).verify(blob[12:], signed)


@pytest.mark.parametrize(("size", "since"), [(5, 0), (9, 5)])
def test_a_split_view_leaves_evidence_that_anyone_can_check(
    tmp_path: Path, size: int, since: int
) -> None:
    folder = WitnessFolder(tmp_path)
    folder.take(Log(20).update(5))
    found = folder.take(Log(20, fork=2).update(size, since=since))
    assert isinstance(found.outcome, Split)
    assert found.evidence is not None
    proven = check_evidence(found.evidence.read_bytes())
    assert isinstance(proven, SplitProven)
    assert proven.cluster == CLUSTER
    assert len(proven.both) == 3
    assert folder.size == 5
    again = folder.take(Log(20, fork=2).update(size, since=since))
    assert again.evidence == found.evidence, "the same evidence is kept once"


def test_a_node_is_asked_for_the_proof_of_an_earlier_head(tmp_path: Path) -> None:
    log, folder = Log(20), WitnessFolder(tmp_path)
    folder.take(log.update(9))
    asked: list[int] = []

    def ask(since: int) -> bytes:
        asked.append(since)
        return encode(log.update(15, since=since))

    assert folder.take(log.update(4), ask).outcome == NothingNew()
    assert asked == [9, 4]
    assert folder.size == 15
    found = folder.take(Log(20, fork=2).update(4), ask)
    assert isinstance(found.outcome, Split)
    assert found.evidence is not None
    assert isinstance(check_evidence(found.evidence.read_bytes()), SplitProven)


def test_a_node_that_shows_another_log_is_found_out_when_it_is_asked(tmp_path: Path) -> None:
    folder = WitnessFolder(tmp_path)
    folder.take(Log(20).update(9))
    found = folder.take(Log(20).update(4), lambda since: encode(Log(20, fork=7).update(15, since)))
    assert isinstance(found.outcome, Split)
    assert folder.size == 9


def test_a_pinned_cluster_is_the_only_one_that_is_watched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the witness watches"):
        WitnessFolder(tmp_path / "a", b"\x01" * 32).take(Log(3).update(3))
    folder = WitnessFolder(tmp_path / "b", CLUSTER)
    assert isinstance(folder.take(Log(3).update(3)).outcome, Followed)


def test_the_head_in_a_receipt_is_compared_too(tmp_path: Path) -> None:
    data = encode(file_of(agreed(), b"n"))
    update = read_update(data)
    assert update.prefix is None
    assert isinstance(WitnessFolder(tmp_path).take(update).outcome, Followed)


@pytest.mark.parametrize("data", [b"", b"x", encode((1, 2)), b"\x93" * 5_000])
def test_bytes_that_are_no_head_are_refused(data: bytes) -> None:
    with pytest.raises(UsageError, match="no update of a receipt log"):
        read_update(data)
    assert "no evidence" in str(check_evidence(data))


def test_a_damaged_memory_is_not_taken_for_none(tmp_path: Path) -> None:
    WitnessFolder(tmp_path).take(Log(3).update(3))
    (tmp_path / SEEN_FILE).write_bytes(b"torn")
    with pytest.raises(StoreError, match="is damaged"):
        WitnessFolder(tmp_path)


def test_a_ledger_proves_what_its_heads_grew_from() -> None:
    cluster = TestCluster()
    for number in range(3):
        cluster.work(cluster.admit(nonce=b"%d" % number))
    state = cluster.state
    prefix = prefix_of(state, 1, 3)
    assert prefix is not None
    assert prefix.root == state.receipt_log_root(1)
    assert proves(prefix, 3, state.receipt_log_root(3))
    for small, large in ((0, 3), (3, 3), (2, 4)):
        assert prefix_of(state, small, large) is None
