"""Poisoners in private mode, where nobody sees one update: what the median of groups bounds.

Masks, shares, noise and sums are worked out in truth. A poisoner sends the largest number that a
sum holds in each place, neither clipped nor noised.
"""

from functools import cache

import numpy as np
import pytest

from ambientd.ledger.learning_entries import RoundEntry, StudyEntry
from ambientd.model.base import NodeId
from ambientd.model.learning import RoundState, StudyState
from ambientd.rules.learning.circles import noise_seed, round_id
from ambientd.rules.learning.noise import mean_of, quantised
from ambientd.rules.learning.private_rounds import terms_of
from ambientd.rules.learning.vectors import RANGE, Wide
from ambientd.rules.studies import groups_of, threshold_of
from sim.cluster import ClusterOptions, build, watch
from sim.learners import numbers_of
from sim.node_checkers import check_ends
from sim.private_checkers import PrivateBooks
from sim.private_sums import SummingKit, begin_study, round_secret, update_of
from sim.students import check_studies

pytestmark = pytest.mark.slow

TIME_MS, BEGINS_MS = 40_000, 12_000
GUESTS, GROUP, ROUNDS = 9, 3, 2
EXTREME = (1 << 31) - 1 - 3 * (1 << 20)
"""The most that does not wrap round with what the other two of its group send."""


class PoisonedWorld:
    """Four members, nine guests in groups of three, and some of the guests poison."""

    def __init__(self, poisoners: int, aggregation: str) -> None:
        options = ClusterOptions(
            7,
            joiners=GUESTS,
            faults=frozenset(),
            time_ms=TIME_MS,
            task_every_ms=4_000,
            happenings=(),
        )
        kit = SummingKit(options.seed)
        world, self.cast, history, _ = build(options, kit)
        self.shelf, books = kit.shelf, PrivateBooks(None)
        watch(world, self.cast, books)
        world.observers.append(history)
        guests = self.cast.joiners
        self.liars = {NodeId(host.key) for host in guests[:poisoners]}
        kit.shelf.poison.update(dict.fromkeys(self.liars, EXTREME))
        self.study = begin_study(
            world,
            self.cast.members[0],
            guests,
            BEGINS_MS,
            group_size=GROUP,
            aggregation=aggregation,
            clip_micro=20_000,
        )
        world.run(TIME_MS)
        check_ends(self.cast.honest)
        check_studies(self.cast.honest)
        history.check()

    @property
    def entry(self) -> StudyEntry:
        entry = self.cast.honest[0].ledger.study(self.study)
        assert entry is not None
        assert entry.state is StudyState.DONE
        return entry

    def rounds(self) -> list[RoundEntry]:
        found = [
            self.cast.honest[0].ledger.round(self.study, number)
            for number in range(1, self.entry.round + 1)
        ]
        return [each for each in found if each is not None and each.state is RoundState.DONE]

    def moved(self, row: RoundEntry) -> Wide:
        before, after = (numbers_of(self.shelf.blobs[each]) for each in (row.before, row.after))
        return np.array(after, dtype=np.int64) - np.array(before, dtype=np.int64)

    def honest_means(self, number: int) -> list[Wide]:
        """Give what each group's mean would be, had the poisoners trained as all others."""
        row, plan = self.rounds()[number - 1], self.entry.plan
        before, rid = self.shelf.blobs[row.before], round_id(self.study, number)
        found = []
        for group in groups_of(row.survivors, row.seed, GROUP):
            terms = terms_of(plan, threshold_of(plan, len(group)))
            total = np.zeros(len(before) // 4, dtype=np.int64)
            for node in group:
                seed = noise_seed(round_secret(node, self.study, number), rid)
                noised = quantised(terms, update_of(plan, node, before), seed)
                total += np.frombuffer(noised, dtype="<i4")
            found.append(mean_of(terms, total.astype("<i4").tobytes(), len(group)))
        return found

    def poisoned_groups(self, row: RoundEntry) -> int:
        groups = groups_of(row.survivors, row.seed, GROUP)
        return sum(bool(self.liars & set(group)) for group in groups)


@cache
def played(poisoners: int, aggregation: str) -> PoisonedWorld:
    return PoisonedWorld(poisoners, aggregation)


def test_without_poison_the_median_of_groups_is_what_the_groups_trained() -> None:
    world = played(0, "median")
    for number, row in enumerate(world.rounds(), start=1):
        expected = np.sort(np.array(world.honest_means(number)), axis=0)[1]
        assert (world.moved(row) == expected).all()


def test_the_median_of_three_groups_keeps_one_poisoners_update_between_honest_groups_means() -> (
    None
):
    world = played(1, "median")
    assert len(world.rounds()) == ROUNDS
    for number, row in enumerate(world.rounds(), start=1):
        assert world.liars <= set(row.survivors), "nobody sees what it sends"
        assert world.poisoned_groups(row) == 1
        groups = groups_of(row.survivors, row.seed, GROUP)
        means = np.array(
            [
                mean
                for group, mean in zip(groups, world.honest_means(number), strict=True)
                if not world.liars & set(group)
            ]
        )
        moved = world.moved(row)
        assert np.abs(moved).max() <= np.abs(means).max() < RANGE // 500
        assert (means.min(axis=0) <= moved).all()
        assert (moved <= means.max(axis=0)).all()


def test_the_mean_of_groups_follows_one_poisoner_as_far_as_numbers_go() -> None:
    world = played(1, "fedavg")
    for row in world.rounds():
        assert (world.moved(row) > RANGE // 4).all(), "a third of 128 in each round"


def test_poisoners_in_two_of_three_groups_have_the_median_too() -> None:
    """What the documents say: half of the groups, and no more, are stood."""
    world = played(2, "median")
    for number, row in enumerate(world.rounds(), start=1):
        bound = np.abs(np.array(world.honest_means(number))).max()
        after = np.array(numbers_of(world.shelf.blobs[row.after]))
        is_lost = bool((after == RANGE).all())
        assert is_lost is (world.poisoned_groups(row) == 2)
        assert is_lost or np.abs(world.moved(row)).max() <= bound
