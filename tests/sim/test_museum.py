"""Worlds that were broken once stay whole."""

import pytest

from sim import __main__ as command
from sim.museum import EXHIBITS, Exhibit, visited
from sim.plans import TIME_MS_MIN, Plan


@pytest.mark.slow
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=lambda exhibit: str(exhibit.plan.seed))
def test_a_world_that_was_broken_once_stays_whole(exhibit: Exhibit) -> None:
    assert visited(exhibit) is None


def test_each_exhibit_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = Exhibit(Plan("log-calm", 1, 1, TIME_MS_MIN), "", "")
    short = Exhibit(Plan("log-calm", 4, 4, 400), "", "")  # too short for what checkers ask for
    monkeypatch.setattr(command, "EXHIBITS", (whole, short, whole))
    assert command.main(["museum"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == said[3] == "log-calm, seed 1, 1 members: whole"
    assert said[1].startswith("seed 4, 4 members: BROKEN after healing, commits resume")
    assert said[-1] == "3 worlds, 1 broken"
