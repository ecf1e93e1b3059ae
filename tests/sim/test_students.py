"""Whole nodes train models together while some crash, lie or fall silent; what breaks is seen."""

import pytest
from msgspec.structs import replace

from ambientd.codec.digest import sha256
from ambientd.ledger.entries import Table
from ambientd.ledger.learning_entries import RoundEntry
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, RoundState
from sim.checkers import InvariantViolation
from sim.cluster import ClusterOptions, run
from sim.faults import Fault
from sim.private_checkers import PrivateBooks
from sim.pupils import model_of
from sim.students import ProvenTraining, SoundRounds
from sim.vices import Vice

FAULTS = frozenset({Fault.LIAR, Fault.CRASH, Fault.DELAY, Fault.PARTITION})
NODE = NodeId(b"n" * 32)
BEFORE, UPDATE = Digest(sha256(b"before")), Digest(sha256(b"update"))
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
    host = None
    rounds.saw_entry(host, Table.ROUND, b"round", ROW, 1)  # type: ignore[arg-type]
    with pytest.raises(InvariantViolation, match="rounds are sound"):
        rounds.saw_entry(host, Table.ROUND, b"round", wrong, 2)  # type: ignore[arg-type]
