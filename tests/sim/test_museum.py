"""Worlds that were broken once stay whole, and each still comes to what broke it."""

import pytest
from msgspec.structs import replace

from sim import __main__ as command
from sim.museum import EXHIBITS, Exhibit, bugs, relapsed, visited
from sim.peg_sweep import PEG
from sim.plans import FAST, TIME_MS_MIN, TRIO, Plan, refusal

OF_SCENARIOS = [each for each in EXHIBITS if each.plan.scenario != PEG]
"""A world of the peg has no faults or happenings to choose: it is its seed."""


def named(exhibit: Exhibit) -> str:
    return "-".join((exhibit.plan.scenario, exhibit.plan.world, str(exhibit.plan.seed)))


BY_NAME = pytest.mark.parametrize("exhibit", EXHIBITS, ids=named)
CALM = Plan("log-calm", 1, 1, TIME_MS_MIN)


@pytest.mark.slow
@BY_NAME
def test_a_world_that_was_broken_once_stays_whole(exhibit: Exhibit) -> None:
    assert visited(exhibit) is None


@pytest.mark.slow
@BY_NAME
def test_a_world_is_broken_again_with_its_bug(exhibit: Exhibit) -> None:
    assert relapsed(exhibit) is None


@pytest.mark.parametrize("exhibit", OF_SCENARIOS, ids=named)
def test_a_world_is_pinned_by_what_befalls_it(exhibit: Exhibit) -> None:
    assert exhibit.plan.faults is not None
    assert exhibit.plan.happenings
    assert refusal(exhibit.plan) is None


def test_each_kind_of_world_has_an_exhibit() -> None:
    kinds = {(each.plan.scenario.split("-")[0], each.plan.world) for each in EXHIBITS}
    assert kinds == {
        ("log", FAST),
        ("node", FAST),
        ("node", TRIO),
        (PEG, FAST),
        ("byzantine", FAST),
    }


def test_a_world_that_does_not_come_to_its_bug_any_more_is_told_of() -> None:
    idle = Exhibit(CALM, "", "", bugs.COUNTS_ANEW, "honest nodes are never convicted")
    assert relapsed(idle) == "whole, though its bug was put back in"
    cut = replace(CALM, time_ms=400, nodes=4)  # too short for what checkers ask for
    assert "instead of" in str(relapsed(Exhibit(cut, "", "", bugs.COUNTS_ANEW, "agreement")))


def test_each_exhibit_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = "after healing, commits resume"
    idle = Exhibit(CALM, "", "", bugs.COUNTS_ANEW, kept)
    short = Exhibit(Plan("log-calm", 4, 4, 400), "", "", bugs.COUNTS_ANEW, kept)
    monkeypatch.setattr(command, "EXHIBITS", (idle, short))
    assert command.main(["museum"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "log-calm, seed 1, 1 members: TESTS NOTHING: whole, though its bug was put back in"
    )
    assert said[1].startswith("seed 4, 4 members: BROKEN after healing, commits resume")
    assert said[-1] == "2 worlds, 1 broken, 1 that test nothing"
