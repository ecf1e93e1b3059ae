"""Programs that know another state version come one by one, amid storms and liars (ADR 73)."""

from collections.abc import Sequence

import pytest

from ambientd.codec.statements import sign_record
from ambientd.consensus.effects import PersistSafety
from ambientd.errors import StoreError
from ambientd.model.record import VersionKnown
from ambientd.node.effect import RecordDropped
from ambientd.node.event import BodiesProposed, RecordOffered
from ambientd.runtime.persistence import recover
from sim.cluster import Cast, ClusterOptions, build, run
from sim.faults import Fault
from sim.happenings import Crashes
from sim.machine import Delivery, Effect, Host
from sim.next_version import NEXT_VERSIONS, OLDER_VERSIONS
from sim.node_machine import NodeHost, Persisted
from sim.plans import Plan, drawn_happenings
from sim.repertoire import SCENARIOS
from sim.stage import Stage
from sim.updates import Updates, update

STAYS = 3


class Speaks:
    """Counts what one node sends and signs."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.sent: list[bytes] = []
        self.signed = 0

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        del now
        if node.key == self._key:
            self.sent.append(delivery.data)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        del now
        if node.key == self._key and isinstance(effect, Persisted):
            self.signed += sum(isinstance(each, PersistSafety) for each in effect.effects)


def updated(
    *numbers: int, members: int = 4, faults: tuple[Fault, ...] = (), until_ms: int = 12_000
) -> tuple[Stage, Cast]:
    """Give a world in which these members' programs were replaced, and the others' were not."""
    happenings = tuple(
        Updates(2_000 + 1_500 * place, number, is_newer=True, back_ms=300)
        for place, number in enumerate(numbers)
    )
    chosen = frozenset({Fault.VERSIONS, *faults})
    world, cast, _, _ = build(ClusterOptions(1, members, 0, chosen, 60_000, happenings=happenings))
    world.run(until_ms)
    return world, cast


def versions_of(cast: Cast) -> list[int]:
    return [host.ledger.version for host in cast.members]


def test_nothing_changes_until_a_quorum_knows_the_next_version() -> None:
    world, cast = updated(0, 1)
    assert versions_of(cast) == [1] * 4
    knowing = [cast.members[0].ledger.seat(each.key) for each in cast.members]  # type: ignore[arg-type]
    assert [seat is not None and seat.known_version == 2 for seat in knowing].count(True) == 2
    world.run(20_000)
    assert {host.ledger.epoch.number for host in cast.members} == {1}


def test_the_quorum_goes_on_in_the_next_version_and_who_is_left_behind_signs_nothing_more() -> None:
    world, cast = updated(0, 1, 2)
    left = cast.members[STAYS]
    assert isinstance(left, NodeHost)
    assert left.node is not None
    unknown = left.node.log.unknown
    assert unknown is not None
    assert versions_of(cast) == [2, 2, 2, 1]
    begun = cast.members[0].ledger.epoch_entry(2)
    assert begun is not None
    stop = left.ledger.applied_index
    assert stop == begun.root_index
    assert unknown.unknown_text == (
        f"the log is of state version 2 since block {stop + 1}, this program knows 1: update it"
    )
    speaks = Speaks(left.key)
    world.observers.append(speaks)
    signer = left.signer
    body = VersionKnown(version=1, said_ms=10**13)
    left.feed([BodiesProposed((body,))], world.now + 1_700_000_000_000)
    dropped = left.feed([RecordOffered(sign_record(signer, body))], world.now + 1_700_000_000_000)
    assert [each.reason for each in dropped if isinstance(each, RecordDropped)] == [
        unknown.unknown_text
    ]
    before = cast.members[0].ledger.applied_index
    world.run(world.now + 10_000)
    assert cast.members[0].ledger.applied_index > before + 10
    assert speaks.signed == 0
    assert not [data for data in speaks.sent if data[:1] == b"G"]  # no telemetry either
    assert left.ledger.applied_index == stop


def test_who_was_left_behind_takes_the_step_where_the_others_did_once_it_is_updated() -> None:
    world, cast = updated(0, 1, 2)
    left = cast.members[STAYS]
    update(world, left.key, 300, is_newer=True)
    world.run(world.now + 6_000)
    assert versions_of(cast) == [2] * 4
    assert len({host.ledger.epoch.number for host in cast.members}) == 1
    heads = [host.ledger.applied_index for host in cast.members]
    assert max(heads) - min(heads) < 5


def test_an_older_program_refuses_a_store_of_the_next_version_and_changes_nothing() -> None:
    _, cast = updated(0, 1, 2)
    disk = cast.members[0].disk
    with pytest.raises(StoreError, match="of version 2, this program knows 1: run the version"):
        recover(disk, cast.genesis, OLDER_VERSIONS)
    assert recover(disk, cast.genesis, NEXT_VERSIONS).ledger.version == 2


def test_a_member_alone_and_three_are_updated_too() -> None:
    assert versions_of(updated(0, members=1)[1]) == [2]
    assert versions_of(updated(0, 1, members=3)[1]) == [2, 2, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "nodes"), [(1, 4), (3, 4), (5, 7), (5, 3)])
def test_worlds_whose_programs_are_replaced_keep_every_promise(seed: int, nodes: int) -> None:
    options = ClusterOptions(seed, nodes, faults=SCENARIOS["node-versions"].faults)
    outcome = run(options)
    assert outcome.epochs > 1


def test_some_programs_are_put_back() -> None:
    drawn: Sequence[object] = [
        each for seed in range(4) for each in drawn_happenings(Plan("node-versions", seed))
    ]
    wishes = {each.is_newer for each in drawn if isinstance(each, Updates)}
    assert wishes == {True, False}


def test_who_lags_behind_the_stop_and_is_offered_a_later_state_stands_aside_too() -> None:
    crash = Crashes(1_000, STAYS, 0, 30_000)
    updates = (Updates(2_000 + 1_500 * each, each, is_newer=True, back_ms=300) for each in range(3))
    faults = frozenset({Fault.VERSIONS, Fault.SHORT_LOG, Fault.CRASH})
    world, cast, _, _ = build(ClusterOptions(1, 4, 0, faults, 90_000, happenings=(crash, *updates)))
    world.run(34_000)
    left = cast.members[STAYS]
    assert left.node is not None
    assert left.node.outdated.startswith("the log is of state version 2 since block ")
    begun = cast.members[0].ledger.epoch_entry(2)
    assert begun is not None
    assert left.ledger.applied_index < begun.root_index, "it never saw the stop's block"
    assert left.ledger.epoch.number == 1
    update(world, left.key, 300, is_newer=True)
    world.run(40_000)
    assert versions_of(cast) == [2] * 4
