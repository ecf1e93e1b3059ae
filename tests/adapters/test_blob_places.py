"""One contract on both places of blobs: a folder, and a bucket of an independent S3 server."""

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ambientd.adapters.blob_bucket import BlobBucket
from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.blob_places import open_blobs
from ambientd.codec.chunks import outlined
from ambientd.errors import ConfigError, StoreError, UsageError
from ambientd.model.base import NodeId
from ambientd.model.chunk import CHUNK_BYTES
from ambientd.ports.retention import SweepPlan
from tests.adapters.s3_server import BUCKET

pytestmark = [pytest.mark.net, pytest.mark.slow]

NODE, OTHER = NodeId(b"\xaa" * 32), NodeId(b"\xbb" * 32)
LARGE = random.Random(9).randbytes(34 * CHUNK_BYTES + 5)
"""More than one part of an upload, and of a read."""
DAY_MS = 86_400_000


def name_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


@dataclass(frozen=True)
class Ground:
    """A place of blobs, which opens as often as a daemon starts."""

    root: Path
    url: str

    def open(self, quota_bytes: int = 1 << 30, node: NodeId = NODE) -> BlobFiles:
        """Start anew; nothing of small blobs is left in memory."""
        files = open_blobs(self.root / node.hex()[:2], self.url, node, quota_bytes, block_bytes=1)
        files._memory_bytes_max = 0
        return files

    def spoil(self, name: bytes, data: bytes | None) -> None:
        """Have other bytes where a blob is, or none."""
        text = name.hex()
        key = f"{text[:2]}/{text[2:]}"
        if self.url:
            import obstore

            from ambientd.adapters.s3_copies import bucket_and_prefix, store_of

            bucket, prefix = bucket_and_prefix(self.url)
            store = store_of(bucket, f"{prefix}/{NODE.hex()}")
            if data is None:
                obstore.delete(store, key)
            else:
                obstore.put(store, key, data)
        elif data is None:
            (self.root / NODE.hex()[:2] / key).unlink()
        else:
            (self.root / NODE.hex()[:2] / key).write_bytes(data)


@pytest.fixture(params=["folder", "bucket"])
def ground(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Ground:
    """Give an empty place."""
    if request.param == "folder":
        return Ground(tmp_path, "")
    for name, value in request.getfixturevalue("server").items():
        monkeypatch.setenv(name, value)
    return Ground(tmp_path, f"s3://{BUCKET}/{tmp_path.name}")


def test_a_blob_is_named_by_its_hash_and_is_there_after_a_restart(ground: Ground) -> None:
    files = ground.open()
    name = files.put(b"some bytes")
    assert name == name_of(b"some bytes")
    assert files.put(b"some bytes") == name
    again = ground.open()
    assert again.get(name) == b"some bytes"
    assert again.has(name)
    assert (again.size_of(name), again.used_bytes) == (10, files.used_bytes) == (10, 10)


def test_an_unknown_blob_is_none_and_a_malformed_name_an_error(ground: Ground) -> None:
    files = ground.open()
    unknown = bytes(32)
    assert files.get(unknown) is files.outline(unknown) is files.piece(unknown, 0, 1) is None
    assert not files.has(unknown)
    files.delete(unknown)
    with pytest.raises(UsageError, match="32 bytes"):
        files.get(b"../")


def test_wrong_bytes_are_set_aside_and_the_right_ones_come_back(ground: Ground) -> None:
    name = ground.open().put(b"right")
    ground.spoil(name, b"wrong")
    files = ground.open()
    assert files.get(name) is None
    assert not files.has(name)
    assert files.used_bytes == 0
    assert files.put(b"right") == name
    assert ground.open().get(name) == b"right"


def test_what_somebody_else_removed_is_not_here_and_comes_back(ground: Ground) -> None:
    files = ground.open()
    name = files.put(LARGE)
    ground.spoil(name, None)
    assert files.piece(name, 0, 10) is None
    assert (files.size_of(name), files.used_bytes) == (None, 0)
    assert files.put(LARGE) == name
    assert (files.get(name), files.used_bytes) == (LARGE, len(LARGE))


def test_pieces_and_outlines_of_a_large_blob_are_read_in_parts(ground: Ground) -> None:
    files = ground.open()
    name = files.put(LARGE)
    starts = range(0, len(LARGE), CHUNK_BYTES)
    outline, _ = outlined(LARGE[start : start + CHUNK_BYTES] for start in starts)
    assert files.outline(name) == outline
    assert files.piece(name, CHUNK_BYTES, 10) == LARGE[CHUNK_BYTES : CHUNK_BYTES + 10]
    assert files.piece(name, len(LARGE) - 3, 10) == LARGE[-3:]
    assert files.piece(name, len(LARGE), 10) == b""
    assert files.get(name) == LARGE


def test_the_longest_unused_goes_when_the_quota_is_full_and_can_come_back(ground: Ground) -> None:
    files = ground.open(quota_bytes=100)
    names = [files.put(bytes([each]) * 40) for each in range(2)]
    assert files.get(names[0]) is not None
    third = files.put(bytes([7]) * 40)
    assert [files.has(name) for name in (*names, third)] == [True, False, True]
    assert files.get(names[1]) is None
    assert files.put(bytes([1]) * 40) == names[1]
    assert ground.open().get(names[1]) == bytes([1]) * 40
    with pytest.raises(StoreError, match="raise the quota"):
        files.put(bytes(101))


def test_a_removed_blob_is_gone_after_a_restart_too(ground: Ground) -> None:
    files = ground.open()
    name = files.put(b"gone")
    files.delete(name)
    assert files.get(name) is None
    files.put(b"another")
    assert not ground.open().has(name)


def test_a_draft_becomes_a_blob_or_nothing(ground: Ground) -> None:
    files = ground.open()
    draft = files.begin()
    for start in range(0, len(LARGE), 1_000_000):
        draft.write(LARGE[start : start + 1_000_000])
    assert draft.keep(name_of(LARGE)) == len(LARGE)
    draft.drop()
    wrong = files.begin()
    wrong.write(b"other bytes")
    with pytest.raises(UsageError, match="their SHA-256 is"):
        wrong.keep(name_of(LARGE))
    wrong.drop()
    again = ground.open()
    assert again.get(name_of(LARGE)) == LARGE
    assert again.used_bytes == files.used_bytes == len(LARGE)


def test_a_blob_that_came_by_chunks_is_a_blob(ground: Ground) -> None:
    starts = range(0, len(LARGE), CHUNK_BYTES)
    chunks = [LARGE[start : start + CHUNK_BYTES] for start in starts]
    outline, name = outlined(chunks)
    partial = ground.open().partial(name)
    partial.open(outline)
    for index, chunk in enumerate(chunks[:20]):
        assert partial.take(index, chunk)
    partial.close()
    files = ground.open()
    partial = files.partial(name)
    assert partial.open(outline) == set(range(20))
    for index in range(20, len(chunks)):
        assert partial.take(index, chunks[index])
    assert partial.finish(is_synced=True)
    partial.close()
    assert not files.is_unsynced(name)
    assert ground.open().get(name) == LARGE
    assert files.used_bytes == len(LARGE)


def swept(files: BlobFiles, now_ms: int, held: frozenset[bytes] = frozenset()) -> int:
    files.begin_sweep()
    return sum(files.sweep(SweepPlan(held, {}, DAY_MS, now_ms, part, 16)) for part in range(16))


def test_a_sweep_removes_what_nobody_needed_for_its_time_and_remembers_who_did(
    ground: Ground,
) -> None:
    files = ground.open()
    old, pinned = files.put(b"old"), files.put(b"pinned")
    now_ms = files._place.noted_ms(old)
    assert swept(files, now_ms + DAY_MS - 1) == 0
    far_ms = now_ms + 10 * DAY_MS
    assert swept(files, far_ms, frozenset({pinned})) == 1
    again = ground.open()
    assert [again.has(name) for name in (old, pinned)] == [False, True]
    assert swept(again, far_ms + DAY_MS // 2) == 0, "it was needed at the last sweep"
    assert swept(again, far_ms + 2 * DAY_MS) == 1
    assert ground.open().used_bytes == 0


def test_threads_that_put_the_same_blob_at_once_take_its_room_once(ground: Ground) -> None:
    files = ground.open()
    data = bytes(range(256)) * 400
    go = threading.Barrier(6)

    def put() -> None:
        go.wait()
        files.put(data)

    threads = [threading.Thread(target=put) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert files.used_bytes == len(data)
    assert files.get(name_of(data)) == data


def test_two_nodes_share_a_place_and_nothing_in_it(ground: Ground) -> None:
    mine, theirs = ground.open(), ground.open(node=OTHER)
    name = mine.put(b"both")
    assert not theirs.has(name)
    theirs.put(b"both")
    theirs.delete(name)
    theirs.put(b"else")
    assert ground.open().get(name) == b"both"


@pytest.mark.parametrize("url", ["s3://", "s3:///folder", "s3://-/folder", "file:///folder"])
def test_what_names_no_bucket_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a bucket"):
        open_blobs(tmp_path, url, NODE, 1000)


def test_a_bucket_that_cannot_be_reached_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: dict[str, str]
) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match="s3://no-such-bucket/x/aaaa"):
        open_blobs(tmp_path, "s3://no-such-bucket/x", NODE, 1000)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "not an address")
    with pytest.raises((ConfigError, StoreError)):
        open_blobs(tmp_path, "s3://bucket/x", NODE, 1000)


def test_a_removal_waits_for_nothing_and_a_failed_one_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: dict[str, str]
) -> None:
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    url = f"s3://{BUCKET}/{tmp_path.name}"
    bucket = BlobBucket(url, NODE, tmp_path)
    gone = name_of(b"gone")
    bucket.write(gone, b"gone", tmp_path, is_synced=True)
    away: Callable[..., object] = BlobBucket("s3://no-such-bucket", NODE, tmp_path)._store
    store, bucket._store = bucket._store, away  # type: ignore[assignment]
    bucket.remove(gone)
    bucket.settle()
    with pytest.raises(FileNotFoundError):
        bucket.read(gone)
    bucket._store = store
    bucket.settle()
    assert gone not in BlobBucket(url, NODE, tmp_path).sizes()
