"""Blob files: names, quotas, damage, threads."""

import errno
import hashlib
import logging
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters import blob_files, blob_folder
from ambientd.adapters.blob_files import BLOCK_BYTES, MEMORY_ENTRY_BYTES
from ambientd.errors import StoreError, UsageError
from tests.adapters.byte_blobs import BlobFiles


def noted_syncs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give a list that fills with the path of whatever is forced to disk from now on."""
    synced: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    return synced


def file_of(blobs: BlobFiles, name: bytes) -> Path:
    return blobs.root / name.hex()[:2] / name.hex()[2:]


def test_bytes_that_were_checked_on_their_way_are_kept_by_their_name(tmp_path: Path) -> None:
    files = BlobFiles(tmp_path, quota_bytes=1 << 20)
    data = b"an update" * 50_000
    name, said = hashlib.sha256(data).digest(), hashlib.sha256(b"what was said").digest()
    assert files.put(data, is_synced=False, name=name) == name
    assert BlobFiles(tmp_path, quota_bytes=1 << 20).get(name) == data
    files.put(b"other bytes", name=said)
    again = BlobFiles(tmp_path, quota_bytes=1 << 20)
    assert again.get(said) is None, "whoever reads it from disk checks it"


def test_a_blob_is_named_by_its_hash_and_survives_reopening(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path / "blobs")
    data = os.urandom(200_000)
    name = blobs.put(data)
    assert name == hashlib.sha256(data).digest()
    assert blobs.put(data) == name
    assert blobs.get(name) == data
    again = BlobFiles(tmp_path / "blobs")
    assert again.get(name) == data
    assert again.has(name)
    assert again.used_bytes == blobs.used_bytes == 200_000
    assert stat.S_IMODE(file_of(again, name).stat().st_mode) == 0o600


def test_an_unknown_blob_is_none_and_a_malformed_name_is_an_error(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path)
    assert blobs.get(bytes(32)) is None
    assert not blobs.has(bytes(32))
    blobs.delete(bytes(32))
    for use in (blobs.get, blobs.has, blobs.delete):
        with pytest.raises(UsageError, match="32 bytes, not 3"):
            use(b"../")


@pytest.mark.parametrize("size", [10, 100_000])
def test_wrong_bytes_are_set_aside_and_the_right_ones_can_come_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    data = os.urandom(size)
    name = BlobFiles(tmp_path).put(data)
    blobs = BlobFiles(tmp_path)
    file_of(blobs, name).write_bytes(b"\0" * size)
    with caplog.at_level(logging.ERROR):
        assert blobs.get(name) is None
    assert name.hex() in caplog.text
    assert (tmp_path / "damaged" / name.hex()).read_bytes() == b"\0" * size
    assert not blobs.has(name)
    assert blobs.used_bytes == 0
    assert blobs.put(data) == name
    assert blobs.get(name) == data


def test_a_damaged_blob_is_repaired_by_putting_it_again(tmp_path: Path) -> None:
    name = BlobFiles(tmp_path).put(b"right")
    blobs = BlobFiles(tmp_path)
    file_of(blobs, name).write_bytes(b"wrong bytes")
    assert blobs.put(b"right") == name
    assert file_of(blobs, name).read_bytes() == b"right"


def test_only_some_damaged_files_are_kept(tmp_path: Path) -> None:
    names = [BlobFiles(tmp_path).put(b"%d" % number) for number in range(40)]
    blobs = BlobFiles(tmp_path)
    for name in names:
        file_of(blobs, name).write_bytes(b"?")
        assert blobs.get(name) is None
    assert len(list((tmp_path / "damaged").iterdir())) == blob_folder.DAMAGED_FILES_MAX


def test_a_blob_above_the_cap_is_refused(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, blob_bytes_max=10)
    blobs.put(bytes(10))
    with pytest.raises(UsageError, match="has 11 bytes, this node keeps at most 10"):
        blobs.put(bytes(11))


def test_the_blobs_that_nobody_used_for_longest_make_way(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, quota_bytes=100, memory_bytes=0)
    first, second = blobs.put(b"a" * 40), blobs.put(b"b" * 40)
    assert blobs.get(first) == b"a" * 40
    third = blobs.put(b"c" * 40)
    assert [blobs.has(name) for name in (first, second, third)] == [True, False, True]
    assert blobs.used_bytes == 80


def test_a_restart_remembers_which_blobs_are_old(tmp_path: Path) -> None:
    names = [BlobFiles(tmp_path).put(bytes([each]) * 40) for each in range(2)]
    os.utime(tmp_path / names[1].hex()[:2] / names[1].hex()[2:], (1, 1))
    blobs = BlobFiles(tmp_path, quota_bytes=100)
    blobs.put(b"new" * 13)
    assert [blobs.has(name) for name in names] == [True, False]


def test_a_blob_above_the_whole_quota_is_refused(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, quota_bytes=100)
    first = blobs.put(b"a" * 60)
    with pytest.raises(StoreError, match="110 more do not fit: raise the quota"):
        blobs.put(b"b" * 110)
    blobs.delete(first)
    assert blobs.get(first) is None
    assert blobs.used_bytes == 0


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(StoreError, match="make room on its disk"):
            blobs.put(os.urandom(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert blobs.used_bytes == 0
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_drafts_of_a_crash_are_removed_at_the_start(tmp_path: Path) -> None:
    BlobFiles(tmp_path)
    (tmp_path / "draft" / "1.0").write_bytes(b"half")
    assert BlobFiles(tmp_path).used_bytes == 0
    assert list((tmp_path / "draft").iterdir()) == []


def test_a_place_that_cannot_hold_blobs_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot use the blob folder"):
        BlobFiles(tmp_path / "file")
    blobs = BlobFiles(tmp_path / "blobs")
    name = hashlib.sha256(b"x").digest()
    file_of(blobs, name).mkdir(parents=True)
    with pytest.raises(StoreError, match="cannot read blob"):
        blobs.get(name)


def test_memory_holds_the_recent_small_ones_within_its_cap(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, memory_bytes=100 + 3 * MEMORY_ENTRY_BYTES)
    names = [blobs.put(bytes([number]) * 30) for number in range(10)]
    for name in names:
        file_of(blobs, name).unlink()
    assert [blobs.get(name) is not None for name in names] == [False] * 7 + [True] * 3


def test_tiny_blobs_take_more_of_memory_than_their_bytes(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, memory_bytes=20 * MEMORY_ENTRY_BYTES)
    for number in range(100):
        blobs.put(bytes([number]))
    assert len(blobs._memory) == len(blobs._noted) == 19


def test_many_threads_may_put_the_same_blobs(tmp_path: Path) -> None:
    blobs = BlobFiles(tmp_path, memory_bytes=0)
    data = [bytes([number]) * 1000 for number in range(8)]
    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(blobs.put, data * 8))
    assert names == [hashlib.sha256(each).digest() for each in data] * 8
    assert blobs.used_bytes == 8000 == BlobFiles(tmp_path).used_bytes


@settings(max_examples=30, deadline=None)
@given(data=st.lists(st.binary(max_size=200), max_size=10))
def test_everything_put_is_given_back(
    tmp_path_factory: pytest.TempPathFactory, data: list[bytes]
) -> None:
    blobs = BlobFiles(tmp_path_factory.mktemp("blobs"), memory_bytes=300 + MEMORY_ENTRY_BYTES)
    names = [blobs.put(each) for each in data]
    assert [blobs.get(name) for name in names] == data


def test_what_was_not_forced_to_disk_is_once_it_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        synced.append(handle)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noting)
    files = BlobFiles(tmp_path)
    files.put(b"the first in its folder")
    del synced[:]
    name = files.put(b"brought", is_synced=False)
    assert not files.is_fresh(name), "it may be put as if it were not here"
    before = len(synced)
    assert files.put(b"brought") == name
    assert len(synced) == before + 3, "the file, its name, and its folder's"
    assert files.is_fresh(name)
    files.put(b"brought")
    assert len(synced) == before + 3
    assert BlobFiles(tmp_path).get(name) == b"brought"


def test_a_folder_that_was_made_without_force_is_durable_once_a_blob_in_it_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = noted_syncs(monkeypatch)
    files = BlobFiles(tmp_path)
    del synced[:]
    name = files.put(b"brought", is_synced=False)
    assert synced == []
    folder = file_of(files, name).parent
    other = next(
        each
        for each in (b"%d" % number for number in range(10_000))
        if hashlib.sha256(each).digest()[0] == name[0]
    )
    files.put(other)
    assert synced[1:] == [str(tmp_path), str(folder)], "the folder's name, too"
    files.put(b"brought")
    assert synced[4:] == [str(folder)], "the folder's name is durable by now"


@pytest.mark.parametrize("by_draft", [False, True])
def test_what_a_process_that_ended_may_have_left_unforced_is_forced_when_it_is_put_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, by_draft: bool
) -> None:
    name = BlobFiles(tmp_path).put(b"brought", is_synced=False)
    synced: list[str] = []
    fsync = os.fsync

    def noting(handle: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    files = BlobFiles(tmp_path)
    monkeypatch.setattr(os, "fsync", noting)
    if by_draft:
        draft = files.begin()
        draft.write(b"brought")
        draft.keep(name)
    else:
        files.put(b"brought")
    path = file_of(files, name)
    assert synced[-2:] == [str(path), str(path.parent)]
    assert not files.is_unsynced(name)


def test_a_blob_whose_name_could_not_be_made_durable_is_not_taken_for_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, fsync, left = BlobFiles(tmp_path), os.fsync, [1, 1]
    name = files.put(b"own", is_synced=False)
    files.delete(name)

    def refusing(handle: int) -> None:
        if Path(os.readlink(f"/proc/self/fd/{handle}")).is_dir() and left:
            left.pop()
            raise OSError(errno.EIO, "refused")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refusing)
    for _ in range(2):
        with pytest.raises(StoreError, match="refused"):
            files.put(b"own")
        assert not files.is_fresh(name)
        assert files.is_unsynced(name)
    assert files.put(b"own") == name
    assert not files.is_unsynced(name)


def test_a_draft_of_what_was_not_forced_to_disk_makes_it_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = noted_syncs(monkeypatch)
    files = BlobFiles(tmp_path)
    name = files.put(b"brought", is_synced=False)
    assert files.is_unsynced(name)
    draft = files.begin()
    draft.write(b"brought")
    draft.keep(name)
    assert str(file_of(files, name)) in synced
    assert not files.is_unsynced(name)


def test_a_disk_that_refuses_to_force_a_blob_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = BlobFiles(tmp_path)
    name = files.put(b"brought", is_synced=False)

    def refusing(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", refusing)
    with pytest.raises(StoreError, match=r"cannot keep blob .* check the folder"):
        files.put(b"brought")
    assert files.is_unsynced(name)


def test_the_smallest_blobs_take_a_block_each_so_that_the_quota_bounds_their_number(
    tmp_path: Path,
) -> None:
    blobs = blob_files.BlobFiles(tmp_path, quota_bytes=10 * BLOCK_BYTES)
    names = [blobs.put(b"%d" % number) for number in range(100)]
    assert sum(blobs.size_of(name) is not None for name in names) == 10
    assert blobs.used_bytes == 10 * BLOCK_BYTES
    again = blob_files.BlobFiles(tmp_path, quota_bytes=10 * BLOCK_BYTES)
    assert again.used_bytes == 10 * BLOCK_BYTES
    for name in names:
        again.delete(name)
    assert again.used_bytes == 0


def test_a_draft_takes_the_rest_of_its_last_block_when_it_is_whole(tmp_path: Path) -> None:
    blobs = blob_files.BlobFiles(tmp_path, quota_bytes=10 * BLOCK_BYTES)
    data = bytes(BLOCK_BYTES + 1)
    draft = blobs.begin()
    draft.write(data)
    assert blobs.used_bytes == len(data)
    name = hashlib.sha256(data).digest()
    draft.keep(name)
    assert blobs.used_bytes == 2 * BLOCK_BYTES
    blobs.delete(name)
    assert blobs.used_bytes == 0
