"""Whole nodes train models together while some crash, lie or fall silent; what breaks is seen."""

import pytest
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.ledger.entries import Table
from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, Plan, RoundState, StudyId, StudyState
from ambientd.model.learning_effect import Model, Place, ScoreWanted, Step
from ambientd.model.private_book import Book
from ambientd.node.build import NodeOptions
from ambientd.roles.learning import book as lines
from ambientd.rules.learning.privacy import Terms as PrivacyTerms
from sim.checkers import InvariantViolation
from sim.cluster import ClusterOptions, genesis_of, run
from sim.faults import Fault
from sim.joining import seed_of
from sim.node_machine import NodeHost
from sim.private_checkers import PrivateBooks
from sim.pupils import model_of
from sim.students import ProvenTraining, SoundRounds, study_body
from sim.vices import Vice

FAULTS = frozenset({Fault.LIAR, Fault.CRASH, Fault.DELAY, Fault.PARTITION})
NODE = NodeId(b"n" * 32)
BEFORE, UPDATE = Digest(sha256(b"before")), Digest(sha256(b"update"))
STUDY, OTHER = StudyId(bytes(32)), StudyId(bytes([1] * 32))
PLAN = Plan(model="m", trainer="sim", aggregation="fedavg", seed=bytes(32))
SAID = Contributed(node=NODE, update=UPDATE, samples=1)
ROW = RoundEntry(
    state=RoundState.EVALUATING,
    began_ms=0,
    due_ms=0,
    seed=b"",
    before=BEFORE,
    after=model_of(BEFORE, [SAID]),
    contributed=(SAID,),
    survivors=(NODE,),
)


def resident(number: int = 0) -> NodeHost:
    return NodeHost(NodeOptions(genesis_of(2), seed_of("member", number)), None, 1)


HOST = resident()


@pytest.mark.slow
def test_rounds_come_to_models_and_fail_amid_crashes_and_liars() -> None:
    rounds = SoundRounds()
    run(ClusterOptions(2, faults=FAULTS, time_ms=45_000, learns=True), [rounds])
    assert len(rounds.done) > 3
    assert rounds.failed


@pytest.mark.slow
def test_rounds_in_private_keep_books_and_budgets_amid_crashes_and_liars() -> None:
    rounds, books = SoundRounds(), PrivateBooks()
    options = ClusterOptions(18, faults=FAULTS, time_ms=45_000, learns=True, in_private=True)
    run(options, [rounds, books])
    assert books.opened
    assert rounds.failed
    assert books.done


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_rounds_fail_or_come_to_models_whoever_drops_out(seed: int) -> None:
    rounds, books = SoundRounds(), PrivateBooks()
    run(ClusterOptions(seed, faults=frozenset({Fault.DROPOUTS}), time_ms=45_000), [rounds, books])
    assert rounds.failed
    assert rounds.done
    assert bool(books.opened) == (seed % 2 == 1)


def test_who_has_dropped_out_loses_what_it_was_at_until_it_is_back() -> None:
    host = resident()
    wish = ScoreWanted(Place(STUDY, 1, Step.SCORE), PLAN, Model(BEFORE, 1, (NODE,)), 1)
    host.execute(wish)
    assert host._pupil.next_deadline is not None
    host.drop_out()
    assert host._pupil.next_deadline is None
    host.execute(wish)
    assert host._pupil.next_deadline is None
    host.has_dropped_out = False
    host.execute(wish)
    assert host._pupil.next_deadline is not None


@pytest.mark.slow
def test_a_poisoner_is_refuted_by_audits_and_nobody_else_is() -> None:
    rounds, proven = SoundRounds(), ProvenTraining()
    options = ClusterOptions(
        9,
        faults=frozenset({Fault.LIAR}),
        time_ms=30_000,
        learns=True,
        vices=frozenset({Vice.POISON}),
    )
    run(options, [rounds, proven])
    assert rounds.done
    assert proven.confirmed
    assert proven.refuted


def study(**changed: object) -> StudyEntry:
    body = study_body(1, 0)
    entry = StudyEntry(
        author=NODE,
        name="study",
        plan=body.plan,
        terms=body.terms,
        model=BEFORE,
        model_size_bytes=1,
        state=StudyState.RUNNING,
        admitted_ms=0,
        until_ms=0,
        round=1,
        escrow_msat=100,
    )
    return replace(entry, **changed)


def test_a_round_that_goes_on_with_too_few_survivors_is_seen() -> None:
    rounds = SoundRounds()
    rounds.saw_entry(HOST, Table.STUDY, STUDY, study(), 1)
    name = STUDY + bytes(8)
    rounds.saw_entry(
        HOST, Table.ROUND, name, replace(ROW, state=RoundState.FAILED, after=BEFORE), 1
    )
    with pytest.raises(InvariantViolation, match="1 survivors, too few"):
        rounds.saw_entry(HOST, Table.ROUND, name, ROW, 2)


@pytest.mark.parametrize(
    "after",
    [
        study(escrow_msat=101),
        study(round=2),
        study(state=StudyState.FAILED),
    ],
)
def test_money_that_a_study_gets_back_or_keeps_is_seen(after: StudyEntry) -> None:
    rounds = SoundRounds()
    rounds.saw_entry(HOST, Table.STUDY, STUDY, study(), 1)
    rounds.saw_entry(HOST, Table.STUDY, STUDY, study(round=2, escrow_msat=90), 1)
    rounds.saw_entry(HOST, Table.STUDY, OTHER, study(), 1)
    with pytest.raises(InvariantViolation, match="a round is paid for once"):
        rounds.saw_entry(HOST, Table.STUDY, OTHER, after, 2)


def test_money_is_counted_whichever_node_writes_it_first() -> None:
    """An entry is shown once, from whoever is first: often another than for the entry before."""
    others, rounds = resident(1), SoundRounds()
    rounds.saw_entry(HOST, Table.STUDY, STUDY, study(), 1)
    rounds.saw_entry(others, Table.STUDY, STUDY, study(round=2, escrow_msat=90), 1)
    with pytest.raises(InvariantViolation, match="a round is paid for once"):
        rounds.saw_entry(HOST, Table.STUDY, STUDY, study(round=3, escrow_msat=90), 2)


def test_a_budget_that_is_spent_twice_in_one_round_is_seen() -> None:
    books = PrivateBooks()
    terms = PrivacyTerms(1_000_000, 8_000, 3)
    book = lines.allow(Book(), STUDY, 6_000_000)
    for number in (1, 2):
        begun = lines.begin(book, STUDY, number, bytes(32))
        assert isinstance(begun, Book)
        released = lines.release(begun, STUDY, number, UPDATE, terms)
        assert isinstance(released, Book)
        book = released
    HOST.book.keep(book)
    training = replace(ROW, state=RoundState.TRAINING, contributed=(), survivors=(), after=BEFORE)
    fault = books._round_fault(HOST, STUDY + (1).to_bytes(8, "big"), training)
    assert fault == "a round's budget was spent twice"
    assert books._round_fault(HOST, STUDY + (2).to_bytes(8, "big"), training) is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(ROW, survivors=()),
        replace(ROW, after=Digest(sha256(b"forged"))),
        replace(ROW, contributed=(replace(SAID, update=BEFORE),)),
        replace(ROW, state=RoundState.FAILED),
    ],
)
def test_what_breaks_a_round_is_seen(wrong: RoundEntry) -> None:
    rounds = SoundRounds()
    rounds.saw_entry(HOST, Table.ROUND, b"round", ROW, 1)
    with pytest.raises(InvariantViolation, match="rounds are sound"):
        rounds.saw_entry(HOST, Table.ROUND, b"round", wrong, 2)
