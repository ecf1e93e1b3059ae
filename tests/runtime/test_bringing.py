"""A large blob comes from several peers at once; who fails, dawdles or lies costs its chunks alone.

Every peer here has real files and the daemon's own server; only the network between is a call.
"""

import random
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import decode_question, outlined
from ambientd.errors import StoreError
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.chunk import (
    CHUNK_BYTES,
    LARGE_BYTES_MAX,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineAsked,
    OutlineGiven,
)
from ambientd.model.dispute import BEGINNING, KnownState
from ambientd.model.effect import FetchState
from ambientd.rules import chunk_plan
from ambientd.runtime import blobs as blobs_module
from ambientd.runtime import bringing, handed_states, outlines, serving
from ambientd.runtime.blobs import WHOLE_BYTES_MAX, Blobs, SealedBlobs
from ambientd.runtime.bringing import Bringer
from ambientd.runtime.serving import ChunkServer
from tests.adapters.byte_blobs import BlobFiles

DATA = random.Random(5).randbytes(9 * CHUNK_BYTES + 1234)
CHUNKS = [DATA[start : start + CHUNK_BYTES] for start in range(0, len(DATA), CHUNK_BYTES)]
OUTLINE, FOUND = outlined(CHUNKS)
NAME = Digest(FOUND)
COUNT = len(CHUNKS)
NODES = [NodeId(bytes([number]) * 32) for number in range(1, 10)]
ME = NodeId(b"m" * 32)

Fault = Callable[[bytes, Callable[[], Awaitable[bytes]]], Awaitable[bytes | None]]


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAUSE_S", "SETTLE_S"):
        monkeypatch.setattr(bringing, name, 0.01)
    monkeypatch.setattr(bringing, "STALL_S", 0.2)
    monkeypatch.setattr(chunk_plan, "PATIENCE_MS_MIN", 20)
    monkeypatch.setattr(blobs_module, "FETCH_PAUSE_S", 0.01)


class Mesh:
    """Some peers, each with its files, its server and perhaps a fault."""

    def __init__(self, folder: Path, faults: list[Fault | None]) -> None:
        self.peers = NODES[: len(faults)]
        self.faults = dict(zip(self.peers, faults, strict=True))
        self.servers = {}
        self.asked: dict[NodeId, list[bytes]] = {peer: [] for peer in self.peers}
        self.whole: list[NodeId] = []
        files = BlobFiles(folder / "theirs")
        files.put(DATA)
        for peer in self.peers:
            self.servers[peer] = ChunkServer(files, SealedBlobs(files), lambda: 0)
        self.files = BlobFiles(folder / "ours")
        self.bringer = Bringer(self.ask, self.files)

    async def ask(self, peer: NodeId, question: bytes) -> bytes | None:
        self.asked[peer].append(question)
        await trio.lowlevel.checkpoint()
        fault = self.faults[peer]

        async def honest() -> bytes:
            return await self.servers[peer].serve(ME, question)

        return await (honest() if fault is None else fault(question, honest))

    async def request(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        self.whole.append(peer)
        return None

    def chunks_asked_of(self, peer: NodeId) -> list[int]:
        questions = [decode_question(each) for each in self.asked[peer]]
        return [each.index for each in questions if isinstance(each, ChunkAsked)]

    async def bring(self, size_bytes: int = len(DATA)) -> bringing.Brought:
        with trio.fail_after(60):
            return await self.bringer.bring(NAME, size_bytes, self.peers, is_synced=False)


def is_chunk(question: bytes) -> bool:
    return isinstance(decode_question(question), ChunkAsked)


async def absent(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    return encode(NotHere())


async def unable(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    """What a peer of an older version comes to."""
    return None


async def hangs(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    """Say which chunks there are, and then nothing."""
    if is_chunk(question):
        await trio.sleep_forever()
    return await honest()


async def mute(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    await trio.sleep_forever()


async def drops(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    return None if is_chunk(question) else await honest()


async def garbles(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    return encode(ChunkGiven(data=bytes(CHUNK_BYTES))) if is_chunk(question) else await honest()


async def babbles(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    return b"\xc1" * 20


async def busy(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
    return encode(AskLater())


def forger(kept: int = 0) -> Fault:
    """Outline another blob, of which some first chunks are the true ones, and serve all of it."""
    false = [*CHUNKS[:kept], *(bytes([7]) * len(chunk) for chunk in CHUNKS[kept:])]
    outline, _ = outlined(false)

    async def fault(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        asked = decode_question(question)
        if isinstance(asked, OutlineAsked):
            return encode(OutlineGiven(size_bytes=outline.size_bytes, leaves=outline.leaves))
        return encode(ChunkGiven(data=false[asked.index]))

    return fault


async def test_a_blob_comes_from_several_peers_and_each_chunk_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "SETTLE_S", 30.0)
    monkeypatch.setattr(chunk_plan, "PATIENCE_MS_MIN", 60_000)
    mesh = Mesh(tmp_path, [None, None, None])
    brought = await mesh.bring()
    assert brought.is_here
    assert mesh.files.get(NAME) == DATA
    assert sum(brought.came.values()) == COUNT
    asked = [index for peer in mesh.peers for index in mesh.chunks_asked_of(peer)]
    assert sorted(asked) == list(range(COUNT))
    assert set(brought.came) == set(mesh.peers), "all of them gave some"


@pytest.mark.parametrize("fault", [absent, unable, drops, busy, hangs, mute])
async def test_who_gives_nothing_holds_up_nobody_and_is_no_liar(
    tmp_path: Path, fault: Fault
) -> None:
    mesh = Mesh(tmp_path, [fault, None, fault])
    brought = await mesh.bring()
    assert brought.is_here
    assert brought.came == {mesh.peers[1]: COUNT}
    assert not any(mesh.bringer.is_shunned(peer) for peer in mesh.peers)


async def test_a_slow_peer_costs_its_chunks_alone(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [hangs, None])
    await mesh.bring()
    assert len(mesh.chunks_asked_of(mesh.peers[0])) <= bringing.LANES
    assert len(mesh.chunks_asked_of(mesh.peers[1])) == COUNT


@pytest.mark.parametrize("fault", [garbles, babbles])
async def test_a_chunk_that_is_a_lie_costs_that_chunk_and_its_giver_is_shunned(
    tmp_path: Path, fault: Fault
) -> None:
    mesh = Mesh(tmp_path, [fault, None])
    brought = await mesh.bring()
    assert brought.is_here
    assert len(mesh.chunks_asked_of(mesh.peers[0])) <= bringing.LANES
    assert mesh.bringer.is_shunned(mesh.peers[0])
    assert not mesh.bringer.is_shunned(mesh.peers[1])
    mesh.files.delete(NAME)
    mesh.asked[mesh.peers[0]].clear()
    assert (await mesh.bring()).is_here
    assert mesh.asked[mesh.peers[0]] == [], "for a while it is asked for nothing"


async def test_a_peer_that_lied_is_asked_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "SHUN_S", 0.0)
    mesh = Mesh(tmp_path, [garbles, None])
    await mesh.bring()
    assert not mesh.bringer.is_shunned(mesh.peers[0])


async def test_liars_that_agree_are_found_by_the_whole_and_the_blob_comes_all_the_same(
    tmp_path: Path,
) -> None:
    mesh = Mesh(tmp_path, [forger(), forger(), None])
    brought = await mesh.bring()
    assert brought.is_here
    assert mesh.files.get(NAME) == DATA
    assert [mesh.bringer.is_shunned(peer) for peer in mesh.peers] == [True, True, False]


async def test_true_chunks_that_liars_gave_are_not_fetched_again(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [forger(COUNT - 1), forger(COUNT - 1), None])
    brought = await mesh.bring()
    assert brought.is_here
    assert mesh.chunks_asked_of(mesh.peers[2]) == [COUNT - 1]
    assert brought.held == COUNT - 1


async def test_the_larger_camp_is_believed_first_so_a_lone_forger_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "SETTLE_S", 30.0)
    mesh = Mesh(tmp_path, [forger(), None, None])
    assert (await mesh.bring()).is_here
    assert mesh.chunks_asked_of(mesh.peers[0]) == []


async def test_liars_that_stop_in_the_middle_have_their_turn_taken(tmp_path: Path) -> None:
    forge = forger()

    async def stops(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        if is_chunk(question) and decode_question(question).index > 2:  # type: ignore[union-attr]
            await trio.sleep_forever()
        return await forge(question, honest)

    mesh = Mesh(tmp_path, [stops, stops, None])
    assert (await mesh.bring()).is_here
    assert mesh.files.get(NAME) == DATA
    assert not mesh.bringer.is_shunned(mesh.peers[2])


async def test_a_liar_that_gives_a_chunk_now_and_then_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "SETTLE_S", 30.0)
    forge, one_by_one = forger(), trio.Lock()

    async def dribbles(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        if is_chunk(question):
            async with one_by_one:
                await trio.sleep(bringing.STALL_S * 3 / 4)
        return await forge(question, honest)

    mesh = Mesh(tmp_path, [dribbles, None])
    assert (await mesh.bring()).is_here
    assert len(set(mesh.chunks_asked_of(mesh.peers[0]))) < COUNT / 2
    assert [mesh.bringer.is_shunned(peer) for peer in mesh.peers] == [True, False]


async def test_liars_that_take_all_turns_do_not_keep_who_is_right_from_being_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "STALL_S", 0.5)  # much more than what is right takes
    forge = forger()

    async def dribbles(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        if is_chunk(question):
            await trio.sleep(bringing.STALL_S * 20)
        return await forge(question, honest)

    mesh = Mesh(tmp_path, [dribbles] * bringing.SOURCES_MAX + [None])
    with trio.fail_after(bringing.STALL_S * 15):
        assert (await mesh.bring()).is_here


async def test_who_outlines_another_blob_has_lied_whether_or_not_it_was_asked_for_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "SETTLE_S", 30.0)
    mesh = Mesh(tmp_path, [forger(), None, None])
    assert (await mesh.bring()).is_here
    assert [mesh.bringer.is_shunned(peer) for peer in mesh.peers] == [True, False, False]


async def test_a_blob_that_could_not_be_kept_is_not_brought_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = Mesh(tmp_path, [None])

    def refuse(*_: object, **__: object) -> None:
        raise StoreError("its bucket is away")

    with monkeypatch.context() as patch:
        patch.setattr(mesh.files._place, "adopt", refuse)
        with pytest.raises(StoreError, match="is away"):
            await mesh.bring()
    assert mesh.files.used_bytes == len(DATA)
    mesh.asked[mesh.peers[0]].clear()
    assert (await mesh.bring()).is_here
    assert mesh.chunks_asked_of(mesh.peers[0]) == []
    assert mesh.files.get(NAME) == DATA
    assert mesh.files.used_bytes == len(DATA)


async def test_peers_that_ask_while_the_disk_hangs_keep_no_threads_from_all_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = Mesh(tmp_path, [None])
    sealed = SealedBlobs(mesh.files)
    server, go = ChunkServer(mesh.files, sealed, lambda: 0), threading.Event()
    mesh.files.put(DATA)
    await server.serve(ME, encode(OutlineAsked(digest=NAME)))

    def hang(*_: object) -> None:
        go.wait(60)

    monkeypatch.setattr(mesh.files, "get", hang)
    monkeypatch.setattr(mesh.files, "piece", hang)
    free = trio.to_thread.current_default_thread_limiter().available_tokens
    async with trio.open_nursery() as nursery:
        for index in range(COUNT):
            question = encode(ChunkAsked(digest=NAME, index=index))
            nursery.start_soon(server.serve, ME, question)
            nursery.start_soon(sealed.give, NAME)
        await trio.testing.wait_all_tasks_blocked(0.01)
        try:
            limiter = trio.to_thread.current_default_thread_limiter()
            assert limiter.available_tokens == free
        finally:
            go.set()


async def test_nobody_has_a_blob_read_as_a_whole_that_is_too_large_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = BlobFiles(tmp_path)
    files.put(DATA)
    monkeypatch.setattr(blobs_module, "BLOB_BYTES_MAX", len(DATA))
    sealed = SealedBlobs(files)
    blobs = Blobs(files, Mesh(tmp_path / "mesh", []).request, list, sealed)
    assert await sealed.give(NAME) == await blobs.get(NAME) == DATA
    monkeypatch.setattr(blobs_module, "BLOB_BYTES_MAX", len(DATA) - 1)
    assert await sealed.give(NAME) is await blobs.get(NAME) is None
    assert await blobs.fetch(NAME, 100) is None


async def test_nobody_is_called_a_liar_for_a_size_that_somebody_else_named(
    tmp_path: Path,
) -> None:
    mesh = Mesh(tmp_path, [None])
    assert not (await mesh.bring(len(DATA) - 1)).is_here
    assert not mesh.bringer.is_shunned(mesh.peers[0])
    assert mesh.files.used_bytes == 0


async def test_a_fetch_that_was_cut_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [None])
    given = 0

    async def cut(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        nonlocal given
        given += is_chunk(question)
        if given > 4:
            scope.cancel()
        return await honest()

    mesh.faults[mesh.peers[0]] = cut
    with trio.CancelScope() as scope:
        await mesh.bring()
    mesh.files = BlobFiles(tmp_path / "ours")
    mesh.bringer = Bringer(mesh.ask, mesh.files)
    mesh.faults[mesh.peers[0]] = None
    mesh.asked[mesh.peers[0]].clear()
    brought = await mesh.bring()
    assert brought.is_here
    assert brought.held >= 3
    assert len(mesh.chunks_asked_of(mesh.peers[0])) == COUNT - brought.held


async def test_what_came_before_all_sources_were_lost_stays(tmp_path: Path) -> None:
    left = 3

    async def dies(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        nonlocal left
        left -= is_chunk(question)
        return None if left < 0 else await honest()

    mesh = Mesh(tmp_path, [dies])
    brought = await mesh.bring()
    assert (brought.is_here, sum(brought.came.values())) == (False, 3)
    mesh.faults[mesh.peers[0]] = None
    assert (await mesh.bring()).held == 3


async def test_a_source_that_comes_late_takes_part(tmp_path: Path) -> None:
    go = trio.Event()

    async def late(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        if not is_chunk(question):
            await go.wait()
        return await honest()

    async def waits(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        if is_chunk(question) and decode_question(question).index > 1:  # type: ignore[union-attr]
            go.set()
            await trio.sleep_forever()
        return await honest()

    mesh = Mesh(tmp_path, [waits, late])
    brought = await mesh.bring()
    assert brought.is_here
    assert brought.came[mesh.peers[1]] >= COUNT - 2


async def test_without_room_the_fetch_ends_with_what_the_disk_says(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [None])
    mesh.bringer = Bringer(mesh.ask, BlobFiles(tmp_path / "small", quota_bytes=1000))
    with pytest.raises(StoreError, match="raise the quota"):
        await mesh.bring()


async def test_more_peers_than_are_asked_at_once_are_asked_in_turn(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [absent] * bringing.SOURCES_MAX + [None])
    assert (await mesh.bring()).is_here


FAULTS = [None, absent, unable, hangs, drops, garbles, babbles, busy, forger(), forger(4)]


@settings(max_examples=25, deadline=None)
@given(places=st.lists(st.integers(0, len(FAULTS) - 1), max_size=4), at=st.integers(0, 4))
async def test_with_one_honest_peer_whatever_the_others_are_the_right_bytes_come(
    places: list[int], at: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    faults: list[Fault | None] = [FAULTS[place] for place in places]
    faults.insert(at, None)
    mesh = Mesh(tmp_path_factory.mktemp("mesh"), faults)
    brought = await mesh.bring()
    assert brought.is_here
    assert mesh.files.get(NAME) == DATA
    honest = {peer for peer in mesh.peers if mesh.faults[peer] is None}
    assert not any(mesh.bringer.is_shunned(peer) for peer in honest)


# As the daemon uses it.


def blobs_of(mesh: Mesh) -> Blobs:
    return Blobs(mesh.files, mesh.request, lambda: mesh.peers, None, mesh.bringer)


async def test_a_large_blob_is_fetched_by_chunks_and_read(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [absent, None])
    assert await blobs_of(mesh).fetch(NAME, len(DATA)) == DATA
    assert mesh.whole == []


async def test_a_state_comes_although_who_is_heard_first_makes_its_chunks_up_and_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was given as long as the first who is heard has its turn, each time anew."""
    assert handed_states.FETCH_LARGE_S == 3 * 10.0, "three turns of who is heard first"
    monkeypatch.setattr(handed_states, "FETCH_S", bringing.STALL_S)
    monkeypatch.setattr(handed_states, "FETCH_LARGE_S", 3 * bringing.STALL_S)
    lie = forger()

    async def stalls(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        return await (hangs(question, honest) if is_chunk(question) else lie(question, honest))

    async def late(question: bytes, honest: Callable[[], Awaitable[bytes]]) -> bytes | None:
        await trio.sleep(0 if is_chunk(question) else 3 * bringing.SETTLE_S)
        return await honest()

    mesh = Mesh(tmp_path, [stalls, late])
    blobs = Blobs(mesh.files, mesh.request, lambda: mesh.peers, bringer=mesh.bringer)
    states = handed_states.HandedStates(mesh.files, blobs)
    with trio.fail_after(60):
        kept = await states.bring(FetchState(NAME, len(DATA), (mesh.peers[0],)))
    assert kept == KnownState(BEGINNING, NAME, len(DATA)), "here it is any bytes, and no state"


async def test_only_peers_that_know_no_chunks_are_asked_for_the_whole(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [absent, unable])
    assert await blobs_of(mesh).fetch(NAME, len(DATA)) is None
    assert set(mesh.whole) == {mesh.peers[1]}


async def test_a_full_store_asks_for_the_whole_which_needs_no_room(tmp_path: Path) -> None:
    mesh = Mesh(tmp_path, [None])
    mesh.files = BlobFiles(tmp_path / "small", quota_bytes=1000)
    mesh.bringer = Bringer(mesh.ask, mesh.files)
    assert await blobs_of(mesh).fetch(NAME, len(DATA)) is None
    assert set(mesh.whole) == {mesh.peers[0]}


async def test_a_blob_above_the_cap_of_what_is_read_is_brought_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_module, "BLOB_BYTES_MAX", len(DATA) - 1)
    mesh = Mesh(tmp_path, [None])
    blobs = blobs_of(mesh)
    assert await blobs.fetch(NAME, len(DATA)) is None
    assert await blobs.bring(NAME, len(DATA), is_synced=False) == len(DATA)
    assert not mesh.files.is_unsynced(NAME)
    assert await blobs.bring(NAME, len(DATA)) == len(DATA)
    assert await blobs.bring(Digest(bytes(32)), LARGE_BYTES_MAX + 1) is None


# The other end.


async def test_a_peer_is_given_no_more_as_a_whole_than_it_would_ask_for(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    most, more = bytes(WHOLE_BYTES_MAX), bytes(WHOLE_BYTES_MAX + 1)
    names = [files.put(most), files.put(more)]
    sealed = SealedBlobs(files)
    assert [await sealed.serve(name) for name in names] == [most, None]
    assert [await sealed.give(name) for name in names] == [most, more]


def server(folder: Path) -> tuple[ChunkServer, BlobFiles, SealedBlobs]:
    files = BlobFiles(folder, memory_bytes=0)
    files.put(DATA)
    sealed = SealedBlobs(files)
    return ChunkServer(files, sealed, lambda: 0), files, sealed


async def said(served: ChunkServer, question: OutlineAsked | ChunkAsked) -> bytes:
    return await served.serve(ME, encode(question))


async def test_what_is_sealed_is_not_even_outlined(tmp_path: Path) -> None:
    served, _, sealed = server(tmp_path)
    task = TaskId(b"t" * 32)
    sealed.seal(task, NAME)
    for question in (OutlineAsked(digest=NAME), ChunkAsked(digest=NAME, index=0)):
        assert await said(served, question) == encode(NotHere())
    sealed.open(task)
    assert await said(served, ChunkAsked(digest=NAME, index=9)) == encode(
        ChunkGiven(data=CHUNKS[9])
    )
    assert await said(served, ChunkAsked(digest=NAME, index=10)) == encode(NotHere())


async def test_a_damaged_blob_is_not_served_as_if_it_were_true(tmp_path: Path) -> None:
    served, files, _ = server(tmp_path)
    assert await said(served, ChunkAsked(digest=NAME, index=3)) == encode(
        ChunkGiven(data=CHUNKS[3])
    )
    place = tmp_path / NAME.hex()[:2] / NAME.hex()[2:]
    place.write_bytes(DATA[: 3 * CHUNK_BYTES] + bytes(len(DATA) - 3 * CHUNK_BYTES))
    assert await said(served, ChunkAsked(digest=NAME, index=3)) == encode(NotHere())
    assert files.size_of(NAME) is None
    assert await said(served, ChunkAsked(digest=NAME, index=0)) == encode(NotHere())


async def test_a_peer_can_have_so_much_hashed_in_a_minute_and_others_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "HASHED_BYTES_MAX", 2 * len(DATA))
    monkeypatch.setattr(outlines, "OUTLINES_BYTES_MAX", outlines.ENTRY_BYTES + len(OUTLINE.leaves))
    files, now_ms = BlobFiles(tmp_path), [0]
    other = files.put(DATA[1:])
    files.put(DATA)
    served = ChunkServer(files, SealedBlobs(files), lambda: now_ms[0])
    names = [NAME, Digest(other)] * 2
    answers = [await said(served, OutlineAsked(digest=name)) for name in names]
    assert [each == encode(AskLater()) for each in answers] == [False, False, True, False]
    asked = encode(OutlineAsked(digest=NAME))
    assert await served.serve(NODES[0], asked) != encode(AskLater())
    assert await served.serve(ME, asked) != encode(AskLater()), "it is in memory by now"
    now_ms[0] = serving.HASHED_MS
    assert await said(served, OutlineAsked(digest=Digest(other))) != encode(AskLater())
