"""Worlds in which the committee changes."""

from collections.abc import Callable, Iterable

import pytest

from ambientd.codec.canonical import encode
from ambientd.consensus import certificates, judging, voter
from ambientd.consensus.block_tree import BlockTree
from ambientd.consensus.core import Consensus
from ambientd.consensus.log import Log
from sim import forged, liars
from sim.checkers import InvariantViolation
from sim.epochs import EpochWorldOptions, run


def test_a_calm_world_changes_its_committee_again_and_again() -> None:
    outcome = run(EpochWorldOptions(1, time_ms=25_000, has_faults=False))
    assert outcome.epochs >= 4
    assert outcome.convicted == 0


def test_a_seed_gives_the_same_world_twice() -> None:
    options = EpochWorldOptions(2, time_ms=24_000)
    assert run(options) == run(options)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "nodes"), [(3, 4), (18, 4), (5, 7), (6, 1), (7, 2), (8, 3)])
def test_every_promise_holds_across_epochs_under_all_faults(seed: int, nodes: int) -> None:
    assert run(EpochWorldOptions(seed, nodes)).epochs >= 1


Patch = Callable[[pytest.MonkeyPatch], None]


def any_stop_is_voted_for(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(judging, "stop_fault", lambda *_: None)


def epochs_are_not_signed(patch: pytest.MonkeyPatch) -> None:
    def payload(epoch: int, *rest: object) -> bytes:
        return encode(rest)

    for module in (certificates, voter, forged):
        patch.setattr(module, "vote_payload", payload)
    for module in (certificates, voter, forged, liars):
        patch.setattr(module, "timeout_payload", payload)


def what_waits_is_lost_at_the_border(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Consensus, "inherit", lambda *_: None)


def lagging_nodes_get_no_proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Log, "_help", lambda *_: [])


def records_follow_a_stop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(BlockTree, "is_stopping", lambda *_: False)


def worlds(seeds: Iterable[int]) -> None:
    for seed in seeds:
        run(EpochWorldOptions(seed, 4))


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug",
    [
        any_stop_is_voted_for,
        epochs_are_not_signed,
        what_waits_is_lost_at_the_border,
        lagging_nodes_get_no_proof,
        records_follow_a_stop,
    ],
)
def test_a_bug_in_the_rules_of_epochs_is_caught(
    bug: Patch, monkeypatch: pytest.MonkeyPatch
) -> None:
    bug(monkeypatch)
    with pytest.raises(InvariantViolation):
        worlds((95, *range(20, 60)))  # 95 is where a stop that nobody wanted gets through
