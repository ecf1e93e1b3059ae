"""A coordinator that stops amid a private round changes nothing: not the model, not a budget."""

from collections import defaultdict
from functools import cache

import pytest

from ambientd.ledger.learning_entries import RoundEntry
from ambientd.model.base import NodeId
from ambientd.model.learning import RoundState, StudyState
from ambientd.rules.learning.secure import ShareKind
from ambientd.rules.learning.sharing import SHARE_BYTES
from sim.cluster import ClusterOptions, build, watch
from sim.node_checkers import check_ends
from sim.private_checkers import PrivateBooks
from sim.private_sums import Overthrow, SummingKit, begin_study
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
            self.overthrow = Overthrow(world, *strike, AWAY_MS, is_killed)
            world.observers.append(self.overthrow)
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
