"""Every deliberate bug is caught, each by the checker of the promise that it breaks."""

import pytest

from ambientd.consensus.safety import SafetyRules
from ambientd.ledger import settling
from sim.__main__ import main
from sim.hunt import hunt
from sim.mutants import MUTANTS, mutated

QUICK = {
    "votes-twice": "votes only climb",
    "keeps-escrow": "conservation",
    "bonds-back-at-once": "a bond that is asked back waits",
}
COMMANDED = "pays-twice"


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
    assert found.finding is not None, f"{name} lived through {found.worlds} worlds"


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
    assert "pays-twice: killed by 'at most one payout' after" in said
    assert "1 mutants, 0 alive" in said
