"""Bugs whose world comes to them no more are held by claims, each of which fails with its bug."""

from collections.abc import Callable
from random import Random

import pytest

from ambientd.ledger import peg_payments
from ambientd.model.record import SeatVote, SeatWish
from sim.anchor_checkers import SETTLING_MS, LogsAnchors
from sim.museum import bugs
from sim.museum.bugs import Bug
from sim.mutants.patch import Patch, put_in
from sim.node_epochs import Owners
from sim.seasons import LONGEST_TERM_MS, storms_of
from tests.consensus.test_catching_up import (
    test_who_shows_every_gap_and_closes_none_is_passed_over_each_second_time as passes_over,
)
from tests.consensus.test_snapshots import (
    test_a_late_answer_counts_and_a_second_one_harms_nobody as bears_late_pages,
)
from tests.ledger.test_peg_ends import (
    test_coins_are_chosen_by_the_least_that_they_may_turn_out_to_be_worth as counts_the_least,
)
from tests.node.cluster import Cluster
from tests.roles.anchoring.test_core import (
    test_after_a_start_proofs_that_took_the_place_of_undone_ones_are_brought_again as brings_again,
)
from tests.roles.test_anchor_watch import (
    test_a_new_anchor_and_one_that_takes_another_s_place_are_told_once as watches_all,
)
from tests.roles.test_reporter import (
    test_a_report_that_never_reached_the_log_is_said_again as says_again,
)

pytestmark = pytest.mark.real_keys


def sweeps_leave_enough() -> None:
    with put_in([Patch(peg_payments, "SWEEP_PATIENCE_MS", lambda _: 10_000)]):
        counts_the_least()


def owners_leave_one_at_a_time() -> None:
    cluster = Cluster(7)
    owners = Owners(cluster.world, cluster.hosts, frozenset(), Random(1))
    owners._wish()
    owners._wish()
    said = [
        wish
        for host in cluster.hosts
        for wish in host.wanted.values()
        if isinstance(wish, SeatVote)
    ]
    assert [wish.wish for wish in said] == [SeatWish.OUT], "before the ledger shows the first"


def batches_have_time_to_be_mined() -> None:
    checker = LogsAnchors(None)
    checker._closed_ms = {5: 0, 9: 1_000}
    assert checker.due_by(SETTLING_MS - 1) == 0
    assert checker.due_by(SETTLING_MS + 999) == 5
    assert checker.due_by(SETTLING_MS + 1_000) == 9


def committees_have_time_to_come_to_an_honest_coordinator() -> None:
    [storm] = storms_of(40_000, 10, Random(1))
    assert storm.recovery_ms_max >= 3 * LONGEST_TERM_MS


HELD: dict[str, tuple[Bug, Callable[[], None]]] = {
    "a report is lost": (bugs.BELIEVES_ITS_LAST_WORD, says_again),
    "a late page": (bugs.BLAMES_FOR_LATE_PAGES, bears_late_pages),
    "false states": (bugs.ASKS_THE_SAME_AGAIN, passes_over),
    "two leave": (bugs.TWO_LEAVE, owners_leave_one_at_a_time),
    "a proof is lost": (bugs.BRINGS_PROOFS_ONCE, brings_again),
    "an anchor is nobody's": (bugs.WATCHES_ITS_OWN, watches_all),
    "a sweep leaves too little": (bugs.COUNTS_COINS_IN_FULL, sweeps_leave_enough),
    "three bad terms": (
        bugs.HURRIES_COMMITTEES,
        committees_have_time_to_come_to_an_honest_coordinator,
    ),
    "a batch is sent last": (bugs.ASKS_FOR_THE_LATEST, batches_have_time_to_be_mined),
}


@pytest.mark.parametrize("name", HELD)
def test_a_claim_holds_and_fails_with_its_bug(name: str) -> None:
    bug, claim = HELD[name]
    claim()
    with put_in(bug), pytest.raises((AssertionError, ValueError)):
        claim()
