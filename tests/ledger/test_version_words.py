"""Members say which state version they know; a quorum of the next ones lets it begin (ADR 73)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.canonical import decode, encode
from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.entries import Table, encode_key
from ambientd.ledger.state import LedgerState
from ambientd.model.record import SeatWish, Transfer, VersionKnown
from ambientd.rules.verdicts import quorum
from sim.next_version import NEXT_VERSIONS, OLDER_VERSIONS
from tests.ledger.cluster import TestCluster, rejections
from tests.ledger.test_seats import asked, decide, said, stop, with_guests


def knows(by: int, version: int = 2, at: int = 1) -> tuple[int, VersionKnown]:
    return by, VersionKnown(version=version, said_ms=at)


def due_version(cluster: TestCluster) -> int | None:
    due = cluster.state.epoch_due
    return None if due is None else due.state_version


@given(st.integers(1, 10), st.integers(0, 10))
def test_the_next_version_is_due_once_a_quorum_knows_it(members: int, count: int) -> None:
    cluster = TestCluster(members)
    for number in range(min(count, members)):
        cluster.block(knows(number))
        has_quorum = number + 1 >= quorum(members)
        assert due_version(cluster) == (2 if has_quorum else None)
    due = cluster.state.epoch_due
    assert due is None or due.members == cluster.state.members


def test_only_the_next_version_is_spoken_of_and_only_by_members() -> None:
    cluster = with_guests()
    for version in (0, 3, 9):
        [reason] = rejections(cluster.block(knows(0, version)))
        assert "of version 1: only 2 can come next" in reason
    [reason] = rejections(cluster.block(knows(4)))
    assert "only committee members that were never convicted" in reason


def test_a_word_is_taken_back_and_an_older_one_is_not_brought_again() -> None:
    cluster = TestCluster()
    cluster.block(knows(0, at=5), knows(1), knows(0, version=1, at=6))
    [reason] = rejections(cluster.block(knows(0, at=5), knows(2)))
    assert "has spoken since" in reason
    assert due_version(cluster) is None
    cluster.block(knows(0, at=7))
    assert due_version(cluster) == 2


def test_the_words_of_the_next_committee_count_not_those_of_the_present_one() -> None:
    cluster = with_guests()
    cluster.block(asked(4), knows(0), knows(1))
    # 3 of the present 4 know it, of the next 5 with the guest's seat 4 would have to.
    cluster.block(knows(2), *(said(cluster, each, 4, SeatWish.IN) for each in range(3)))
    due = cluster.state.epoch_due
    assert due is not None
    assert (len(due.members), due.state_version) == (5, 1)
    stop(cluster)
    assert due_version(cluster) is None
    cluster.block(knows(4))
    assert due_version(cluster) == 2


def test_a_word_goes_with_its_seat() -> None:
    cluster = with_guests()
    cluster.block(knows(3, at=9))
    cluster.block(said(cluster, 3, 3, SeatWish.OUT))
    stop(cluster)
    seat = cluster.state.seat(cluster.node(3))
    assert seat is not None
    assert seat.known_version == 0
    cluster.block(asked(3, at=2))
    decide(cluster, 3, SeatWish.IN, at=2)
    stop(cluster)
    [reason] = rejections(cluster.block(knows(3, at=9), knows(0)))
    assert "has spoken since" in reason
    cluster.block(knows(1))
    assert due_version(cluster) is None


# The step, at the first block of the epoch that names it.


def changed(members: int = 4) -> TestCluster:
    """Give a cluster that stands before the first block of an epoch in version 2."""
    cluster = TestCluster(members, versions=NEXT_VERSIONS)
    cluster.work(cluster.admit(nonce=b"agreed"))
    cluster.block(cluster.join(50))
    cluster.admit(nonce=b"late")
    cluster.block(after_ms=400_000)  # nobody answers: a part goes to the fee pool
    assert cluster.state.meta.fee_pool_msat > 0
    cluster.block(*map(knows, range(members)))
    stop(cluster)
    return cluster


def test_the_step_runs_with_the_first_block_of_the_epoch_and_not_before() -> None:
    cluster = changed()
    before = cluster.state
    assert (before.epoch.state_version, before.version) == (2, 1)
    assert before.meta.fee_pool_msat > 0
    account = encode_key((Table.ACCOUNT, cluster.node(0)))
    assert decode(rows(before)[account], tuple[int]) == (before.balance_msat(cluster.node(0)),)
    cluster.block()
    after = cluster.state
    assert (after.version, after.meta.fee_pool_msat) == (2, 0)
    assert decode(rows(after)[account], tuple[int, int])[0] == 2
    cluster.block((0, Transfer(to=cluster.node(1), amount_msat=5, said_ms=1)))
    assert cluster.state.version == 2


def test_a_changed_state_is_whole_and_comes_back_from_its_rows() -> None:
    cluster = changed()
    assert cluster.restarted().root == cluster.state.root
    cluster.block()
    for _ in range(2):
        again = cluster.restarted()
        assert (again.root, again.version) == (cluster.state.root, 2)
        assert again.receipt_log_root(1) == cluster.state.receipt_log_root(1)
        cluster.work(cluster.admit(nonce=b"later"))
    assert {node.open_slots for node in map(cluster.state.node, cluster.state.nodes()) if node} == {
        0
    }


def test_what_applies_a_block_changes_nothing_by_itself() -> None:
    cluster = changed()
    root, form, items = cluster.state.root, cluster.state.form, dict(cluster.state.items())
    context = BlockContext(cluster.index + 1, 1, cluster.time_ms, cluster.beacon)
    done = apply_block(cluster.state, context, [])
    assert done.tree.form.number == 2
    assert (cluster.state.root, cluster.state.form, cluster.state.items()) == (root, form, items)


def test_a_program_that_does_not_know_the_version_cannot_take_the_step() -> None:
    cluster = TestCluster(versions=OLDER_VERSIONS)
    cluster.block(*map(knows, range(3)))
    stop(cluster)
    with pytest.raises(ValueError, match="is of version 2, this program knows 1: update it"):
        cluster.block()


def test_a_cluster_that_was_founded_in_the_next_version_needs_no_step_to_it() -> None:
    cluster = TestCluster(versions=NEXT_VERSIONS, state_version=2)
    state, account = cluster.state, encode_key((Table.ACCOUNT, cluster.node(0)))
    assert (state.epoch.number, state.epoch.state_version, state.version) == (1, 2, 2)
    assert decode(rows(state)[account], tuple[int, int])[0] == 2
    cluster.work(cluster.admit(nonce=b"agreed"))
    cluster.block(knows(0, at=1))
    [reason] = rejections(cluster.block(knows(0, version=1, at=2)))
    assert "the state is of version 2: only 3 can come next" in reason
    assert (state.epoch.number, due_version(cluster)) == (1, None)
    # Only what has changed since is in a store: the rest is the genesis', in its version.
    changed = {key: each for key, each in state.items().items() if key[0] is not Table.EPOCH}
    again = LedgerState.from_items(cluster.genesis, changed, cluster.index, 2, NEXT_VERSIONS)
    assert (again.root, again.version) == (state.root, 2)


def test_a_program_that_does_not_know_the_version_of_a_genesis_says_so() -> None:
    with pytest.raises(ValueError, match="is of version 2, this program knows 1: update it"):
        TestCluster(versions=OLDER_VERSIONS, state_version=2)


def test_the_version_is_part_of_what_a_cluster_and_its_first_epoch_are_called() -> None:
    first, second = TestCluster(), TestCluster(state_version=2)
    assert first.id != second.id
    assert encode(first.genesis)[2:] == encode(second.genesis)[2:], "one number is another"
    assert encode(first.genesis)[:2] == b"\x96\x01"


def test_words_on_the_version_in_force_bring_no_further_one() -> None:
    cluster = changed()
    cluster.block()
    assert due_version(cluster) is None
    [reason] = rejections(cluster.block(knows(0, version=1, at=9)))
    assert "the state is of version 2: only 3 can come next" in reason


def rows(state: LedgerState) -> dict[bytes, bytes]:
    return {encode_key(key): state.form.encode(key, entry) for key, entry in state.items().items()}
