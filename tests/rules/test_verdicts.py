import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.rules.verdicts import agreed, decided, liars_max, quorum, still_possible
from tests.ledger.cluster import TestCluster, result

CLUSTER = TestCluster(10)
TASK = CLUSTER.admit()
ANSWERS = [result(), result(b"second"), result(b"third")]


@pytest.mark.parametrize(
    ("members", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4), (6, 4), (7, 5), (10, 7)]
)
def test_quorums_are_those_of_the_design(members: int, needed: int) -> None:
    assert quorum(members) == needed


@given(st.integers(1, 128))
def test_two_quorums_share_an_honest_member_and_the_honest_are_one(members: int) -> None:
    needed, liars = quorum(members), liars_max(members)
    assert 2 * needed - members > liars
    assert members - liars >= needed


@given(st.lists(st.integers(0, 2), max_size=10))
def test_a_decision_is_what_a_quorum_of_referees_found(said: list[int]) -> None:
    verdicts = [CLUSTER.verdict(TASK, n, ANSWERS[answer]) for n, answer in enumerate(said)]
    found = decided(verdicts, 7)
    most = max((said.count(answer) for answer in range(3)), default=0)
    assert (found is not None) is (most >= 7)
    if found is not None:
        assert said.count(ANSWERS.index(found)) >= 7
    assert still_possible(verdicts, 10) is (most + 10 - len(said) >= 7)


def test_a_referee_counts_once_however_often_it_speaks() -> None:
    assert decided([CLUSTER.verdict(TASK, 0, ANSWERS[0])] * 9, 2) is None


def test_replicas_agree_when_their_whole_results_are_equal() -> None:
    first = CLUSTER.receipt(TASK, 0)
    assert agreed([first, CLUSTER.receipt(TASK, 1)])
    assert not agreed([first, CLUSTER.receipt(TASK, 1, result(gas=5_000_001))])
