"""States for others come as soon as somebody gives them, go when they are dropped, within a cap."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId
from ambientd.model.effect import DropStates, FetchState, KeepStates
from ambientd.runtime import handed_states as module
from ambientd.runtime.blobs import Blobs, SealedBlobs
from ambientd.runtime.handed_states import HandedStates, Shelves
from ambientd.runtime.serving import ChunkServer

A, B = (NodeId(letter * 32) for letter in (b"a", b"b"))
DATA = b"a state" * 1_000
NAME = Digest(hashlib.sha256(DATA).digest())
WANTED = FetchState(NAME, len(DATA), (A,))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    monkeypatch.setattr(module, "PAUSE_S_MAX", 0.0)
    monkeypatch.setattr("ambientd.runtime.blobs.FETCH_PAUSE_S", 0.0)


class Mesh:
    """A holder that is away for a while, and then gives the state."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.asked = 0
        self.is_asked = trio.Event()
        self.gives = trio.Event()
        self.gives.set()

    async def request(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        del size_bytes
        self.asked += 1
        self.is_asked.set()
        await self.gives.wait()
        await trio.lowlevel.checkpoint()
        is_given = peer == A and digest == NAME and self.asked > self.away
        return DATA if is_given else None


class Place:
    """One node's states on its disk."""

    def __init__(self, folder: Path, mesh: Mesh, quota_bytes: int = 1 << 20) -> None:
        self.files = BlobFiles(folder, quota_bytes=quota_bytes, memory_bytes=0, makes_way=False)
        self.states = HandedStates(self.files, Blobs(self.files, mesh.request, lambda: [A, B]))


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
    async with bringing(place):
        pass  # it comes, and is not kept
    assert set(place.files.names()) == {first, second}
    place.states.drop(DropStates((first,)))
    assert await place.states.put(b"c" * 4_000) in place.files.names()


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
