"""In worlds of whole nodes long executions go on from others' states, whoever stops or lies."""

import pytest

from ambientd.codec.statements import fingerprint
from ambientd.ledger.entries import Table, TaskEntry
from ambientd.ledger.events import StateMarked
from ambientd.model.task import TaskState
from sim.cluster import ClusterOptions, build, run, watch
from sim.faults import Fault
from sim.happenings import Crashes, LosesStates, misfit
from sim.hunt import hunt
from sim.mark_watch import GONE_ON, KEPT, MEETINGS, ORPHANS, MarkWatch
from sim.node_checkers import EntryChecker, Onlookers
from sim.plans import Outcome, Plan, judge, meetings, refusal
from sim.strikes import MARKED, WORKER, Strikes
from sim.trio_world.world import TrioKit
from sim.vices import Resident, Vice
from tests.sim.test_money import Heard

CALM = frozenset({Fault.MARKS})


def test_long_tasks_are_marked_in_fair_weather_and_their_states_go_with_them() -> None:
    options = ClusterOptions(3, faults=CALM, time_ms=45_000, happenings=())
    heard = Heard()
    outcome = run(options, [heard])
    assert StateMarked in heard.kinds
    assert outcome.marks > 10
    assert KEPT in outcome.met
    assert ORPHANS not in outcome.met, "nobody stops"


class LongOnes(EntryChecker):
    """Notes the tasks that allow marks, and those of them that are final."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bytes] = set()
        self.final: set[bytes] = set()

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at each task."""
        if isinstance(entry, TaskEntry) and entry.spec.marks_max:
            self.seen.add(name)
            self.final |= {name} if entry.state is TaskState.FINAL else set()


def test_long_tasks_are_executed_among_daemons_too_though_engines_there_have_no_states() -> None:
    long_ones = LongOnes()
    options = ClusterOptions(6, 3, faults=CALM, time_ms=30_000, happenings=())
    outcome = run(options, [Onlookers([long_ones])], TrioKit(6))
    assert len(long_ones.final) == len(long_ones.seen) > 3
    assert outcome.marks == 0


@pytest.mark.slow
def test_somebody_else_goes_on_where_the_maker_of_a_mark_stops() -> None:
    strike = Strikes(6_000, MARKED, WORKER, 14_000, 18_000)
    options = ClusterOptions(4, faults=CALM, time_ms=45_000, happenings=(strike,))
    outcome = run(options)
    assert outcome.met == MEETINGS
    assert outcome.gone_on >= 1


@pytest.mark.slow
def test_where_all_states_are_lost_all_begins_anew_and_every_task_ends() -> None:
    times = range(5_000, 18_000, 500)
    losses = tuple(LosesStates(at_ms, node) for at_ms in times for node in range(6))
    stops = tuple(Crashes(at_ms, at_ms // 3_000 % 4, 0, 4_000) for at_ms in (6_000, 9_000, 12_000))
    options = ClusterOptions(5, faults=CALM, time_ms=45_000, happenings=(*losses, *stops))
    outcome = run(options)
    assert outcome.marks > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 4))
def test_the_promises_hold_with_all_faults_of_marks(seed: int) -> None:
    found = judge(Plan("node-marks", seed, (4, 7, 3)[seed % 3]))
    assert isinstance(found, Outcome), found


@pytest.mark.slow
def test_a_liars_made_up_state_is_named_by_the_answer_that_stands_on_it() -> None:
    faults = frozenset({Fault.MARKS, Fault.LIAR, Fault.HEAT})
    false = 0
    for seed in (1, 2, 3):
        options = ClusterOptions(seed, faults=faults, vices=frozenset({Vice.MISMARK}))
        world, cast, _, _ = build(options)
        watch(world, cast)
        marks = MarkWatch(cast.hosts, fingerprint(cast.genesis))
        world.observers += marks.checkers
        world.run(options.time_ms)
        false += len(marks.word.false)
        if false:
            break
    assert false, "nobody ever went on from a liar's state"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("marks-of-anybody", "marks are their makers' word"),
        ("names-no-maker", "whose word was false is named"),
        ("keeps-all-states", "states are given back"),
        ("drops-early", "an earlier state stays until a later one came"),
        ("fetches-for-ever", "no node is due for ever"),
    ],
)
def test_a_bug_of_marks_is_caught_by_the_checker_of_its_promise(name: str, promise: str) -> None:
    found = hunt(name, 10)
    assert found.finding is not None
    assert found.finding.invariant == promise


def test_a_sweep_must_meet_states_that_others_keep_and_go_on_from() -> None:
    assert meetings(Plan("node-marks", 1)) == MEETINGS
    assert GONE_ON in MEETINGS
    assert meetings(Plan("node", 1)) == ()


def test_what_befalls_states_belongs_to_worlds_that_have_some() -> None:
    lost, strike = LosesStates(1, 0), Strikes(1, MARKED, WORKER, 60, 9_000)
    here = {"has_disks": True, "has_tasks": True}
    for each in (lost, strike):
        assert misfit(each, 4, frozenset({Fault.MARKS}), **here) is None
        assert "add marks" in str(misfit(each, 4, frozenset(), **here))
    assert refusal(Plan("node-marks", 1, happenings=(lost,))) is None
