"""A round's file shows a stranger what a model was made of, and nothing else passes for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest
from ambientd.model.learning import RoundFile, RoundState
from ambientd.rules.round_check import ROUND_FILE_VERSION, check_round_file
from tests.ledger.studies import GUESTS, Studied

MODEL = b"the next model"


def made() -> tuple[RoundFile, bytes]:
    """Give a sound file, and the cluster's fingerprint."""
    study = Studied()
    for _ in range(2):
        study.play(model=MODEL)
    [ended, _] = [each for each in study.cluster.events if isinstance(each, RoundEnded)]
    study.cluster.close_batch()
    closed = study.cluster.state.checkpoint_covering(ended.leaf)
    assert closed is not None
    file = RoundFile(
        version=ROUND_FILE_VERSION,
        genesis=study.cluster.genesis,
        plan=study.entry.plan,
        receipt=ended.receipt,
        leaf_index=ended.leaf,
        path=study.cluster.state.inclusion_path(ended.leaf, closed.note.size),
        epochs=(),
        note=closed.note,
        anchor=None,
    )
    return file, study.cluster.id


FILE, CLUSTER = made()


def failed(file: RoundFile, **given: bytes) -> set[str]:
    report = check_round_file(encode(file), **given)
    return {check.name for check in report.checks if not check.ok}


def test_a_sound_file_holds_and_says_what_is_left_to_trust() -> None:
    report = check_round_file(encode(FILE), pinned=CLUSTER, model=MODEL)
    assert report.valid
    assert len(report.trust) == 3
    assert len(FILE.receipt.contributed) == len(GUESTS)


@pytest.mark.parametrize(
    ("changed", "fails"),
    [
        (replace(FILE, version=9), {"format"}),
        (replace(FILE, plan=replace(FILE.plan, passes=9)), {"plan"}),
        (replace(FILE, receipt=replace(FILE.receipt, round=7)), {"inclusion"}),
        (replace(FILE, receipt=replace(FILE.receipt, survivors=())), {"round", "inclusion"}),
        (replace(FILE, receipt=replace(FILE.receipt, contributed=())), {"round", "inclusion"}),
        (
            replace(FILE, receipt=replace(FILE.receipt, state=RoundState.FAILED)),
            {"round", "inclusion"},
        ),
        (
            replace(FILE, receipt=replace(FILE.receipt, state=RoundState.TRAINING)),
            {"round", "inclusion"},
        ),
        (replace(FILE, leaf_index=99), {"inclusion"}),
        (replace(FILE, note=replace(FILE.note, cosignatures=())), {"checkpoint"}),
        (
            replace(FILE, note=replace(FILE.note, root=Digest(bytes(32)))),
            {"inclusion", "checkpoint"},
        ),
        (replace(FILE, epochs=(b"x",)), {"committee"}),
        (replace(FILE, path=(Digest(b"short"),)), {"format"}),
    ],
)
def test_whatever_is_changed_is_found(changed: RoundFile, fails: set[str]) -> None:
    assert failed(changed) == fails


def test_another_cluster_or_another_model_is_named() -> None:
    assert failed(FILE, pinned=bytes(32)) == {"cluster"}
    assert failed(FILE, model=b"another") == {"model"}
    assert FILE.receipt.after == sha256(MODEL)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_file_raise_nothing(data: bytes) -> None:
    assert not check_round_file(data).valid
