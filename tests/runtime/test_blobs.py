"""Blobs come from here, from holders, or from anybody; failures cost time, never the node."""

import hashlib
from pathlib import Path

import pytest
import trio
import trio.testing

from ambientd.adapters.blob_files import BlobFiles
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.runtime import blobs as module
from ambientd.runtime.blobs import Blobs, SealedBlobs

DATA = b"a blob that somebody holds"
NAME = Digest(hashlib.sha256(DATA).digest())
A, B, C = (NodeId(letter * 32) for letter in (b"a", b"b", b"c"))


class Mesh:
    """Peers that hold DATA; what a peer lacks or lies about comes as None, as the port says."""

    def __init__(self, *holders: NodeId) -> None:
        self.holders = set(holders)
        self.asked: list[NodeId] = []

    async def request(self, peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        self.asked.append(peer)
        await trio.lowlevel.checkpoint()
        return DATA if peer in self.holders and digest == NAME else None


def blobs_of(folder: Path, mesh: Mesh, quota_bytes: int = 1 << 20) -> Blobs:
    files = BlobFiles(folder, quota_bytes=quota_bytes)
    return Blobs(files, mesh.request, lambda: [A, B, C])


async def test_a_blob_that_is_here_is_not_asked_for(tmp_path: Path) -> None:
    mesh = Mesh()
    blobs = blobs_of(tmp_path, mesh)
    assert await blobs.put(DATA) == NAME
    assert await blobs.get(NAME) == await blobs.fetch(NAME, len(DATA)) == DATA
    assert mesh.asked == []


async def test_holders_are_asked_first_then_everybody_once(tmp_path: Path) -> None:
    mesh = Mesh(C)
    blobs = blobs_of(tmp_path, mesh)
    assert await blobs.fetch(NAME, len(DATA), (B,)) == DATA
    assert mesh.asked == [B, A, C]
    assert await blobs.get(NAME) == DATA, "what was fetched is kept"


async def test_a_blob_that_nobody_holds_is_given_up_after_three_rounds(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FETCH_PAUSE_S", 0.001)
    mesh = Mesh()
    assert await blobs_of(tmp_path, mesh).fetch(NAME, len(DATA), (B,)) is None
    assert mesh.asked == [B, A, C] * 3


async def test_a_blob_above_the_cap_is_not_even_asked_for(tmp_path: Path) -> None:
    mesh = Mesh(A)
    assert await blobs_of(tmp_path, mesh).fetch(NAME, module.BLOB_BYTES_MAX + 1) is None
    assert mesh.asked == []


async def test_a_small_blob_that_came_by_itself_is_not_asked_for(tmp_path: Path) -> None:
    mesh = Mesh(B)
    blobs = blobs_of(tmp_path, mesh)
    blobs.parcels.put(B, NAME, DATA)
    assert await blobs.fetch(NAME, len(DATA), (B,)) == DATA
    assert mesh.asked == []
    assert await blobs.get(NAME) == DATA, "what came is kept"


async def test_a_small_blob_that_does_not_come_is_asked_for_soon(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    mesh = Mesh(B)
    # `put` is a thread's: virtual time must not run meanwhile.
    begin_s = trio.current_time()
    assert await blobs_of(tmp_path, mesh).fetch(NAME, len(DATA), (B,)) == DATA
    assert mesh.asked == [B]
    assert trio.current_time() - begin_s < 1


@pytest.mark.parametrize("holders", [(C,), ()])
async def test_those_who_want_the_same_blob_at_once_share_one_fetch(
    tmp_path: Path, holders: tuple[NodeId, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FETCH_PAUSE_S", 0)
    mesh = Mesh(*holders)
    blobs = blobs_of(tmp_path, mesh)
    found: list[bytes | None] = []

    async def fetch() -> None:
        found.append(await blobs.fetch(NAME, len(DATA)))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(fetch)
    assert found == [DATA if holders else None] * 5
    if holders:
        assert mesh.asked == [A, B, C]


async def test_a_cancelled_fetch_leaves_the_next_one_free(tmp_path: Path) -> None:
    mesh = Mesh(A)
    blobs = blobs_of(tmp_path, mesh)
    with trio.CancelScope() as scope:
        scope.cancel()
        await blobs.fetch(NAME, len(DATA))
    assert await blobs.fetch(NAME, len(DATA)) == DATA


async def test_a_full_folder_keeps_no_blob_and_gives_it_all_the_same(tmp_path: Path) -> None:
    blobs = blobs_of(tmp_path, Mesh(A), quota_bytes=3)
    assert await blobs.fetch(NAME, len(DATA)) == DATA
    assert await blobs.get(NAME) is None


async def test_a_sealed_output_is_served_only_once_its_task_lets_it_go(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    sealed = SealedBlobs(files)
    name = files.put(b"answer")
    one, two = TaskId(b"1" * 32), TaskId(b"2" * 32)
    sealed.seal(one, name)
    sealed.seal(two, name)
    assert await sealed.serve(name) is None
    sealed.open(one)
    assert await sealed.serve(name) is None
    sealed.open(two)
    assert await sealed.serve(name) == b"answer"


async def test_a_blob_that_is_here_unsynced_is_synced_for_who_needs_it_durably(
    tmp_path: Path,
) -> None:
    files = BlobFiles(tmp_path)
    blobs = Blobs(files, Mesh(A).request, lambda: [A])
    assert await blobs.fetch(NAME, len(DATA), is_synced=False) == DATA
    assert files.is_unsynced(NAME)
    assert await blobs.fetch(NAME, len(DATA), is_synced=False) == DATA
    assert files.is_unsynced(NAME)
    assert await blobs.fetch(NAME, len(DATA)) == DATA
    assert not files.is_unsynced(NAME)


async def test_what_a_power_cut_left_of_a_blob_does_not_count_as_here(tmp_path: Path) -> None:
    file = tmp_path / NAME.hex()[:2] / NAME.hex()[2:]
    file.parent.mkdir()
    file.touch()
    mesh = Mesh(A)
    blobs = blobs_of(tmp_path, mesh)
    assert await blobs.bring(NAME, len(DATA)) == len(DATA)
    assert mesh.asked == [A]
    assert await blobs.bring(NAME, len(DATA)) == len(DATA)
    assert mesh.asked == [A]
