import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.model.task import Constraint
from ambientd.rules.auditing import (
    AUDIT_PERMILLE,
    ERROR_PPB,
    audit_spec,
    earns_trust,
    is_audited,
    is_trusted,
    lone_permille,
    replicas_for,
)
from tests.ledger.cluster import spec

SEED = bytes(range(32))
TASKS = st.binary(min_size=32, max_size=32)
CRITICAL_1_DEGREE = 6.635
CRITICAL_99_DEGREES = 134.642
"""Of chi-squared: larger ones come by chance in one case of a hundred."""


def task(number: int) -> bytes:
    return number.to_bytes(32, "big")


def chi_squared(seen: list[int], expected: list[float]) -> float:
    return sum((s - e) ** 2 / e for s, e in zip(seen, expected, strict=True))


@pytest.mark.parametrize(
    ("colluders_permille", "replicas"), [(0, 1), (100, 6), (200, 9), (330, 13), (333, 13)]
)
def test_a_quorum_errs_at_most_once_in_a_million(colluders_permille: int, replicas: int) -> None:
    assert replicas_for(colluders_permille, error_ppb=1_000) == replicas


@given(st.integers(1, 500), st.integers(1, 10**9))
def test_one_replica_fewer_than_a_quorum_would_err_too_often(
    colluders_permille: int, error_ppb: int
) -> None:
    replicas = replicas_for(colluders_permille, error_ppb)
    share = math.log(colluders_permille / 1000)
    assert replicas * share <= math.log(error_ppb / 10**9) + 1e-9
    assert replicas == 1 or (replicas - 1) * share > math.log(error_ppb / 10**9) - 1e-9


@given(st.integers(0, 499), st.integers(1, 10**9 - 1))
def test_more_colluders_and_fewer_errors_never_take_fewer_replicas(
    colluders_permille: int, error_ppb: int
) -> None:
    replicas = replicas_for(colluders_permille, error_ppb)
    assert replicas <= replicas_for(colluders_permille + 1, error_ppb)
    assert replicas >= replicas_for(colluders_permille, error_ppb + 1)


@pytest.mark.parametrize(("share", "error"), [(501, ERROR_PPB), (-1, ERROR_PPB), (330, 0)])
def test_no_quorum_is_named_for_a_majority_of_colluders_or_no_error_at_all(
    share: int, error: int
) -> None:
    with pytest.raises(ValueError, match="no quorum"):
        replicas_for(share, error)


@given(TASKS, st.integers(0, 999))
def test_who_is_audited_at_one_share_is_audited_at_every_larger_one(
    drawn: bytes, permille: int
) -> None:
    assert not is_audited(SEED, drawn, 0)
    assert is_audited(SEED, drawn, 1000)
    assert is_audited(SEED, drawn, permille) <= is_audited(SEED, drawn, permille + 1)


@given(st.integers(0, 2**53))
def test_trust_takes_ten_verified_outcomes(streak: int) -> None:
    assert is_trusted(streak) == (streak >= 10)


@pytest.mark.parametrize(
    ("asked", "strategy", "attempts", "earns"),
    [
        ({}, "weighted", (0, 0), True),
        ({"strategy": "weighted"}, "carbon-aware", (0, 0), True),
        ({"distinct": ("owner", "region")}, "weighted", (0, 0), True),
        ({"constraints": (Constraint(key="owner", value="me"),)}, "weighted", (0, 0), False),
        (
            {"constraints": (Constraint(key="owner", value="others", is_excluded=True),)},
            "weighted",
            (0, 0),
            False,
        ),
        ({"strategy": "carbon-aware"}, "weighted", (0, 0), False),
        ({}, "latency-aware", (0, 0), False),
        ({}, "weighted", (0, 1), False),
    ],
)
def test_trust_is_earned_only_where_chance_alone_chose_the_workers(
    asked: dict[str, object], strategy: str, attempts: tuple[int, ...], earns: bool
) -> None:
    assert earns_trust(spec(**asked), strategy, attempts) == earns


@given(st.integers(0, 2**53), st.integers(0, 1000))
def test_a_longer_streak_is_audited_less_but_never_below_the_usual_share(
    streak: int, permille: int
) -> None:
    assert permille <= lone_permille(streak + 1, permille) <= lone_permille(streak, permille)
    assert lone_permille(streak, permille) <= min(1000, 10 * permille)


@given(st.integers(0, 19))
def test_the_first_lone_answers_of_a_trusted_worker_are_all_audited(streak: int) -> None:
    assert lone_permille(streak) == 1000


@pytest.mark.parametrize("streak", [20, 25, 100])
def test_a_worker_that_has_been_trusted_for_long_is_audited_in_a_tenth_of_its_tasks(
    streak: int,
) -> None:
    draws, share = 100_000, 0.1
    audited = sum(is_audited(SEED, task(n), lone_permille(streak)) for n in range(draws))
    expected = [draws * share, draws * (1 - share)]
    assert chi_squared([audited, draws - audited], expected) < CRITICAL_1_DEGREE


@pytest.mark.slow
def test_the_draw_of_audits_shows_no_bias_in_a_million_draws() -> None:
    """Chi-squared with p > 0.01: of the share itself, and of which tasks it falls on."""
    draws, parts = 1_000_000, 100
    seen = [0] * parts
    for number in range(draws):
        seen[number % parts] += is_audited(SEED, task(number))
    audited, expected = sum(seen), draws * AUDIT_PERMILLE / 1000
    whole = chi_squared([audited, draws - audited], [expected, draws - expected])
    assert whole < CRITICAL_1_DEGREE
    missed = [draws // parts - each for each in seen]
    even = [audited / parts] * parts + [(draws - audited) / parts] * parts
    assert chi_squared(seen + missed, even) < CRITICAL_99_DEGREES


def test_another_seed_audits_other_tasks() -> None:
    first = {number for number in range(2000) if is_audited(SEED, task(number))}
    second = {number for number in range(2000) if is_audited(bytes(32), task(number))}
    assert len(first & second) < min(len(first), len(second)) // 3


def test_who_audits_is_drawn_whatever_the_task_asked_for_and_one_silence_ends_nothing() -> None:
    asked = spec(strategy="carbon-aware", attempts_max=1, deadline_ms=7, priority=9)
    audit = audit_spec(asked)
    assert (audit.strategy, audit.attempts_max, audit.deadline_ms) == ("weighted", 0, 0)
    assert (audit.module, audit.input, audit.gas_max) == (asked.module, asked.input, asked.gas_max)
