"""Coordinators that stop amid private rounds change nothing, and dropouts only who is summed."""

from collections import defaultdict
from functools import cache

import pytest

from ambientd.ledger.learning_entries import RoundEntry
from ambientd.model.base import NodeId
from ambientd.model.learning import RoundState, StudyState
from ambientd.rules.learning.averaging import model_of_groups
from ambientd.rules.learning.circles import noise_seed, round_id
from ambientd.rules.learning.noise import quantised
from ambientd.rules.learning.private_rounds import terms_of
from ambientd.rules.learning.secure import ShareKind
from ambientd.rules.learning.sharing import SHARE_BYTES
from ambientd.rules.studies import threshold_of
from sim.cluster import ClusterOptions, build, watch
from sim.learners import bytes_of, numbers_of
from sim.node_checkers import check_ends
from sim.private_checkers import PrivateBooks
from sim.private_sums import Dropout, Overthrow, SummingKit, begin_study, round_secret, update_of
from sim.students import check_studies

TIME_MS = 36_000
BEGINS_MS = 12_000  # after the last moment at which worlds start whoever is down
AWAY_MS = 10_000
GUESTS = 5
PRIVATE_ONLY = (RoundState.KEYS, RoundState.SHARES, RoundState.UNMASKING)
MOMENTS = (
    (RoundState.KEYS, 0),
    (RoundState.KEYS, 2),
    (RoundState.SHARES, 0),
    (RoundState.SHARES, 2),
    (RoundState.TRAINING, 2),
    (RoundState.SURVIVORS, 0),
    (RoundState.UNMASKING, 0),
    (RoundState.UNMASKING, 2),
    (RoundState.AGGREGATING, 0),
)
"""A state of the first round, and how many have spoken in it when its coordinator stops."""


class PrivateWorld:
    """Four members, five guests, a private study of two rounds, and what it came to."""

    def __init__(
        self,
        strike: tuple[RoundState, int] | None = None,
        *,
        is_killed: bool = True,
        takes_part: bool = False,
        drops_out: RoundState | None = None,
    ) -> None:
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
        members = self.cast.members if takes_part else []
        self.students = [*self.cast.joiners, *members]
        self.study = begin_study(world, self.cast.members[0], self.students, BEGINS_MS)
        self.overthrow = None
        if strike is not None:
            self.overthrow = Overthrow(world, *strike, back_ms=AWAY_MS, is_killed=is_killed)
            world.observers.append(self.overthrow)
        self.lost = self.students[0]
        if drops_out is not None:
            world.observers.append(Dropout(world, drops_out, 0, victim=self.lost))
        world.run(TIME_MS)
        check_ends(self.cast.honest)
        check_studies(self.cast.honest)
        history.check()

    def rounds(self) -> list[RoundEntry]:
        ledger = self.cast.honest[0].ledger
        entry = ledger.study(self.study)
        assert entry is not None
        assert entry.state is StudyState.DONE
        found = [ledger.round(self.study, number) for number in range(1, entry.round + 1)]
        return [each for each in found if each is not None]

    def models(self) -> list[bytes]:
        return [self.shelf.blobs[each.after] for each in self.rounds()]

    def releases(self) -> list[int]:
        owns = [host.book.load().of(self.study) for host in self.students]  # type: ignore[attr-defined]
        return [0 if own is None else own.releases for own in owns]

    def check_shares(self) -> None:
        """Find nobody of whom shares of both kinds were opened in one round, by whomever."""
        kinds: dict[tuple[int, NodeId], set[int]] = defaultdict(set)
        for place, _, circle, opened in self.shelf.opened:
            parts = [opened[at] for at in range(0, len(opened), 1 + SHARE_BYTES)]
            for dealer, kind in zip(sorted(circle.dealers), parts, strict=True):
                kinds[place.round, dealer].add(kind)
        assert kinds
        for found in kinds.values():
            assert found - {ShareKind.NONE} in ({ShareKind.OWN_MASK}, {ShareKind.KEY})


@cache
def undisturbed(*, takes_part: bool) -> PrivateWorld:
    return PrivateWorld(takes_part=takes_part)


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "deposed"])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0].name}-{moment[1]}")
def test_a_coordinator_that_stops_amid_a_private_round_changes_no_byte_of_the_model(
    moment: tuple[RoundState, int], is_killed: bool
) -> None:
    world, calm = PrivateWorld(moment, is_killed=is_killed), undisturbed(takes_part=False)
    assert world.overthrow is not None
    assert world.overthrow.struck is not None
    assert world.models() == calm.models()
    assert len(set(calm.models())) == 2, "each round has moved the model"
    assert [each.survivors for each in world.rounds()] == [e.survivors for e in calm.rounds()]
    assert world.releases() == calm.releases() == [2] * GUESTS, "nothing is spent twice"
    world.check_shares()


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "deposed"])
@pytest.mark.parametrize("moment", [(each, 2) for each in PRIVATE_ONLY], ids=lambda m: m[0].name)
def test_a_coordinator_that_takes_part_itself_is_at_most_one_that_dropped_out(
    moment: tuple[RoundState, int], is_killed: bool
) -> None:
    world = PrivateWorld(moment, is_killed=is_killed, takes_part=True)
    calm = undisturbed(takes_part=True)
    assert world.overthrow is not None
    lost = world.overthrow.struck
    first, second = world.rounds()
    assert set(calm.rounds()[0].survivors) - set(first.survivors) <= {lost}
    if first.survivors == calm.rounds()[0].survivors:
        assert world.models()[0] == calm.models()[0]
    assert second.state is RoundState.DONE
    counted = sum(lost in each.survivors for each in (first, second))
    spent = dict(zip((host.key for host in world.students), world.releases(), strict=True))
    assert spent.pop(lost) >= counted, "what it showed is paid for"
    assert set(spent.values()) == {2}
    world.check_shares()


def worked_out(world: PrivateWorld, number: int, group: int) -> bytes:
    """Give the model of a round as the mean of what its survivors clipped and noised, unmasked."""
    entry = world.cast.honest[0].ledger.study(world.study)
    assert entry is not None
    plan, row = entry.plan, world.rounds()[number - 1]
    before, rid = world.shelf.blobs[row.before], round_id(world.study, number)
    terms = terms_of(plan, threshold_of(plan, group))
    total = [0] * (len(before) // 4)
    for node in row.survivors:
        update = update_of(plan, node, before)
        seed = noise_seed(round_secret(node, world.study, number), rid)
        noised = numbers_of(quantised(terms, update, seed))
        total = [a + b for a, b in zip(total, noised, strict=True)]
    sums = [(bytes_of(total), len(row.survivors))]
    return model_of_groups(plan.aggregation, terms_of(plan, 1), before, sums)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "group", "counts", "releases"),
    [
        (RoundState.KEYS, 4, False, 0),
        (RoundState.SHARES, 5, False, 0),
        (RoundState.TRAINING, 5, False, 0),
        (RoundState.UNMASKING, 5, True, 1),
    ],
    ids=lambda value: value.name if isinstance(value, RoundState) else "",
)
def test_whoever_drops_out_at_whichever_step_the_model_is_the_mean_of_who_survived(
    state: RoundState, group: int, counts: bool, releases: int
) -> None:
    world = PrivateWorld(drops_out=state)
    first, second = world.rounds()
    assert (world.lost.key in first.survivors) is counts
    assert len(first.survivors) == GUESTS - (not counts)
    assert world.lost.key not in second.survivors
    assert world.models() == [worked_out(world, 1, group), worked_out(world, 2, GUESTS - 1)]
    assert world.releases() == [releases, *[2] * (GUESTS - 1)], "whoever showed something has paid"
    world.check_shares()
