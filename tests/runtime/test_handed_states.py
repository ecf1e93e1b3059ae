"""States for others come as soon as somebody gives them, go when they are dropped, within a cap."""

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.blob_files import BlobFiles
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId
from ambientd.model.dispute import BEGINNING, KnownState, TracePoint
from ambientd.model.effect import DropStates, FetchState, KeepStates
from ambientd.runtime import asking
from ambientd.runtime import handed_states as module
from ambientd.runtime.blobs import Blobs, SealedBlobs
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.serving import ChunkServer
from ambientd.runtime.shelves import Shelves
from ambientd.wasm.state import encode_state
from tests.wasm.test_state import state

A, B = (NodeId(letter * 32) for letter in (b"a", b"b"))
LARGE = [NodeId(bytes([number]) * 32) for number in range(200, 205)]
DATA = b"a state" * 1_000
NAME = Digest(hashlib.sha256(DATA).digest())
WANTED = FetchState(NAME, len(DATA), (A,))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.001)
    monkeypatch.setattr(module, "PAUSE_S_MAX", 0.001)
    monkeypatch.setattr("ambientd.runtime.blobs.FETCH_PAUSE_S", 0.0)
    monkeypatch.setattr("ambientd.runtime.blobs.PARCEL_PATIENCE_S", 0.0)
    monkeypatch.setattr(asking, "PATIENCE_S", 0.001)


class Mesh:
    """A holder that is away for a while, and then gives the state."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.asked = 0
        self.is_asked = trio.Event()
        self.gives = trio.Event()
        self.gives.set()

    async def request(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        self.asked += 1
        self.is_asked.set()
        await self.gives.wait()
        await trio.lowlevel.checkpoint()
        is_true = peer == A and digest == NAME and size_bytes >= len(DATA)
        is_given = is_true and self.asked > self.away
        return DATA if is_given else None


class Silent(Mesh):
    """Holders of which some never answer."""

    def __init__(self, silent: frozenset[NodeId]) -> None:
        super().__init__()
        self.silent = silent
        self.in_vain: Counter[NodeId] = Counter()

    async def request(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        if peer in self.silent:
            self.in_vain[peer] += 1
            await trio.sleep_forever()
        return await super().request(peer, digest, size_bytes)


class Place:
    """One node's states on its disk."""

    def __init__(
        self, folder: Path, mesh: Mesh, quota_bytes: int = 1 << 20, peers: Sequence[NodeId] = (A, B)
    ) -> None:
        self.files = BlobFiles(folder, quota_bytes=quota_bytes, memory_bytes=0, makes_way=False)
        self.states = HandedStates(self.files, Blobs(self.files, mesh.request, lambda: peers))


@asynccontextmanager
async def bringing(place: Place) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.states.bring, WANTED)
        yield nursery


async def test_a_state_is_asked_for_until_its_holder_is_back(tmp_path: Path) -> None:
    mesh = Mesh(away=50)
    place = Place(tmp_path, mesh)
    async with bringing(place):
        pass
    assert mesh.asked > mesh.away
    assert place.files.get(NAME) == DATA


async def test_a_state_that_is_dropped_on_its_way_is_not_kept(tmp_path: Path) -> None:
    for drop in (DropStates((NAME,)), KeepStates(frozenset())):
        mesh = Mesh()
        mesh.gives = trio.Event()
        place = Place(tmp_path, mesh)
        async with bringing(place):
            await mesh.is_asked.wait()
            if isinstance(drop, DropStates):
                place.states.drop(drop)
            else:
                place.states.keep_only(drop)
            mesh.gives.set()
        assert place.files.names() == []


async def test_who_goes_on_from_a_state_keeps_it_only_until_it_is_dropped(tmp_path: Path) -> None:
    mesh = Mesh()
    mesh.gives = trio.Event()
    place, found = Place(tmp_path, mesh), []

    async def fetch() -> None:
        found.append(await place.states.fetch(NAME, len(DATA), (A,)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fetch)
        await mesh.is_asked.wait()
        place.states.drop(DropStates((NAME,)))
        mesh.gives.set()
    assert found == [DATA], "it is used all the same"
    assert place.files.names() == []


async def test_after_a_start_only_what_the_log_names_stays(tmp_path: Path) -> None:
    place = Place(tmp_path, Mesh())
    names = [await place.states.put(b"state %d" % number) for number in range(3)]
    again = Place(tmp_path, Mesh())
    assert sorted(again.files.names()) == sorted(names)
    again.states.keep_only(KeepStates(frozenset(names[:1])))
    assert again.files.names() == names[:1]


async def test_a_full_place_takes_nothing_new_and_loses_nothing_old(tmp_path: Path) -> None:
    place = Place(tmp_path, Mesh(), quota_bytes=8_192)
    first = await place.states.put(b"a" * 4_000)
    second = await place.states.put(b"b" * 4_000)
    with pytest.raises(StoreError, match="do not fit"):
        await place.states.put(b"c" * 4_000)
    place.states.drop(DropStates((first,)))
    assert await place.states.put(b"c" * 4_000) in place.files.names()
    assert second in place.files.names()


async def test_what_has_no_room_is_not_asked_for_until_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 1e6)
    mesh = Mesh()
    place = Place(tmp_path, mesh, quota_bytes=8_192)
    first = await place.states.put(b"a" * 8_000)
    async with bringing(place):
        await trio.testing.wait_all_tasks_blocked()
        assert mesh.asked == 0
        place.states.drop(DropStates((first,)))
    assert place.files.names() == [NAME]


async def test_what_came_and_was_not_kept_is_not_taken_for_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 1e6)
    mesh = Mesh()
    mesh.gives = trio.Event()
    place = Place(tmp_path, mesh, quota_bytes=8_192)
    async with bringing(place):
        await mesh.is_asked.wait()
        other = await place.states.put(b"a" * 8_000)  # it takes the room meanwhile
        mesh.gives.set()
        await trio.testing.wait_all_tasks_blocked()
        assert place.files.names() == [other]
        place.states.drop(DropStates((other,)))
    assert place.files.names() == [NAME]


async def test_one_who_lies_about_a_state_keeps_nobody_from_bringing_it(tmp_path: Path) -> None:
    """A wrong size, or a holder that has nothing, was all that was gone by, once it came first."""
    for size_bytes in (len(DATA) - 1, 1 << 40, len(DATA)):
        lie = FetchState(NAME, size_bytes, (B,))
        place = Place(tmp_path / str(size_bytes), Mesh(), peers=[])
        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(place.states.bring, lie)
                await trio.testing.wait_all_tasks_blocked()
                nursery.start_soon(place.states.bring, WANTED)
        assert place.files.get(NAME) == DATA


async def test_who_is_silent_holds_up_no_state_of_another_maker(
    tmp_path: Path,
) -> None:
    mesh = Silent(frozenset({B, *LARGE}))
    place = Place(tmp_path, mesh, quota_bytes=1 << 30, peers=[])
    theirs = [FetchState(Digest(bytes([n]) * 32), 10, (B,)) for n in range(20)]
    large = [
        FetchState(Digest(bytes([100 + n]) * 32), 8 << 20, (node,)) for n, node in enumerate(LARGE)
    ]
    theirs += large
    async with trio.open_nursery() as nursery:
        for effect in theirs:
            nursery.start_soon(place.states.bring, effect)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(module.FETCH_S / 2):
            await place.states.bring(WANTED)
        nursery.cancel_scope.cancel()


async def test_a_first_try_waits_for_no_second_one_of_who_was_silent(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    mesh = Silent(frozenset(LARGE))
    place = Place(tmp_path, mesh, quota_bytes=1 << 30, peers=[])
    async with trio.open_nursery() as nursery:
        for number, node in enumerate(LARGE):
            effect = FetchState(Digest(bytes([100 + number]) * 32), 8 << 20, (node,))
            nursery.start_soon(place.states.bring, effect)
        while min(mesh.in_vain[node] for node in LARGE) < 2:
            for passed_s in (module.PAUSE_S_MAX, module.FETCH_LARGE_S, module.PAUSE_S_MAX):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(passed_s)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.rate = 1.0
        with trio.fail_after(module.FETCH_S):
            await place.states.bring(FetchState(NAME, 8 << 20, (A,)))
        nursery.cancel_scope.cancel()


async def test_who_is_silent_or_slow_does_not_keep_a_state_that_another_holds_as_well(
    tmp_path: Path,
) -> None:
    """Its maker alone was asked, for all the time that there was."""
    place = Place(tmp_path, Silent(frozenset({B})), peers=[])
    with trio.fail_after(module.FETCH_S / 2):
        assert await place.states.fetch(NAME, len(DATA), (B, A)) == DATA


async def test_who_goes_on_from_a_state_does_not_wait_for_what_others_say_of_it(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, Silent(frozenset({B})), peers=[])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.states.bring, FetchState(NAME, len(DATA), (B,)))
        await trio.testing.wait_all_tasks_blocked()
        assert await place.states.fetch(NAME, len(DATA), (A,)) == DATA
        nursery.cancel_scope.cancel()


async def test_a_disk_that_fails_is_counted_and_said_and_ends_nothing(
    tmp_path: Path,
) -> None:
    place = Place(tmp_path, Mesh())
    name = await place.states.put(DATA)
    path = tmp_path / name.hex()[:2] / name.hex()[2:]
    path.unlink()
    path.mkdir()  # neither to be read nor removed as a file is
    assert await place.states.fetch(name, len(DATA), ()) is None
    place.states.drop(DropStates((name,)))
    assert place.states.disk_faults == 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(place.states.bring, WANTED)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert place.files.names() == []
    path.rmdir()
    assert await place.states.bring(WANTED) is not None


async def test_who_brings_a_state_hears_where_it_truly_stands(tmp_path: Path) -> None:
    place = Place(tmp_path, Mesh())
    assert await place.states.bring(WANTED) == KnownState(BEGINNING, NAME, len(DATA)), "it is none"
    true = state([1, 0])
    name = await place.states.put(encode_state(true))
    wanted = FetchState(name, len(encode_state(true)), (A,))
    kept = KnownState(TracePoint(true.gas_index, true.root()), name, wanted.size_bytes)
    assert await place.states.bring(wanted) == kept


async def test_peers_get_states_and_other_blobs_alike_whole_or_by_chunks(tmp_path: Path) -> None:
    place = Place(tmp_path / "states", Mesh())
    files = BlobFiles(tmp_path / "blobs")
    other = files.put(b"an input")
    state = await place.states.put(DATA)
    both = Shelves(files, place.files)
    sealed = SealedBlobs(both)
    assert await sealed.serve(state) == DATA
    assert await sealed.serve(other) == b"an input"
    assert await sealed.serve(bytes(32)) is None
    server = ChunkServer(both, sealed, lambda: 1)
    assert (await server._outlines.find(state)) is not None
    assert both.piece(state, 2, 5) == DATA[2:7]
    assert both.size_of(other) == 8
