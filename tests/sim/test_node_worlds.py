"""Whole nodes in bad weather keep their promises; the same seed is the same world."""

import os
import subprocess
import sys

import pytest

from sim.__main__ import main
from sim.cluster import ClusterOptions, run
from sim.faults import NODE, Fault

SHORT_MS = 30_000


@pytest.mark.slow
def test_a_seed_means_the_same_cluster_under_any_hash_seed() -> None:
    answers = []
    for hash_seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "sim", "run", "node", "--seed", "7", "--time-ms", "30000"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(done.stdout)
    assert "trace " in answers[0]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.real_keys
def test_in_fair_weather_every_task_is_agreed_on() -> None:
    outcome = run(ClusterOptions(1, joiners=1, faults=frozenset(), time_ms=30_000))
    wanted = len(range(1_000, 15_000, 700))
    assert wanted <= outcome.tasks <= wanted + 3, "those that were submitted, and a few audits"
    assert set(outcome.endings) <= {"agreed", "none", "cancelled"}
    assert outcome.closed == outcome.receipts > 0
    assert outcome.convicted == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(21, 24))
def test_the_promises_hold_with_all_faults_at_once(seed: int) -> None:
    outcome = run(ClusterOptions(seed, (4, 7, 3)[seed % 3], time_ms=SHORT_MS))
    assert outcome.tasks >= 20


@pytest.mark.parametrize("seed", [167887004713, 167887004923])
def test_a_task_that_idle_workers_have_may_use_up_all_its_attempts(seed: int) -> None:
    """Four leases of the only other worker, one after the other: more than the 20 s of an audit."""
    run(ClusterOptions(seed, 1))


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in Fault if NODE in f.worlds], ids=lambda f: f.label)
def test_the_promises_hold_with_each_fault_alone(fault: Fault) -> None:
    run(ClusterOptions(5, 4, faults=frozenset({fault}), time_ms=SHORT_MS))


@pytest.mark.slow
def test_the_committee_changes_again_and_again_amid_crashes_and_liars() -> None:
    faults = frozenset({Fault.SEATS, Fault.CRASH, Fault.LIAR})
    outcome = run(ClusterOptions(1, 4, faults=faults, time_ms=60_000))
    assert outcome.epochs > 3
    assert outcome.closed == outcome.receipts > 20


def test_the_command_line_runs_whole_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "node", "--seed", "2", "--nodes", "1", "--time-ms", "30000"]
    assert main(arguments) == 0
    assert "tasks: " in capsys.readouterr().out
