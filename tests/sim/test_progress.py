"""Progress is drawn where somebody sees it, and nowhere else; it changes no world."""

import io
import sys

import pytest

from sim.plans import Finding, Plan, judge
from sim.progress import WorldClock, bar, tracked


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_nobody_looks_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("walking", 3) as shown:
        shown.advance()
        shown.show(2, "half way")
        assert not shown.is_seen
    assert list(tracked("walking", [1, 2], 2)) == [1, 2]
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_on_a_terminal_it_is_drawn_and_results_stay_where_they_belong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal, results = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", results)
    for number in tracked("walking", [1, 2], 2):
        sys.stdout.write(f"result {number}\n")
    assert "walking" in terminal.getvalue()
    assert "result" not in terminal.getvalue()
    assert results.getvalue() == "result 1\nresult 2\n"


def test_a_clock_changes_no_world(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, plan = Terminal(), Plan("log-calm", 1, 1, 30_000)
    monkeypatch.setattr(sys, "stderr", terminal)
    with bar("a world", plan.time_ms, counts=False) as shown:
        assert shown.is_seen
        watched = judge(plan, WorldClock(shown))
    unwatched = judge(plan)
    assert not isinstance(watched, Finding)
    assert watched == unwatched
