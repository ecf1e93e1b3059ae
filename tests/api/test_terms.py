"""What a task would cost, by the ledger's own rules."""

import pytest

from ambientd.api.operations import OperationError
from ambientd.api.terms import quote_of
from ambientd.ledger.entries import reputation_key
from ambientd.model.reputation import Reputation
from ambientd.model.task import DEFAULT_CLASS, Assurance, Constraint
from ambientd.rules.reputation import UNIT
from tests.ledger.cluster import TestCluster, spec

ASK_ABOVE_MSAT = 1_000


def test_a_quote_holds_what_admission_puts_into_escrow() -> None:
    cluster = TestCluster()
    for assurance, replicas in ((Assurance.NONE, 1), (Assurance.AUDITED, 1), (Assurance.QUORUM, 3)):
        wanted = spec(assurance=assurance, replicas=replicas)
        quote = quote_of(wanted, cluster.state, cluster.node(0), ASK_ABOVE_MSAT)
        task = cluster.admit(nonce=assurance.name.encode(), assurance=assurance, replicas=replicas)
        assert quote.escrow_msat == cluster.task(task).escrow_msat


def test_a_quote_counts_the_nodes_that_are_what_a_task_asks_for() -> None:
    cluster = TestCluster()
    here = quote_of(spec(), cluster.state, cluster.node(0), ASK_ABOVE_MSAT)
    assert here.suited == 4
    nowhere = spec(constraints=(Constraint(key="region", value="nowhere"),))
    assert quote_of(nowhere, cluster.state, cluster.node(0), ASK_ABOVE_MSAT).suited == 0


def test_where_nobody_is_trusted_an_audited_task_is_expected_to_cost_two_replicas() -> None:
    cluster = TestCluster()
    wanted = spec(assurance=Assurance.AUDITED, replicas=1)
    quote = quote_of(wanted, cluster.state, cluster.node(0), ASK_ABOVE_MSAT)
    assert (quote.replicas, quote.replicas_max) == (2, 2)
    assert quote.likely_msat == 2 * quote.slot_fee_msat


@pytest.mark.parametrize(
    ("members", "assurance", "replicas", "possible"),
    [
        (4, Assurance.QUORUM, 9, "`--assurance quorum:4` is possible"),
        (2, Assurance.QUORUM, 3, "`--assurance replicated --replicas 2` is possible"),
        (4, Assurance.REPLICATED, 5, "`--assurance replicated --replicas 4` is possible"),
        (1, Assurance.AUDITED, 1, "`--assurance none` is possible"),
    ],
)
def test_more_replicas_than_nodes_are_refused_with_what_is_possible(
    members: int, assurance: Assurance, replicas: int, possible: str
) -> None:
    cluster = TestCluster(members)
    wanted = spec(assurance=assurance, replicas=replicas)
    with pytest.raises(OperationError, match=f"this cluster can give {members}") as refused:
        quote_of(wanted, cluster.state, cluster.node(0), ASK_ABOVE_MSAT)
    assert refused.value.hint == possible


@pytest.mark.parametrize(("streak", "premium_permille"), [(10, 1000), (19, 1000), (20, 100)])
def test_on_probation_an_audited_task_is_expected_to_cost_two_replicas_too(
    streak: int, premium_permille: int
) -> None:
    """Half of the others are trusted for longer, and are not counted on."""
    cluster = TestCluster()
    for number, each in ((1, streak), (2, streak), (3, 100)):
        known = Reputation(good=30 * UNIT, bad=3 * UNIT, streak=each, day=10**6)
        writes = {reputation_key(cluster.node(number), DEFAULT_CLASS): known}
        cluster.state.commit(0, writes, cluster.state.tree.updated(writes))
    wanted = spec(assurance=Assurance.AUDITED, replicas=1)
    quote = quote_of(wanted, cluster.state, cluster.node(0), ASK_ABOVE_MSAT)
    assert quote.replicas == 1
    assert quote.likely_msat == quote.slot_fee_msat * (1000 + premium_permille) // 1000
