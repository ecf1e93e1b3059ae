"""The games of lying members: each is seen to be played, and no promise breaks."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from ambientd.consensus.messages import (
    Append,
    Blocks,
    Message,
    Position,
    QcNotice,
    Timeout,
    decode_message,
)
from sim.faults import Fault
from sim.lies import Lie
from sim.mutants import MUTANTS
from sim.plans import Plan, attempt
from sim.scenarios import ScenarioOptions, run


class Ears:
    """Hears what a liar and the others send."""

    effects = None

    def __init__(self) -> None:
        self.lies: list[tuple[int, bytes | None, Message]] = []
        self.others: list[tuple[int, Message]] = []
        self.repeated = 0
        self._said: set[bytes] = set()

    def saw_delivery(self, node: Any, delivery: Any, now: int) -> None:
        message = decode_message(delivery.data)
        if node.is_honest:
            self.others.append((now, message))
            self._said.add(delivery.data)
        else:
            self.lies.append((now, delivery.to, message))
            self.repeated += delivery.data in self._said

    def saw_effect(self, node: Any, effect: Any, now: int) -> None:
        """Look away."""

    def blocks(self) -> list[tuple[int, bytes | None, Append]]:
        return [(at, to, each) for at, to, each in self.lies if isinstance(each, Append)]


def heard(lie: Lie | None, *faults: Fault, seed: int = 1, time_ms: int = 30_000) -> Ears:
    """Run a world with one liar that tells one lie, under all checkers."""
    ears = Ears()
    lies = frozenset() if lie is None else frozenset({lie})
    chosen = frozenset({Fault.LIAR, *faults})
    run(ScenarioOptions(seed, faults=chosen, lies=lies, time_ms=time_ms), (ears,))
    return ears


SEEDS = (3, 10, *(set(range(1, 13)) - {3, 10}))
"""First those in whose worlds a liar coordinates for a while, as the code is now."""


def coordinating(lie: Lie | None, *faults: Fault, time_ms: int = 30_000) -> Ears:
    """Give the first such world in which the liar coordinates for a while."""
    worlds = (heard(lie, Fault.CRASH, *faults, seed=seed, time_ms=time_ms) for seed in SEEDS)
    return next(ears for ears in worlds if len(paces(ears)) > 10)


def paces(ears: Ears) -> list[int]:
    """Give the times between a liar's new blocks within a term."""
    first: dict[Position, int] = {}
    for at, _, append in ears.blocks():
        first.setdefault(append.header.position, at)
    return [
        later - at
        for (one, at), (two, later) in pairwise(sorted(first.items()))
        if one.term == two.term
    ]


@pytest.mark.slow
def test_a_throttling_coordinator_is_slow_and_keeps_its_term() -> None:
    slow, fast = paces(coordinating(Lie.THROTTLE)), paces(coordinating(None))
    assert min(slow) >= 250
    assert sorted(fast)[len(fast) // 2] < 150


@pytest.mark.slow
def test_withheld_blocks_go_to_a_bare_quorum_and_nobody_is_served() -> None:
    worlds = (heard(Lie.WITHHOLD, Fault.CRASH, seed=seed) for seed in SEEDS)
    ears = next(ears for ears in worlds if ears.blocks())
    assert all(to is not None for _, to, _ in ears.blocks())
    assert not any(isinstance(message, Blocks) for _, _, message in ears.lies)


@pytest.mark.slow
def test_a_chooser_of_signatures_shows_two_certificates_and_the_lowest_timeouts() -> None:
    shown: dict[Position, set[object]] = {}
    for _, _, message in coordinating(Lie.SUBSET).lies:
        if isinstance(message, QcNotice | Append):
            shown.setdefault(message.qc.position, set()).add(message.qc.signatures)
    assert any(len(each) > 1 for each in shown.values())
    worlds = (heard(Lie.SUBSET, Fault.CRASH, Fault.LOSS, seed=seed) for seed in range(1, 9))
    notices = (m for ears in worlds for _, _, m in ears.lies if isinstance(m, QcNotice))
    assert any(notice.tc is not None for notice in notices)


def test_a_replayer_says_again_what_others_said() -> None:
    assert heard(Lie.REPLAY, Fault.CRASH).repeated > 10


@pytest.mark.slow
def test_a_censoring_coordinator_goes_on_well_and_loses_its_term() -> None:
    ears = coordinating(Lie.CENSOR)
    assert not any(append.records for _, _, append in ears.blocks())
    terms = {append.header.term for _, _, append in ears.blocks()}
    gave_up = {message.term for _, message in ears.others if isinstance(message, Timeout)}
    assert terms & gave_up


@pytest.mark.slow
def test_a_stalling_coordinator_dates_its_blocks_alike_and_loses_its_term() -> None:
    ears = coordinating(Lie.STALL, time_ms=50_000)
    times = Counter(append.header.time_ms for _, _, append in ears.blocks())
    assert max(times.values()) > 10
    gave_up = {message.term for _, message in ears.others if isinstance(message, Timeout)}
    assert {append.header.term for _, _, append in ears.blocks()} & gave_up


def test_no_games_are_played_by_who_does_not_lie() -> None:
    assert heard(None).repeated == 0


@pytest.mark.slow
def test_leaving_the_watch_on_censors_or_the_tenure_out_is_caught() -> None:
    for name in ("bears-censors", "never-hands-over"):
        mutant = MUTANTS[name]
        plans = (
            Plan(mutant.scenario, seed, 4, mutant.time_ms, mutant=name, lies=mutant.lies)
            for seed in SEEDS
        )
        assert any(attempt(plan) for plan in plans), name


def test_coordinators_take_turns_in_fair_weather() -> None:
    outcome = run(ScenarioOptions(1, faults=frozenset(), tenure_ms=5_000, time_ms=30_000))
    assert outcome.terms >= 5
