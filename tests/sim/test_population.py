from dataclasses import replace
from functools import cache

import pytest

from ambientd.model.task import Constraint
from sim.__main__ import main
from sim.detection import (
    percentile,
    tasks_until_audit_differs,
    tasks_until_replica_differs,
    tasks_until_trust_ends,
)
from sim.population import Lying, PopulationOptions, PopulationOutcome, Rule, run
from sim.population_page import section
from sim.population_table import AIMS, HEADINGS, Aim, cells, missed
from tests.ledger.cluster import spec

SHARES = [aim.colluders_permille for aim in AIMS]


@cache
def small(rule: Rule, share: int, lying: Lying = Lying.ONCE_TRUSTED) -> PopulationOutcome:
    """A tenth of the workers, with as many tasks each as in the large population."""
    options = PopulationOptions(
        seed=1,
        rule=rule,
        workers=90,
        tasks=6_000,
        colluders_permille=share,
        lying=lying,
        audit_delay=30,
    )
    return run(options)


@pytest.mark.parametrize("aim", AIMS)
def test_patient_colluders_are_found_once_they_lie_and_their_answers_revoked(aim: Aim) -> None:
    outcome = small(Rule.AMBIENT, aim.colluders_permille)
    assert outcome.convicted > outcome.colluders * 3 // 4
    assert outcome.standing_wrong < outcome.given_wrong // 10
    assert outcome.accepted_wrong < outcome.given_wrong // 2
    assert outcome.compute <= aim.compute_max


@pytest.mark.parametrize("share", SHARES)
def test_boinc_finds_no_patient_colluder_and_most_of_what_they_say_stands(share: int) -> None:
    outcome = small(Rule.BOINC, share)
    assert outcome.convicted == 0
    assert outcome.standing_wrong_late > outcome.options.tasks * share // 1000 // 3


@pytest.mark.parametrize("lying", Lying)
def test_no_honest_worker_is_convicted(lying: Lying) -> None:
    assert small(Rule.AMBIENT, 333, lying).honest_convicted == 0


def test_who_lies_only_where_two_colluders_meet_stops_once_workers_are_trusted() -> None:
    outcome = small(Rule.AMBIENT, 333, Lying.IN_PAIRS)
    assert outcome.accepted_wrong > 0
    assert outcome.accepted_wrong_late == 0


def test_who_lets_only_friends_verify_its_tasks_earns_no_trust_by_them() -> None:
    """Were they counted, colluders would all be trusted before they have executed anything."""
    options = small(Rule.AMBIENT, 333).options
    friends = spec(constraints=(Constraint(key="owner", value="friends"),))
    chosen, counted = (run(replace(options, farmed=farmed)) for farmed in (friends, spec()))
    assert chosen.farmed_outcomes == 0
    assert chosen.accepted_wrong_in == small(Rule.AMBIENT, 333).accepted_wrong_in
    assert counted.farmed_outcomes > 10 * counted.colluders
    tenth = len(counted.accepted_wrong_in) // 10
    early, earned = (sum(each.accepted_wrong_in[:tenth]) for each in (counted, chosen))
    assert early > 2 * earned


def test_filling_the_queues_of_honest_workers_gains_colluders_nothing_that_lasts() -> None:
    options = replace(small(Rule.AMBIENT, 200).options, crowded_permille=300)
    crowded, calm = run(options), small(Rule.AMBIENT, 200)
    assert crowded.accepted_wrong <= 3 * calm.accepted_wrong
    assert crowded.standing_wrong == 0
    assert crowded.convicted == calm.convicted


def test_slots_wait_where_most_workers_are_busy() -> None:
    options = PopulationOptions(workers=90, tasks=200, colluders_permille=200)
    waits = [run(replace(options, crowded_permille=most)).blocks_waited for most in (0, 500)]
    assert waits[0] == 0 < waits[1]


def test_a_population_without_colluders_has_no_dispute() -> None:
    outcome = small(Rule.AMBIENT, 0)
    assert (outcome.accepted_wrong, outcome.convicted, outcome.disputes) == (0, 0, 0)
    assert "reopened" not in outcome.executions


def test_the_same_seed_is_the_same_population() -> None:
    options = PopulationOptions(seed=7, workers=40, tasks=400)
    assert run(options) == run(options)
    assert run(options) != run(PopulationOptions(seed=8, workers=40, tasks=400))


def test_every_execution_is_counted_once() -> None:
    outcome = small(Rule.AMBIENT, 333)
    assert outcome.executions["first"] == outcome.options.tasks
    assert set(outcome.executions) == {"first", "replicas", "audits", "reopened"}
    assert outcome.compute == sum(outcome.executions.values()) / outcome.options.tasks
    revoked = outcome.given_wrong - outcome.standing_wrong
    assert outcome.convicted <= outcome.disputes == revoked


def test_a_population_that_misses_its_aims_is_told_of() -> None:
    outcome = small(Rule.AMBIENT, 333, Lying.IN_PAIRS)
    assert len(cells(outcome)) == len(HEADINGS)
    options = PopulationOptions(tasks=1_000)
    wrong = (10,) * 60
    bad = PopulationOutcome(options, wrong, wrong, wrong, {"first": 2_000}, 0, 0, 0, (), ())
    assert len(missed(bad)) == 2


def test_a_page_shows_both_rules_beside_each_other() -> None:
    page = section([small(rule, 333) for rule in Rule])
    assert page.count("<svg") == 1
    assert page.count("<polyline") == 2
    assert page.count("<tr>") == 3


def test_who_lies_in_a_hundredth_of_its_tasks_is_found_within_a_thousand_replicated_ones() -> None:
    for colluders in (0, 333):
        assert percentile(tasks_until_replica_differs(1, 5_000, colluders), 99) <= 1_000


def test_who_lies_in_a_hundredth_of_its_tasks_is_found_within_4700_audited_ones() -> None:
    assert percentile(tasks_until_audit_differs(1, 5_000), 99) <= 4_700


@pytest.mark.slow
def test_who_has_just_become_trusted_is_found_sooner() -> None:
    found = tasks_until_trust_ends(1, 1_000)
    assert percentile(found, 50) < percentile(tasks_until_audit_differs(1, 5_000), 50)
    assert percentile(found, 99) <= 4_700


def test_a_percentile_is_a_value_that_was_seen() -> None:
    assert [percentile([3, 5, 8, 9], percent) for percent in (1, 25, 50, 99, 100)] == [
        3,
        3,
        5,
        9,
        9,
    ]


@pytest.mark.parametrize(
    "argument", ["--nodes 4", "--faults none", "--mutant no-vote-lock", "--world trio"]
)
def test_nothing_of_a_world_can_be_chosen_for_a_population(argument: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "population", *argument.split()])
    assert ended.value.code == 2
