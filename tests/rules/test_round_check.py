"""A round's file shows a stranger what a model was made of, and nothing else passes for it."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import decode, encode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import plan_hash
from ambientd.ledger.learning_events import RoundEnded
from ambientd.model.base import Digest
from ambientd.model.learning import Plan, RoundFile, RoundState
from ambientd.rules.learning.privacy import Terms, in_thousandths, spent
from ambientd.rules.round_check import ROUND_FILE_VERSION, check_round_file
from tests.ledger.studies import GUESTS, OPEN, PRIVATE, Studied

MODEL = b"the next model"


def made(plan: Plan = OPEN) -> tuple[RoundFile, bytes]:
    """Give a sound file of a round, and the cluster's fingerprint."""
    study = Studied(plan)
    for _ in range(2):
        study.play(model=MODEL)
    ended = next(each for each in study.cluster.events if isinstance(each, RoundEnded))
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
        (replace(FILE, receipt=replace(FILE.receipt, round=0)), {"round", "inclusion"}),
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


def privacy(plan: Plan, **changes: object) -> tuple[bool, str]:
    file, _ = made(plan)
    file = replace(file, receipt=replace(file.receipt, **changes))
    [found] = [each for each in check_round_file(encode(file)).checks if each.name == "privacy"]
    return found.ok, found.detail


def test_a_private_rounds_file_shows_a_stranger_what_it_has_spent() -> None:
    file, _ = made(PRIVATE)
    report = check_round_file(encode(file))
    assert report.valid
    assert report.trust[-1].startswith("that a threshold of each group added its noise")
    is_ok, text = privacy(PRIVATE)
    assert is_ok
    once = spent(Terms(PRIVATE.clip_micro, PRIVATE.noise_milli, 1), 1).epsilon_micro
    assert once is not None
    assert text.startswith("clip 1, noise 4, groups of 3 or more, nobody drawn; 6 of its updates")
    assert f"each for epsilon {in_thousandths(once)}" in text
    assert text.endswith("of rounds 1 to 1; delta 1e-05")
    assert "no epsilon is claimed" in privacy(replace(PRIVATE, noise_milli=0))[1]
    assert not [c for c in check_round_file(encode(FILE)).checks if c.name == "privacy"]


def test_rounds_that_failed_have_spent_what_was_shown_in_them() -> None:
    file, _ = made(PRIVATE)
    lost = {"state": RoundState.FAILED, "after": file.receipt.before, "round": 7}
    is_ok, text = privacy(PRIVATE, **lost)
    assert is_ok
    assert "6 of its updates were shown" in text
    so_far = spent(Terms(PRIVATE.clip_micro, PRIVATE.noise_milli, 1), 7).epsilon_micro
    assert so_far is not None
    assert f"at most {in_thousandths(so_far)} for whoever showed one in each of rounds 1" in text


def test_a_plan_under_which_nothing_could_be_shown_does_not_hold() -> None:
    file, _ = made(PRIVATE)
    wild = replace(PRIVATE, clip_micro=200_000_000, noise_milli=500_000)
    changed = replace(file, plan=wild, receipt=replace(file.receipt, plan=plan_hash(wild)))
    assert failed(changed) >= {"privacy"}


@given(size=st.integers(2, 127), clip=st.integers(20_000, 2_000_000), noise=st.integers(1, 20_000))
def test_no_group_costs_more_than_the_file_says(size: int, clip: int, noise: int) -> None:
    said = spent(Terms(clip, noise, 1), 3).epsilon_micro
    costs = spent(Terms(clip, noise, 2 * size // 3 + 1), 3).epsilon_micro
    assert said is not None
    assert costs is not None
    assert costs <= said


def test_the_vectors_of_what_a_private_round_has_spent_hold() -> None:
    path = Path(__file__).parents[2] / "protocols" / "vectors" / "learning.json"
    cases = json.loads(path.read_text())["spent"]
    assert len(cases) > 3
    for case in cases:
        plan = decode(bytes.fromhex(case["plan"]), Plan)
        is_ok, text = privacy(plan, round=case["round"])
        assert is_ok
        for micro in (case["epsilon_once_micro"], case["epsilon_most_micro"]):
            assert ("no epsilon" in text) if micro is None else (in_thousandths(micro) in text)
