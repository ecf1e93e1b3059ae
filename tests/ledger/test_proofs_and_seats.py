"""The committee changes while members check a proof: one committee decides, by its own words."""

from ambientd.model.proof import Finding
from ambientd.model.record import SeatWish
from ambientd.model.task import TaskState
from ambientd.roles.proof_checker import ProofChecker
from tests.ledger.cluster import rejections
from tests.ledger.proving import ProvingCluster
from tests.ledger.test_seats import asked, decide, said, stop
from tests.roles.stage import kinds


def test_words_of_who_has_left_count_for_nothing_and_those_who_came_speak() -> None:
    cluster = ProvingCluster.made()
    cluster.block(cluster.join(4, invite=904))
    task = cluster.prove()
    worker = cluster.task(task).slots[0].worker
    cluster.block(cluster.word(task, 3, Finding.WRONG), cluster.word(task, 0, Finding.WRONG))
    cluster.block(asked(4))
    decide(cluster, 4, SeatWish.IN)
    stop(cluster)
    cluster.block(said(cluster, 3, 3, SeatWish.OUT, at=2))
    stop(cluster)
    assert set(cluster.state.members) == {cluster.node(n) for n in (0, 1, 2, 4)}
    assert kinds(ProofChecker(cluster.signer(4)).resume(cluster.state)) == ["CheckProof"]
    assert ProofChecker(cluster.signer(3)).resume(cluster.state) == []
    cluster.block(cluster.word(task, 1, Finding.WRONG))
    assert cluster.state.conviction(worker) is None  # two of these four, and one who left
    again = rejections(cluster.block(cluster.word(task, 3, Finding.WRONG)))
    assert again == ["only committee members judge proofs, each for itself"]
    assert cluster.restarted().root == cluster.state.root
    cluster.block(cluster.word(task, 4, Finding.WRONG))
    assert cluster.state.conviction(worker) is not None


def test_a_smaller_committee_decides_by_the_words_that_it_has_when_the_time_is_over() -> None:
    cluster = ProvingCluster.made()
    task = cluster.prove()
    cluster.block(cluster.word(task, 0, Finding.HOLDS), cluster.word(task, 1, Finding.HOLDS))
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    assert len(cluster.state.members) == 3
    assert cluster.task(task).state is TaskState.COMMITTED
    cluster.block(after_ms=cluster.genesis.rules.dispute_ms + 1)
    assert cluster.task(task).state is TaskState.FINAL
