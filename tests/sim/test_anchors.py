"""Worlds in which all goes wrong on the way into Bitcoin, and checkers that see it."""

from typing import Any

import pytest

from ambientd.roles.anchoring.book import AnchoredRoot
from ambientd.roles.anchoring.core import Anchoring
from ambientd.roles.anchoring.events import AnchorLogged, PersistBook, RootsSettled, SendTransaction
from ambientd.roles.anchoring.logged import LoggedAnchors
from sim.anchor_members import BrokenError
from sim.anchors import AnchorWorld, main, play


@pytest.mark.slow
@pytest.mark.parametrize("fifths", [1, pytest.param(5, marks=pytest.mark.hunt)])
def test_no_root_is_lost_and_none_is_paid_for_twice(fifths: int) -> None:
    reports = [play(seed) for seed in range(1, 1 + 40 * fifths)]
    assert sum(report.reorganisations for report in reports) > 40 * fifths
    assert sum(report.thefts for report in reports) > 10 * fifths
    assert sum(report.versions - report.roots for report in reports) > 20 * fifths
    assert sum(report.replaced for report in reports) > 20 * fifths
    assert sum(report.seats for report in reports) > 20 * fifths
    assert sum(report.gone for report in reports) > 4 * fifths
    assert sum(report.lies for report in reports) > 4 * fifths
    assert sum(report.gentle for report in reports) > 4 * fifths


def test_a_seed_is_replayed_to_the_letter(capsys: pytest.CaptureFixture[str]) -> None:
    assert play(7) == play(7)
    assert main(["7", "8"]) == 0
    assert capsys.readouterr().out.startswith("2 worlds, 0 broken: ")


@pytest.mark.parametrize("seed", [45, 2_195, 2_757, 5_383, 5_472, 6_099])
def test_worlds_that_were_broken_once_are_whole(seed: int) -> None:
    """A liar's anchor came for a root under way; an own anchor, forgotten, had a child that waits.

    45: the root was left for the anchor in the log, which was never mined. 2195: the root waited
    for its child, and the child for the change of a transaction that could be mined no more. 5383,
    5472: what another member had sent kept a void anchor alive, or was given up with it. 6099: a
    root was waited for that the log never had. 2757: an undone anchor that the log names was left
    for a later root.
    """
    assert play(seed).roots > 0


def forgetful_handle(self: Anchoring, event: Any, *, now: int) -> Any:
    effects = HANDLE(self, event, now=now)
    return [effect for effect in effects if not isinstance(effect, PersistBook)]


def hasty_handle(self: Anchoring, event: Any, *, now: int) -> Any:
    effects = HANDLE(self, event, now=now)
    return sorted(effects, key=lambda effect: not isinstance(effect, SendTransaction))


def deaf_handle(self: Anchoring, event: Any, *, now: int) -> Any:
    return [] if isinstance(event, RootsSettled) else HANDLE(self, event, now=now)


def nobody_else(self: AnchorWorld, step: int) -> None:
    del self, step


def unwatched(self: Anchoring, event: Any, *, now: int) -> Any:
    return [] if isinstance(event, AnchorLogged) else HANDLE(self, event, now=now)


HANDLE = Anchoring.handle
MUTANTS: dict[str, tuple[type, str, Any, str]] = {
    "nothing is persisted": (Anchoring, "handle", forgetful_handle, "before it was on disk"),
    "sent before it is persisted": (Anchoring, "handle", hasty_handle, "before it was on disk"),
    "replacements share no coin": (AnchoredRoot, "shared_coins", property(lambda _: ()), "twice"),
    "reorganisations are not noticed": (Anchoring, "_lose", lambda *_: None, ""),
    "stuck anchors stay": (Anchoring, "_bump", lambda *_: False, ""),
    "stolen coins are waited for": (
        Anchoring,
        "_judge",
        lambda _self, entry, _view, _unspent: entry,
        "",
    ),
    "what the log has is not left": (Anchoring, "handle", deaf_handle, "the log has its anchor"),
    "nobody takes over": (AnchorWorld, "_take_turns", nobody_else, "lost"),
    "what the log has is not watched": (Anchoring, "handle", unwatched, "the log's anchor of size"),
    "whoever is undone is nobody's": (LoggedAnchors, "patience", lambda *_, **__: None, ""),
    "old versions are not looked for": (
        AnchoredRoot,
        "transactions",
        property(lambda entry: entry.versions[-1:]),
        "",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_bug_that_was_planted_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home, method, planted, finding = MUTANTS[name]
    monkeypatch.setattr(home, method, planted)
    assert finding in _first_finding(range(1, 400))


def _first_finding(seeds: range) -> str:
    for seed in seeds:
        try:
            play(seed)
        except BrokenError as found:
            return str(found)
    raise AssertionError("the checkers saw nothing")
