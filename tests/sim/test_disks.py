"""Disks that fill up, rot and cut writes short: each is seen to happen, and no promise breaks."""

from functools import cache
from typing import Any

import pytest

from ambientd.consensus.messages import Timeout, Vote, decode_message
from ambientd.node.effect import PersistTelemetryEpoch
from ambientd.node.frames import LOG_FRAME
from ambientd.ports.store import Delete, Put, StoreTable
from ambientd.runtime.persistence import recover, writes_of
from sim.cluster import ClusterOptions, FastKit, build, genesis_of, run
from sim.disk import Disk, DiskFault
from sim.happenings import Fills, Forgets, Happening, Rots, Tears
from sim.node_machine import FRAME
from sim.trio_world.world import TrioKit
from sim.vices import Resident

LOCAL = StoreTable.LOCAL
HUNT = pytest.mark.hunt
SYNCS = range(0, 24, 6)
KITS = pytest.mark.parametrize("kit", [FastKit, TrioKit], ids=["fast", "trio"])
TIME_MS = 24_000


class Diary:
    """Keeps what a world notes, and what one node signs."""

    effects = None

    def __init__(self, kit: Any) -> None:
        self.kit = kit(1)
        self.notes: list[tuple[Any, ...]] = []
        self.signed: list[tuple[int, bytes, object]] = []
        keep = self.kit.world.note

        def note(*parts: object) -> None:
            self.notes.append((self.kit.world.now, *parts))
            keep(*parts)

        self.kit.world.note = note

    def saw_delivery(self, node: Any, delivery: Any, now: int) -> None:
        if delivery.data[:2] == FRAME + LOG_FRAME:
            message = decode_message(delivery.data[2:])
            if isinstance(message, Vote | Timeout):
                self.signed.append((now, node.key, message))

    def saw_effect(self, node: Any, effect: Any, now: int) -> None:
        """Look away."""

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [note for note in self.notes if note[1] == kind]

    def play(self, *happenings: Happening, time_ms: int = TIME_MS) -> list[Resident]:
        """Run a world in which only this happens, under all checkers; give its hosts."""
        options = ClusterOptions(
            1, faults=frozenset(), time_ms=time_ms, joiners=1, happenings=happenings
        )
        run(options, (self,), self.kit)
        _, cast, _, _ = build(options)
        return [self.kit.world.host_of(host.key) for host in cast.hosts]


@cache
def voter() -> int:
    """Give the number of a member that is seen to vote: a coordinator sends itself nothing."""
    diary = Diary(FastKit)
    hosts = diary.play(time_ms=3_000)
    return [host.key for host in hosts].index(diary.signed[0][1])


def test_a_full_disk_takes_nothing_and_says_so() -> None:
    disk = Disk(b"n")
    disk.write([Put(LOCAL, b"k", b"v")])
    disk.is_full = True
    with pytest.raises(DiskFault, match="the disk is full"):
        disk.write([Delete(LOCAL, b"k")])
    disk.calm()
    assert disk.get(LOCAL, b"k") == b"v"


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_write_that_is_cut_short_is_there_whole_or_not_at_all(is_kept: bool) -> None:
    disk = Disk(b"n")
    disk.tear_within(1, is_kept=is_kept)
    disk.write([Put(LOCAL, b"a", b"")])
    with pytest.raises(DiskFault, match="amid a write") as caught:
        disk.write([Put(LOCAL, b"b", b""), Put(LOCAL, b"c", b"")])
    assert caught.value.is_durable is is_kept
    assert len(list(disk.scan(LOCAL))) == (3 if is_kept else 1)
    disk.write([Put(LOCAL, b"d", b"")])


def test_a_rotten_row_is_named_and_never_given_and_a_new_one_is_good() -> None:
    disk = Disk(b"n")
    disk.write([Put(LOCAL, b"a", b"1"), Put(LOCAL, b"b", b"2")])
    assert not disk.rot(StoreTable.BLOCK, 3)
    assert disk.rot(LOCAL, 3)
    assert disk.get(LOCAL, b"a") == b"1"
    with pytest.raises(DiskFault, match="row 62 of table local"):
        disk.get(LOCAL, b"b")
    with pytest.raises(DiskFault, match="row 62"):
        list(disk.scan(LOCAL))
    disk.write([Put(LOCAL, b"b", b"3")])
    assert disk.get(LOCAL, b"b") == b"3"
    assert not disk.is_rotten


@KITS
def test_a_node_ends_while_its_disk_is_full_and_comes_back(kit: Any) -> None:
    diary = Diary(kit)
    diary.play(Fills(2_000, 0, 5_500))
    ends = diary.of("ends")
    assert len(ends) >= 3
    assert all("the disk is full" in end[3] and 2_000 <= end[0] <= 5_500 for end in ends)
    assert len({end[2] for end in ends}) == 1


@KITS
@pytest.mark.parametrize("is_kept", [False, True])
def test_a_node_stops_amid_a_write_and_goes_on(kit: Any, is_kept: bool) -> None:
    diary = Diary(kit)
    diary.play(*(Tears(2_000 + 1_500 * n, n, n, is_kept) for n in range(4)))
    assert [("amid a write" in end[3]) for end in diary.of("ends")] == [True] * 4


@KITS
def test_a_rotten_row_costs_a_member_its_vote_and_the_others_nothing(kit: Any) -> None:
    diary = Diary(kit)
    hosts = diary.play(Rots(3_000, voter(), "ledger", 5, 5_000))
    (rotten,) = {note[2] for note in diary.of("rots")}
    ends = diary.of("ends")
    assert ends
    assert all("of table ledger is not what was written" in end[3] for end in ends)
    (lost,) = diary.of("disk lost")
    assert lost[0] == 5_000
    assert any(key == rotten for now, key, _ in diary.signed if now < 3_000)
    assert not any(key == rotten for now, key, _ in diary.signed if now > 5_000)
    host = next(host for host in hosts if host.key == rotten)
    assert host.has_lost_safety
    assert host.options.is_first_start, "the others told it so, and no mark"


@KITS
def test_a_member_that_loses_its_safety_rows_alone_votes_no_more(kit: Any) -> None:
    diary = Diary(kit)
    diary.play(Forgets(3_000, voter(), 300))
    ((_, _, key),) = diary.of("forget")
    assert any(who == key for now, who, _ in diary.signed if now < 3_000)
    assert not any(who == key for now, who, _ in diary.signed if now > 3_100)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kit", "first"),
    [
        *(pytest.param(FastKit, first, id=f"fast-{first}") for first in SYNCS),
        *(
            pytest.param(TrioKit, first, marks=() if first == 18 else HUNT, id=f"trio-{first}")
            for first in SYNCS
        ),
    ],
)
def test_every_node_may_stop_at_any_sync_in_a_row(kit: Any, first: int) -> None:
    tears = [
        Tears(1_000 + 1_700 * n, n % 4, first + n % 6, is_kept=bool(n // 6 % 2)) for n in range(12)
    ]
    diary = Diary(kit)
    diary.play(*tears, time_ms=48_000)
    assert len(diary.of("ends")) >= 10


def test_a_key_whose_store_is_lost_counts_its_observations_from_the_clock_on() -> None:
    found = recover(Disk(b"n"), genesis_of(1))
    assert found.last_telemetry_epoch(1_900_000_000_000) == 1_900_000_000_000


def test_a_store_that_is_put_back_from_a_copy_uses_no_epoch_of_observations_twice() -> None:
    disk = Disk(b"n")
    disk.write(writes_of(PersistTelemetryEpoch(7)) or ())
    copy = recover(disk, genesis_of(1))
    assert copy.last_telemetry_epoch(1_900_000_000_000) == 1_900_000_000_000
    assert copy.last_telemetry_epoch(5) == 7, "by a clock that was set back, the store decides"
