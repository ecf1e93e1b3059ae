"""Plans replay, shrink, soak and become pages."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from sim.__main__ import main
from sim.happenings import (
    Crashes,
    Deafens,
    DropsOut,
    Fills,
    Parts,
    Pauses,
    Reorganises,
    Rots,
    WeatherTurns,
)
from sim.plans import Finding, Plan, attempt, drawn_happenings, from_json, judge, nodes_of, refusal
from sim.report import _words, render
from sim.shrink import Shrinker

SHORT = Plan("log", 3, 4, 30_000)


def test_a_plan_survives_its_file() -> None:
    plan = Plan("log", 3, 7, 30_000, ("loss",), drawn_happenings(Plan("log", 3, 7, 30_000)), None)
    assert from_json(plan.to_json()) == plan


def test_drawn_happenings_given_back_are_the_same_world(tmp_path: Path) -> None:
    drawn = judge(SHORT)
    given = judge(from_json(Plan("log", 3, 4, 30_000, None, drawn_happenings(SHORT)).to_json()))
    assert not isinstance(drawn, Finding)
    assert not isinstance(given, Finding)
    assert drawn.trace_hash == given.trace_hash


def test_a_file_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.json"
    file.write_bytes(Plan("log", 2, 1, 30_000).to_json())
    assert main(["replay", str(file)]) == 0
    assert "seed 2: 1 members" in capsys.readouterr().out
    file.write_bytes(b"{}")
    with pytest.raises(SystemExit):
        main(["replay", str(file)])
    assert "is no plan" in capsys.readouterr().err


def test_shrinking_keeps_what_is_needed_and_no_more() -> None:
    plan = Plan("log", 3, 7)
    culprit = next(h for h in drawn_happenings(plan) if isinstance(h, WeatherTurns))

    def run(tried: Plan) -> Finding | None:
        happenings = tried.happenings
        is_there = happenings is None or culprit in happenings
        broken = is_there and tried.nodes >= 4 and "loss" in (tried.faults or ("loss",))
        return Finding(tried, "promise", "broken") if broken else None

    found = run(plan)
    assert found is not None
    small = Shrinker(found, run=run).shrink().plan
    assert small.faults == ("loss",)
    assert small.nodes == 4
    assert small.time_ms == 30_000
    assert small.happenings == (culprit,) or culprit not in drawn_happenings(small)


def test_lies_that_nobody_is_left_to_tell_are_left_out() -> None:
    plan = Plan("log", 3, lies=("garbage",))
    small = Shrinker(Finding(plan, "x", ""), run=lambda tried: Finding(tried, "x", "")).shrink()
    assert small.plan.lies is None
    assert refusal(small.plan) is None


@pytest.mark.slow
def test_a_bug_is_shrunk_to_a_command_that_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.json"
    arguments = ["shrink", "log", "--seed", "1", "--mutant", "votes-twice", "--attempts", "12"]
    seed = next(s for s in range(1, 9) if attempt(Plan("log", s, mutant="votes-twice")))
    arguments[3] = str(seed)
    assert main([*arguments, "--save", str(file)]) == 0
    said = capsys.readouterr().out
    assert "votes only climb" in said
    assert f"replay: python -m sim replay {file}" in said
    assert main(["replay", str(file)]) == 1
    assert f"replay: python -m sim replay {file}" in capsys.readouterr().out


def test_what_cannot_be_made_smaller_is_written_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "small.json"
    bug = ["--nodes", "1", "--time-ms", "30000", "--mutant", "own-clock"]
    assert main(["shrink", "node-liars", *bug, "--attempts", "1", "--save", str(file)]) == 0
    assert f"replay: python -m sim replay {file}, or python -m sim run" in capsys.readouterr().out
    assert from_json(file.read_bytes()).mutant == "own-clock"


@pytest.mark.slow
def test_a_soak_counts_hours_and_lists_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["soak", "log", "--minutes", "0.02", "--base", "5"]) == 0
    said = capsys.readouterr().out
    assert "soaking log from seed 5 on, commit " in said
    assert "simulated hours" in said
    assert "in half an hour at this pace" in said
    assert ", 0 broken" in said


def test_a_page_is_the_same_each_time_and_needs_nothing_else(tmp_path: Path) -> None:
    page = render([SHORT])
    assert page == render([SHORT])
    assert "<svg" in page
    assert "blocks" in page
    assert [page.count(f">{name}</text>") for name in nodes_of(SHORT)] == [1] * 5
    for outside in ("http://", "https://", "<script", "<link", "@import", "url("):
        assert outside not in page
    out = tmp_path / "page.html"
    assert main(["report", "log-calm", "--seed", "2", "--nodes", "1", "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("plan", "lanes"),
    [
        (
            Plan("node-calm", 1, 3, 30_000),
            ["member 0", "member 1", "member 2", "guest 0", "guest 1"],
        ),
        (Plan("log-calm", 1, 2, 30_000), ["member 0", "member 1", "observer 0"]),
    ],
)
def test_every_node_of_a_page_has_a_name(plan: Plan, lanes: list[str]) -> None:
    assert list(nodes_of(plan)) == lanes


def test_a_member_that_never_starts_has_a_lane_too() -> None:
    named = [nodes_of(Plan("log", seed, 7, faults=("silence",))) for seed in range(1, 9)]
    assert {len(names) for names in named} == {8}
    assert any(names[-1].endswith(", silent") for names in named)


@pytest.mark.parametrize(
    "arguments", [["report", "rain"], ["mutants", "rain"], ["soak", "rain"], ["run", "rain"]]
)
def test_an_unknown_name_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert "rain" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "log", "--nodes", "0"],
        ["run", "node", "--nodes", "100000"],
        ["run", "log", "--time-ms", "0"],
        ["run", "log", "--mutant", "rain"],
        ["sweep", "log", "--jobs", "0"],
        ["soak", "--minutes", "-1"],
        ["fleet", "--nodes", "3"],
        ["fleet", "--cells", "0"],
        ["report", "--out", "/nowhere/page.html"],
    ],
)
def test_what_cannot_be_done_is_refused_before_the_work(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert arguments[-1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        (Plan("log", 1, 4, happenings=(Crashes(1_000, 5, 0, 60),)), "no node 5; they are 0 to 4"),
        (Plan("log", 1, 4, happenings=(Pauses(1_000, -1, 2_000),)), "no node -1"),
        (Plan("log", 1, 4, happenings=(Deafens(1_000, ((0, 9),), 2_000),)), "no node 9"),
        (Plan("node", 1, 4, happenings=(Parts(1_000, (0, 1), 2_000),)), "each of the 6 nodes"),
        (Plan("log", 1, 4, happenings=(Fills(1_000, 0, 2_000),)), "nobody here has a disk"),
        (Plan("node", 1, 4, happenings=(Rots(1_000, 0, "rain", 0, 2_000),)), "no table 'rain'"),
        (Plan("node-calm", 1, happenings=(Reorganises(9, 1, 9, forgets=False),)), "nobody anchors"),
        (Plan("node-calm", 1, happenings=(DropsOut(9, 0, 99),)), "there are no studies"),
    ],
)
def test_a_plan_whose_happening_befalls_nobody_is_refused(plan: Plan, says: str) -> None:
    refused = refusal(plan)
    assert refused is not None
    assert refused.startswith("happening 1, at ")
    assert says in refused


def test_a_plan_as_it_was_drawn_is_not_refused() -> None:
    for plan in (Plan("log", 3, 7), Plan("node", 3, 4)):
        assert refusal(replace(plan, happenings=drawn_happenings(plan))) is None


def test_a_page_tells_endings_in_words() -> None:
    assert _words({"final": 3, "cancelled": 1}) == "3 final, 1 cancelled"
    assert _words({}) == "none"
