"""Worlds with f liars and every fault at once: what they meet, and that their checkers see."""

from dataclasses import replace

import pytest

from ambientd.ports.store import StoreTable
from sim import byzantine
from sim.__main__ import main
from sim.disk import DiskFault, LogDisk
from sim.faults import EPOCHS, Fault, labels
from sim.happenings import Fills, Rots, Tears
from sim.lies import Lie
from sim.plans import Finding, Plan, judge, meetings, refusal
from sim.repertoire import SCENARIOS
from sim.scenarios import Outcome, ScenarioOptions

TIME_MS = 35_000
SIZES = (4, 7, 10)


def plan(seed: int, nodes: int | None = None) -> Plan:
    return Plan("byzantine", seed, nodes or SIZES[seed % 3], TIME_MS)


def outcome(wanted: Plan) -> Outcome:
    found = judge(wanted)
    assert isinstance(found, Outcome), found
    return found


def test_the_scenario_has_every_fault_that_a_log_alone_can_have() -> None:
    has = SCENARIOS["byzantine"].faults
    assert has == {fault for fault in Fault if EPOCHS in fault.worlds}
    assert SCENARIOS["log"].faults < has
    assert {Fault.DISK_FULL, Fault.BIT_ROT, Fault.TORN_LOG, Fault.SYBIL, Fault.SEATS} <= has


def test_a_seed_gives_the_same_world_twice() -> None:
    first = outcome(plan(5))
    assert outcome(plan(5)) == first
    assert first.epochs >= 1


@pytest.mark.parametrize("seed", range(1, 7))
def test_no_promise_breaks_and_commits_resume(seed: int) -> None:
    assert outcome(plan(seed)).committed > 10


@pytest.mark.slow
def test_few_worlds_meet_every_fault_and_every_lie() -> None:
    met = {name for seed in range(1, 46) for name in outcome(plan(seed)).met}
    assert met == set(meetings(plan(1))) == {*labels(plan(1).effective_faults), *LIES}


LIES = {lie.name.lower() for lie in Lie}


def test_only_what_happened_is_met() -> None:
    calm = replace_faults(())
    assert outcome(calm).met == ()
    fills, tears, rots = (
        Fills(3_000, 0, 4_000),
        Tears(5_000, 1, 1, True),
        Rots(4_000, 6, "ledger", 0, 7_000),
    )
    faults = ("disk-full", "torn-log")
    assert outcome(replace_faults(faults, fills, tears)).met == faults
    assert outcome(replace_faults((*faults, "bit-rot"), rots)).met == ("bit-rot",)
    assert outcome(replace_faults(faults)).met == ()


def replace_faults(faults: tuple[str, ...], *happenings: object) -> Plan:
    return Plan("byzantine", 1, 4, TIME_MS, faults, happenings)  # type: ignore[arg-type]


def test_a_sweep_says_what_was_met_and_fails_where_something_was_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sweep = ["sweep", "byzantine", "--seeds", "3", "--time-ms", str(TIME_MS)]
    assert main([*sweep, "--faults", "torn-log,skew"]) == 0
    assert "torn-log 1" in capsys.readouterr().out
    assert main([*sweep, "--faults", "liar", "--lies", "hide", "--nodes", "1"]) == 1
    assert "met in none: liar, hide" in capsys.readouterr().out


def test_long_worlds_are_refused() -> None:
    assert "one storm" in str(refusal(Plan("byzantine", 1, 4, 3_600_000)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug", ["forgets-votes", "small-quorum", "trusts-certificates", "any-proposer"]
)
def test_a_bug_in_the_log_is_caught_among_all_faults(bug: str) -> None:
    bugged = (Plan("byzantine", seed, 4, TIME_MS, mutant=bug) for seed in range(1, 30))
    assert any(isinstance(judge(each), Finding) for each in bugged)


def test_f_members_are_unfit_and_most_of_them_lie() -> None:
    for nodes, most in ((4, 1), (7, 2), (10, 3), (1, 0)):
        for seed in range(1, 12):
            _, cast, _, _ = byzantine.build(ScenarioOptions(seed, nodes, time_ms=TIME_MS))
            liars = sum(isinstance(each, byzantine.EpochLiar) for each in cast.replicas)
            assert len(cast.liars) == most
            assert max(most - 1, 0) <= liars <= most


def test_a_log_on_a_rotten_disk_names_the_table_and_says_what_to_do() -> None:
    disk = LogDisk(b"n")
    assert not disk.rot(StoreTable.BLOCK, 0), "nothing was written yet"
    disk.take(lambda: None)
    assert disk.rot(StoreTable.BLOCK, 0)
    with pytest.raises(DiskFault, match="table block is not what was written: move"):
        disk.read()


def test_each_world_keeps_all_that_its_options_say() -> None:
    options = ScenarioOptions(2, time_ms=TIME_MS)
    without = byzantine.happenings_of(replace(options, faults=frozenset()))
    assert len(byzantine.happenings_of(options)) > len(without)
    names = byzantine.names_of(options)
    assert {"member 0", "spare 2", "stranger 1"} <= {name.split(",")[0] for name in names}
