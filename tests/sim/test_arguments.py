"""What a user gets wrong is refused in one line that says what, where and what to do."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from sim import anchors
from sim.__main__ import main
from sim.museum import EXHIBITS, Exhibit
from sim.mutants import MUTANTS
from sim.plans import COMMITTEES, SEED_MAX, TIME_MS_MIN, Plan, refusal
from sim.repertoire import SCENARIOS


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "--help" in said.err
    return said.err


@pytest.mark.parametrize(
    ("arguments", "wrong", "instead"),
    [
        ("run log --lies lie", "'lie'", "equivocate,"),
        ("run log --lies idle", "'idle'", "equivocate,"),
        ("sweep node --lies vote_anything,garbage", "'vote_anything'", "lie,split,"),
        ("run log-calm --lies equivocate", "nobody in this world lies", "add liar"),
        ("run node-rot --lies idle", "nobody in this world lies", "bad-worker or liar"),
        ("run log --seed -1", "'-1'", f"0 to {SEED_MAX}"),
        ("run log --seed 99999999999999999999", "99999999999999999999", f"0 to {SEED_MAX}"),
        ("sweep log --seeds 1..99999999999999999999", "99999999999999999999", str(SEED_MAX)),
        ("sweep log --seeds 1..2000000", "2000000 seeds", "1 to 1000000"),
        ("soak --base -5", "'-5'", "from 0"),
        ("run log --time-ms 1", "'1'", str(TIME_MS_MIN)),
        ("run log --nodes 31 --time-ms 10000", "'10000'", str(TIME_MS_MIN)),
        ("fleet --nodes 500 --time-ms 1", "'1'", "from 30000 up"),
        ("run log --faults bit-rot", "'bit-rot'", "such as node"),
        ("run node --faults silence", "'silence'", "such as log"),
        ("run log --mutant lease-never-ends", "'lease-never-ends'", "take node"),
        ("run log --world trio", "'trio'", "scenarios with nodes"),
        ("sweep log --minutes 0", "'0'", "above 0"),
        ("sweep log --sizes 4,101", "'4,101'", "1 to 100"),
        ("sweep log --seeds 5..", "'5..'", "1..200"),
        ("sweep peg --sizes 4,7", "--sizes", "it takes a seed"),
        ("soak log --long", "--long", "no scenario"),
    ],
)
def test_what_cannot_be_run_or_would_test_nothing_is_refused(
    arguments: str, wrong: str, instead: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, *arguments.split())
    assert wrong in said
    assert instead in said


@pytest.mark.parametrize(
    ("plan", "wrong"),
    [
        (Plan("rain", 1), "rain"),
        (Plan("log", -1), "-1"),
        (Plan("log", 1, 0), "nodes"),
        (Plan("log", 1, time_ms=1), "too short"),
        (Plan("log", 1, faults=("rain",)), "rain"),
        (Plan("log", 1, mutant="rain"), "rain"),
        (Plan("node", 1, lies=("rain",)), "rain"),
        (Plan("node", 1, world="rain"), "rain"),
    ],
)
def test_a_plan_file_is_held_to_the_same(
    plan: Plan, wrong: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(plan.to_json())
    assert wrong in refused(capsys, "replay", str(file))


def test_nothing_that_is_kept_or_hunted_is_refused() -> None:
    plans = [Plan(name, 1, size) for name in SCENARIOS for size in COMMITTEES]
    plans += [
        Plan(m.scenario, 1, 4, m.time_ms, None, None, m.name, m.lies) for m in MUTANTS.values()
    ]
    assert [refusal(plan) for plan in plans] == [None] * len(plans)


OF_SCENARIOS = [each for each in EXHIBITS if each.plan.scenario in SCENARIOS]
"""A world of the peg has no faults to choose."""


@pytest.mark.parametrize("exhibit", OF_SCENARIOS, ids=lambda exhibit: str(exhibit.plan.seed))
def test_the_command_of_an_exhibit_names_the_faults_of_its_world_only(exhibit: Exhibit) -> None:
    words = replace(exhibit.plan, happenings=None).command.split()
    named = words[words.index("--faults") + 1].split(",")
    assert refusal(Plan(exhibit.plan.scenario, 1, faults=tuple(named))) is None


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["-1", "3"], ["3", "2"], ["1", "2", "3"]])
def test_the_worlds_of_anchors_say_how_they_are_called(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        anchors.main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "python -m sim.anchors" in said
