"""The ledger does to a population what the rules alone do to it in the simulator."""

from collections.abc import Iterator

import pytest

from ambientd.ledger.audit_entries import AuditState
from ambientd.ledger.events import (
    AuditOpened,
    RecordRejected,
    ResultRevoked,
    ResultSuspected,
    SlotReleased,
    SlotRevealed,
)
from sim.population import PopulationOptions, PopulationOutcome, Rule, run
from sim.quick import quick
from tests.ledger.population import LIE, LedgerPopulation

pytestmark = pytest.mark.slow

WORKERS, COLLUDERS, TASKS = 40, 12, 1_500
SEEDS = (1, 2, 3, 4, 5, 6)


@pytest.fixture(scope="module")
def played() -> Iterator[LedgerPopulation]:
    with quick():
        population = LedgerPopulation(WORKERS, COLLUDERS)
        population.run(TASKS)
        yield population


@pytest.fixture(scope="module")
def expected(played: LedgerPopulation) -> list[PopulationOutcome]:
    """Give the same population by the rules alone, on some seeds."""
    share, delay = 1000 * COLLUDERS // WORKERS, played.audit_delay
    return [
        run(PopulationOptions(seed, Rule.AMBIENT, WORKERS, TASKS, share, audit_delay=delay))
        for seed in SEEDS
    ]


def test_the_ledger_takes_every_record_and_no_slot_away(played: LedgerPopulation) -> None:
    """A worker that is convicted loses what it has in hand."""
    assert played.told(RecordRejected) == []
    assert {event.worker for event in played.told(SlotReleased)} <= played.convicted


def test_the_ledger_convicts_colluders_alone_and_as_many_as_the_rules_do(
    played: LedgerPopulation, expected: list[PopulationOutcome]
) -> None:
    assert played.convicted <= played.bad
    counts = [outcome.convicted for outcome in expected]
    assert min(counts) - 2 <= len(played.convicted) <= max(counts) + 2


def test_the_ledger_opens_as_many_audits_and_replicas_as_the_rules_do(
    played: LedgerPopulation, expected: list[PopulationOutcome]
) -> None:
    audits = len(played.told(AuditOpened))
    reopened = len(played.told(ResultSuspected))
    replicas = len(played.told(SlotRevealed)) - TASKS - audits
    both = [each.executions["audits"] + each.executions["reopened"] for each in expected]
    assert audits == pytest.approx(sum(both) / len(both), rel=0.1)
    # An audit takes blocks here: what is drawn meanwhile is not opened by the conviction.
    assert 0 < reopened <= 1.35 * max(outcome.executions["reopened"] for outcome in expected)
    most = max(outcome.executions["replicas"] for outcome in expected)
    assert replicas <= 2 * most
    compute = len(played.told(SlotRevealed)) / TASKS
    assert compute == pytest.approx(expected[0].compute, abs=0.1)


def test_no_lie_stands_on_the_word_of_the_convicted_alone(played: LedgerPopulation) -> None:
    ends = {AuditState.CONFIRMED, AuditState.REFUTED}
    suspect = [held for held in played.held if played.convicted.issuperset(held.vouchers)]
    assert suspect
    assert {held.state for held in suspect} <= ends
    revoked = played.told(ResultRevoked)
    assert len(revoked) > COLLUDERS
    assert all(played.answers[each.task] == LIE for each in revoked)


def test_what_the_audits_cost_comes_from_premiums_and_from_liars(played: LedgerPopulation) -> None:
    assert played.cluster.state.meta.reserve_msat >= 0
    assert played.cluster.state.total_msat() == played.cluster.total_msat
