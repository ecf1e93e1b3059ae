"""Worlds whose native training is audited: liars and hiders are named, and wrongs are seen."""

import pytest
from msgspec.structs import replace

from ambientd.ledger.entries import Table
from ambientd.ledger.learning_entries import Consent, RoundEntry, StudyEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, RoundState
from sim.checkers import InvariantViolation
from sim.cluster import ClusterOptions, build, run
from sim.faults import Fault
from sim.native_audits import FairNames
from sim.native_training import OFF, engine_of, is_near, native_update
from sim.repertoire import SCENARIOS
from sim.students import TOLERANCE_MICRO, audited_body
from sim.vices import Vice
from tests.sim.test_students import BEFORE, HOST, STUDY, study

HONEST, LIAR, HIDER = (NodeId(bytes([number]) * 32) for number in (1, 2, 3))
NODES = (HONEST, LIAR, HIDER)
BODY = audited_body(1, 0)
PLACE = STUDY + (1).to_bytes(8, "big")


def guests_of(options: ClusterOptions, vice: Vice) -> set[NodeId]:
    return {NodeId(each.key) for each in build(options)[1].joiners if vice in each.vices}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_fair_weather_liars_and_hiders_are_named_and_barred_and_nobody_else(seed: int) -> None:
    options = ClusterOptions(
        seed, faults=frozenset({Fault.LIAR}), time_ms=60_000, learns=True, within=True
    )
    names = FairNames(honest_of(options), is_fair=True)
    run(options, [names])
    assert names.far >= guests_of(options, Vice.POISON)
    assert names.absent == guests_of(options, Vice.HOARD)
    assert names.barred >= names.far | names.absent


@pytest.mark.slow
@pytest.mark.parametrize("seed", [4, 5])
def test_amid_crashes_and_partitions_nobody_is_named_for_what_it_trained(seed: int) -> None:
    faults = SCENARIOS["node-tolerance"].faults
    options = ClusterOptions(seed, faults=faults, time_ms=60_000, learns=True, within=True)
    names = FairNames(honest_of(options), is_fair=False)
    run(options, [names])
    assert names.far
    assert not names.far & honest_of(options)


def honest_of(options: ClusterOptions) -> frozenset[bytes]:
    return frozenset(host.key for host in build(options)[1].honest)


def test_what_engines_differ_by_is_near_and_anything_else_is_far() -> None:
    said = [
        Contributed(node=HONEST, update=native_update(BEFORE, HONEST, 1, each), samples=1)
        for each in range(len(OFF))
    ]
    assert len({each.update for each in said}) == len(OFF)
    for engine in range(len(OFF)):
        assert all(is_near(BEFORE, each, 1, engine, TOLERANCE_MICRO) for each in said)
        assert not any(is_near(BEFORE, each, 2, engine, TOLERANCE_MICRO) for each in said)
    assert not all(is_near(BEFORE, each, 1, 2, 1) for each in said), "a tolerance may be too narrow"


def audited(**changed: object) -> StudyEntry:
    consents = tuple(
        Consent(node=node, is_in=True, said_ms=1, data=Digest(node), samples=10) for node in NODES
    )
    named = {"author": HONEST, "plan": BODY.plan, "terms": BODY.terms, "consents": consents}
    return study(**{**named, **changed})


def said_by(node: NodeId) -> Contributed:
    true = native_update(BEFORE, node, 1, engine_of(node))
    return Contributed(node=node, update=true if node == HONEST else BEFORE, samples=10)


ROW = RoundEntry(
    state=RoundState.EVALUATING,
    began_ms=0,
    due_ms=0,
    seed=b"",
    before=BEFORE,
    after=BEFORE,
    contributed=tuple(map(said_by, NODES)),
    survivors=(HONEST, LIAR),
    faulty=(LIAR, HIDER),
)


def checker(*, is_fair: bool = True) -> FairNames:
    names = FairNames(frozenset({HONEST}), is_fair=is_fair)
    names.saw_entry(HOST, Table.STUDY, STUDY, audited(), 1)
    return names


def test_a_round_that_names_who_lied_and_who_hid_is_as_it_should_be() -> None:
    names = checker()
    names.saw_entry(HOST, Table.ROUND, PLACE, ROW, 2)
    assert (names.far, names.absent) == ({LIAR}, {HIDER})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (replace(ROW, faulty=(HONEST, LIAR, HIDER)), "trained and was named"),
        (replace(ROW, faulty=(HIDER,)), "was drawn and was not named"),
        (replace(ROW, faulty=(LIAR,)), "was drawn and was not named"),
        (
            replace(ROW, survivors=(LIAR,), faulty=(HONEST, LIAR, HIDER)),
            "had power and was named",
        ),
    ],
)
def test_a_round_that_names_others_is_seen(wrong: RoundEntry, words: str) -> None:
    with pytest.raises(InvariantViolation, match=words):
        checker().saw_entry(HOST, Table.ROUND, PLACE, wrong, 2)


def test_who_is_honest_and_barred_is_seen() -> None:
    with pytest.raises(InvariantViolation, match="is honest and was barred"):
        checker().saw_entry(HOST, Table.STUDY, STUDY, audited(barred=(HONEST,)), 2)


def test_in_a_storm_an_honest_node_may_have_shown_nothing_and_never_have_trained_falsely() -> None:
    names = checker(is_fair=False)
    gone = replace(ROW, survivors=(LIAR,), faulty=(HONEST, LIAR, HIDER))
    names.saw_entry(HOST, Table.ROUND, PLACE, gone, 2)
    assert names.absent == {HONEST, HIDER}
    with pytest.raises(InvariantViolation, match="trained and was named"):
        names.saw_entry(HOST, Table.ROUND, PLACE, replace(ROW, faulty=(HONEST, LIAR, HIDER)), 3)
