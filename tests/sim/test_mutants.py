"""Every deliberate bug is caught, each by the checker of the promise that it breaks."""

from pathlib import Path

import pytest

from ambientd.consensus.safety import SafetyRules
from ambientd.ledger import settling
from sim.__main__ import main
from sim.hunt import HEADINGS, SEEDS_MAX, SLIPS, Hunt, hunt, named
from sim.mutants import ALL, MUTANTS, mutated
from sim.plans import Finding, Plan

QUICK = {
    "votes-twice": "votes only climb",
    "keeps-escrow": "conservation",
    "bonds-back-at-once": "a bond that is asked back waits",
}
COMMANDED = "pays-twice"
DOCUMENT = Path(__file__).parents[2] / "docs" / "simulator.md"


def test_each_bug_has_a_name_of_its_own() -> None:
    assert len(MUTANTS) == len(ALL)


def test_there_are_many_bugs_in_both_worlds() -> None:
    assert len(MUTANTS) >= 20
    scenarios = {mutant.scenario.split("-")[0] for mutant in MUTANTS.values()}
    assert scenarios == {"log", "node"}


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_bug_is_caught_by_the_checker_of_its_promise(name: str) -> None:
    found = hunt(name, 10)
    assert found.finding is not None
    assert found.finding.invariant == QUICK[name]


@pytest.mark.hunt
@pytest.mark.parametrize("name", sorted(MUTANTS.keys() - {*QUICK, COMMANDED}))
def test_every_bug_is_caught_within_thirty_worlds(name: str) -> None:
    found = hunt(name)
    assert found.is_killed, f"{name} lived through {found.worlds} worlds"


def test_a_bug_leaves_the_code_as_it_was() -> None:
    before = SafetyRules.term_is_open, settling._together
    with mutated("votes-after-timeout"), mutated("pays-twice"):
        assert before[0] is not SafetyRules.term_is_open
        assert before[1] is not settling._together
    assert before == (SafetyRules.term_is_open, settling._together)


@pytest.mark.slow
def test_the_command_shows_who_killed_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mutants", COMMANDED, "--seeds-max", "3"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{HEADINGS}\n| {named(COMMANDED)} | at most one payout | ")
    assert "\n\n1 mutants, 0 alive, commit " in said


def rows() -> list[list[str]]:
    """Give the table of the document: names, texts, killers, worlds."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert text.count(HEADINGS) == 1
    table = text[text.index(HEADINGS) :].split("\n\n")[0].splitlines()[2:]
    return [row.strip("| ").split(" | ") for row in table]


def test_the_document_has_every_bug_as_the_code_does() -> None:
    assert [" | ".join(row[:2]) for row in rows()] == [named(name) for name in sorted(MUTANTS)]


def test_the_document_tells_of_no_bug_that_lived() -> None:
    told = {row[0].strip("`"): (row[2], int(row[3])) for row in rows()}
    assert all(1 <= worlds <= SEEDS_MAX for _, worlds in told.values())
    assert not any(killer.strip("`") in SLIPS for killer, _ in told.values())
    promised = QUICK | {COMMANDED: "at most one payout"}
    assert {name: told[name][0] for name in promised} == promised


def test_a_bug_that_lives_is_told_of() -> None:
    assert Hunt("votes-twice", 3, None).row == f"| {named('votes-twice')} | ALIVE | 3 |"
    stopped = Finding(Plan("log", 1), "StoreError", "StoreError: x")
    assert Hunt("votes-twice", 3, stopped).is_killed
    assert Hunt("votes-twice", 3, stopped).row.endswith(" | `StoreError` | 3 |")


def test_a_bug_that_is_no_program_is_not_taken_for_a_killed_one() -> None:
    slip = Hunt("votes-twice", 1, Finding(Plan("log", 1), "TypeError", "TypeError: x"))
    assert not slip.is_killed
    assert slip.row.endswith(" | ALIVE: `TypeError` | 1 |")
