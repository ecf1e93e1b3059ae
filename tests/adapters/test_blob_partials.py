"""Chunks that came stay, whatever ends the daemon; they take room within the quota, and no more."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ambientd.adapters.blob_partials import PARTIAL_KEPT_MS, PARTIALS_MAX
from ambientd.codec.chunks import Outline, outlined
from ambientd.errors import StoreError
from ambientd.model.chunk import CHUNK_BYTES
from ambientd.ports.retention import SweepPlan
from tests.adapters.byte_blobs import BlobFiles

DATA = random.Random(3).randbytes(3 * CHUNK_BYTES + 77)
CHUNKS = [DATA[start : start + CHUNK_BYTES] for start in range(0, len(DATA), CHUNK_BYTES)]
OUTLINE, NAME = outlined(CHUNKS)


def begun(files: BlobFiles, *indexes: int) -> None:
    """Leave a partial blob with these chunks."""
    partial = files.partial(NAME)
    partial.open(OUTLINE)
    for index in indexes:
        assert partial.take(index, CHUNKS[index])
    partial.close()


def test_a_blob_is_there_once_its_last_chunk_is_and_its_hash_is_right(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    partial = files.partial(NAME)
    assert partial.open(OUTLINE) == frozenset()
    for index in (3, 1, 0):
        assert partial.take(index, CHUNKS[index])
    assert not partial.finish(is_synced=True)
    assert files.size_of(NAME) is None
    assert partial.take(2, CHUNKS[2])
    assert partial.finish(is_synced=True)
    partial.close()
    assert files.get(NAME) == DATA
    assert files.used_bytes == len(DATA) == BlobFiles(tmp_path).used_bytes
    assert list((tmp_path / "partial").iterdir()) == []


@pytest.mark.parametrize("is_synced", [True, False])
def test_a_blob_counts_as_durable_where_it_was_forced_to_disk(
    tmp_path: Path, is_synced: bool
) -> None:
    files = BlobFiles(tmp_path)
    begun(files, 0, 1, 2, 3)
    partial = files.partial(NAME)
    assert partial.open(OUTLINE) == {0, 1, 2, 3}
    assert partial.finish(is_synced=is_synced)
    assert files.is_unsynced(NAME) == (not is_synced)


def test_a_chunk_with_other_bytes_is_not_taken(tmp_path: Path) -> None:
    partial = BlobFiles(tmp_path).partial(NAME)
    partial.open(OUTLINE)
    assert not partial.take(0, CHUNKS[1])
    assert not partial.take(3, CHUNKS[3] + b"\0")
    assert partial.open(OUTLINE) == frozenset()


def test_chunks_are_found_again_by_the_next_process(tmp_path: Path) -> None:
    begun(BlobFiles(tmp_path), 0, 2)
    files = BlobFiles(tmp_path)
    assert files.used_bytes == len(DATA)
    assert files.partial(NAME).open(OUTLINE) == {0, 2}


def test_what_a_crash_left_under_both_names_is_the_blob_alone(tmp_path: Path) -> None:
    assert BlobFiles(tmp_path).put(DATA) == NAME
    text = NAME.hex()
    os.link(tmp_path / text[:2] / text[2:], tmp_path / "partial" / text)
    files = BlobFiles(tmp_path)
    assert files.used_bytes == len(DATA)
    partial = files.partial(NAME)
    assert partial.open(outlined([b"a lie about its size"])[0]) == frozenset()
    partial.close()
    assert BlobFiles(tmp_path).get(NAME) == DATA


def test_a_disk_that_refuses_to_remove_ends_no_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(files := BlobFiles(tmp_path, quota_bytes=len(DATA)), 0)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    other = files.partial(bytes(32))
    with pytest.raises(StoreError, match="Read-only"):
        other.open(OUTLINE)
    other.close()


def test_a_torn_chunk_is_not_counted(tmp_path: Path) -> None:
    begun(BlobFiles(tmp_path), 0, 1)
    with (tmp_path / "partial" / NAME.hex()).open("r+b") as file:
        file.seek(CHUNK_BYTES + 100)
        file.write(bytes(50))
    assert BlobFiles(tmp_path).partial(NAME).open(OUTLINE) == {0}


def test_what_fits_another_outline_stays_when_the_first_was_false(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    false = [CHUNKS[0], bytes(CHUNK_BYTES), *CHUNKS[2:]]
    partial = files.partial(NAME)
    partial.open(outlined(false)[0])
    for index, chunk in enumerate(false):
        assert partial.take(index, chunk)
    assert not partial.finish(is_synced=True)
    assert partial.open(OUTLINE) == {0, 2, 3}
    assert partial.take(1, CHUNKS[1])
    assert partial.finish(is_synced=True)
    assert files.get(NAME) == DATA


def test_a_longer_false_outline_leaves_nothing_behind_the_true_ones_end(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    partial = files.partial(NAME)
    partial.open(outlined([*CHUNKS[:3], bytes(CHUNK_BYTES), b"more"])[0])
    assert files.used_bytes == 4 * CHUNK_BYTES + 4
    partial.open(OUTLINE)
    for index, chunk in enumerate(CHUNKS):
        partial.take(index, chunk)
    assert partial.finish(is_synced=True)
    assert files.used_bytes == len(DATA)


def test_what_does_not_fit_into_the_quota_is_not_begun(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path, quota_bytes=len(DATA) - 1)
    partial = files.partial(NAME)
    with pytest.raises(StoreError, match="raise the quota"):
        partial.open(OUTLINE)
    partial.close()
    assert files.used_bytes == 0
    assert list((tmp_path / "partial").iterdir()) == []


def test_left_partial_blobs_make_way_before_whole_ones_and_growing_ones_do_not(
    tmp_path: Path,
) -> None:
    files = BlobFiles(tmp_path, quota_bytes=2 * len(DATA) + 100)
    old = files.put(b"old" * 20)
    begun(files, 0)
    growing = files.partial(bytes(32))
    growing.open(OUTLINE)
    files.put(b"x" * 100)
    assert [each.name for each in (tmp_path / "partial").iterdir()] == [bytes(32).hex()]
    assert files.get(old) is not None
    with pytest.raises(StoreError):
        files.put(bytes(2 * len(DATA)))
    assert growing.take(0, CHUNKS[0])
    growing.close()


def test_only_so_many_are_left_lying(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    small = Outline(10, outlined([bytes(10)])[0].leaves)
    for number in range(PARTIALS_MAX + 5):
        partial = files.partial(bytes([number]) * 32)
        partial.open(small)
        partial.close()
    names = sorted(each.name for each in (tmp_path / "partial").iterdir())
    assert names == [(bytes([number]) * 32).hex() for number in range(5, PARTIALS_MAX + 5)]
    assert files.used_bytes == 10 * PARTIALS_MAX


def test_a_sweep_removes_what_was_left_for_a_day(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path)
    begun(files, 0)
    noted_ms = (tmp_path / "partial" / NAME.hex()).stat().st_mtime_ns // 1_000_000
    for late, used in ((0, len(DATA)), (1, 0)):
        now_ms = noted_ms + PARTIAL_KEPT_MS + late
        files.begin_sweep()
        files.sweep(SweepPlan(frozenset(), {}, 1, now_ms, 0, 16))
        assert files.used_bytes == used


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"mine")
    files = BlobFiles(tmp_path / "blobs")
    os.symlink(tmp_path / "elsewhere", tmp_path / "blobs" / "partial" / NAME.hex())
    with pytest.raises(StoreError):
        files.partial(NAME).open(OUTLINE)
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    partial = BlobFiles(tmp_path).partial(NAME)
    partial.open(OUTLINE)
    partial._handle, handle = os.open(os.devnull, os.O_RDONLY), partial._handle
    with pytest.raises(StoreError, match="cannot keep chunks"):
        partial.take(0, CHUNKS[0])
    os.close(handle)
    partial.close()


def test_pieces_and_outlines_are_those_of_the_blob_and_damage_is_moved_aside(
    tmp_path: Path,
) -> None:
    files = BlobFiles(tmp_path, memory_bytes=0)
    assert files.put(DATA) == NAME
    assert files.outline(NAME) == OUTLINE
    assert files.piece(NAME, CHUNK_BYTES, CHUNK_BYTES) == CHUNKS[1]
    assert files.piece(NAME, 3 * CHUNK_BYTES, CHUNK_BYTES) == CHUNKS[3]
    assert files.piece(NAME, 1 << 40, 10) == b""
    assert files.piece(bytes(32), 0, 10) is None
    assert files.outline(bytes(32)) is None
    place = tmp_path / NAME.hex()[:2] / NAME.hex()[2:]
    place.write_bytes(DATA[:-1] + b"\0")
    assert files.outline(NAME) is None
    assert files.size_of(NAME) is None
    assert (tmp_path / "damaged" / NAME.hex()).exists()


GROWN = """
import hashlib, resource, sys
from pathlib import Path
from ambientd.adapters.blob_files import BlobFiles
from ambientd.codec.chunks import outlined
from ambientd.model.chunk import CHUNK_BYTES

def chunks():
    for number in range(256):
        yield number.to_bytes(4, "big") * (CHUNK_BYTES // 4)

outline, name = outlined(chunks())
files = BlobFiles(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
partial = files.partial(name)
partial.open(outline)
for index, chunk in enumerate(chunks()):
    assert partial.take(index, chunk)
partial.close()
partial = files.partial(name)
assert len(partial.open(outline)) == 256
assert partial.finish(is_synced=False)
assert files.outline(name) == outline
assert files.size_of(name) == 64 << 20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_64_mib_grow_resume_and_are_outlined_within_4_mib_of_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GROWN, tmp_path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 4 * 1024
