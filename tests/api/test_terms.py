"""What a task would cost, by the ledger's own rules."""

from ambientd.api.terms import quote_of
from ambientd.model.task import Assurance, Constraint
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
