"""The simulator: same seed, same world; promises held in bad weather; broken rules are caught."""

import os
import subprocess
import sys

import pytest

from sim.__main__ import main
from sim.faults import LOG, Fault
from sim.scenarios import ScenarioOptions, run

SHORT_MS = 30_000


@pytest.mark.slow
def test_a_seed_means_the_same_world_under_any_hash_seed() -> None:
    answers = []
    for hash_seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "sim", "run", "log", "--seed", "7", "--time-ms", str(SHORT_MS)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(done.stdout)
    assert "trace " in answers[0]
    assert answers[0] == answers[1] == answers[2]


def test_another_seed_is_another_world() -> None:
    one, two = (run(ScenarioOptions(seed, 3, time_ms=30_000)) for seed in (1, 2))
    assert one.trace_hash != two.trace_hash


@pytest.mark.parametrize("nodes", [1, 3, 4, 7])
def test_a_committee_in_fair_weather_stays_in_its_first_term(nodes: int) -> None:
    outcome = run(ScenarioOptions(1, nodes, faults=frozenset(), time_ms=30_000))
    assert outcome.terms == 1
    assert outcome.committed > 250
    assert outcome.records == len(range(500, 15_000, 150))
    assert outcome.convicted == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(11, 19))
def test_the_promises_hold_with_all_faults_at_once(seed: int) -> None:
    outcome = run(ScenarioOptions(seed, (4, 7, 3, 1)[seed % 4], time_ms=SHORT_MS))
    assert outcome.committed > 50


@pytest.mark.slow
@pytest.mark.parametrize("fault", [f for f in Fault if LOG in f.worlds], ids=lambda f: f.label)
def test_the_promises_hold_with_each_fault_alone(fault: Fault) -> None:
    run(ScenarioOptions(3, 4, faults=frozenset({fault}), time_ms=SHORT_MS))


def test_the_command_line_runs_and_sweeps(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(
            [
                "run",
                "log",
                "--seed",
                "2",
                "--nodes",
                "3",
                "--faults",
                "loss,crash",
                "--time-ms",
                "30000",
            ]
        )
        == 0
    )
    assert "3 members" in capsys.readouterr().out
    assert main(["sweep", "log", "--seeds", "1..2", "--nodes", "1", "--time-ms", "30000"]) == 0
    assert capsys.readouterr().out == "2 worlds, 0 broken\n"


@pytest.mark.parametrize("arguments", [["--faults", "rain"], ["--seeds", "x"], ["--seeds", "9..1"]])
def test_wrong_arguments_say_what_is_possible(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["sweep", "log", *arguments])
    assert "error" in capsys.readouterr().err


def test_a_broken_world_is_reported_and_fails_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bug = ["--time-ms", "30000", "--mutant", "small-quorum"]
    assert main(["sweep", "log", "--seeds", "4..4", "--nodes", "4", *bug]) == 1
    said = capsys.readouterr().out
    assert "BROKEN a commit is proven" in said
    assert "replay: python -m sim run log --nodes 4 --seed 4 --time-ms 30000" in said
    assert "commit " in said
    assert "1 worlds, 1 broken" in said
