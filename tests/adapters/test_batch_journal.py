"""What was handed to the journal is read back, in order, whatever tore its end off."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.batch_journal import BatchJournal, read_journal
from ambientd.errors import StoreError

BATCHES = st.lists(st.tuples(st.integers(0, 2**53), st.binary(max_size=1024)), max_size=20)


def kept(folder: Path) -> list[tuple[int, bytes]]:
    return [(each.time_ms, each.data) for each in read_journal(folder)]


def written(folder: Path, batches: list[tuple[int, bytes]], bytes_max: int = 1 << 30) -> None:
    journal = BatchJournal(folder, bytes_max=bytes_max)
    for time_ms, data in batches:
        journal.append(time_ms, data)
    journal.close()


@given(first=BATCHES, second=BATCHES)
def test_batches_are_read_back_in_order_across_starts(
    tmp_path_factory: pytest.TempPathFactory,
    first: list[tuple[int, bytes]],
    second: list[tuple[int, bytes]],
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    written(folder, first)
    written(folder, second)
    assert kept(folder) == first + second


@given(batches=BATCHES.filter(bool), torn=st.integers(1, 2_000), data=st.data())
def test_a_torn_end_takes_only_what_it_tore_and_nothing_that_comes_after(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[int, bytes]],
    torn: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    written(folder, batches)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    size = max(0, len(whole) - torn)
    junk = data.draw(st.binary(max_size=40))
    path.write_bytes(whole[:size] + junk)
    left = kept(folder)
    assert left == batches[: len(left)]
    written(folder, [(7, b"next")])
    assert kept(folder) == [*left, (7, b"next")]


def test_the_oldest_files_go_when_all_together_are_too_large(tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    batches = [(number, b"%04d" % number * 256) for number in range(100)]
    written(folder, batches, bytes_max=20_000)
    left = kept(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20_000
    assert left == batches[-len(left) :]
    assert len(left) >= 9


def test_a_journal_that_cannot_begin_another_file_writes_into_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "telemetry"
    journal = BatchJournal(folder, bytes_max=4_000)
    entries = [(number, bytes([number]) * 900) for number in range(5)]
    for time_ms, data in entries[:2]:
        journal.append(time_ms, data)
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        with pytest.raises(StoreError, match="No space left"):
            journal.append(*entries[2])
    # It gets the number of whatever the journal has closed.
    with (tmp_path / "another").open("w+b") as another:
        for time_ms, data in entries[3:]:
            journal.append(time_ms, data)
        journal.close()
        assert os.fstat(another.fileno()).st_size == 0
    assert kept(folder) == entries[:2] + entries[3:]


def refuse(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_fits_a_full_disk_only_in_part_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, write = tmp_path / "telemetry", os.write
    journal = BatchJournal(folder, bytes_max=1 << 20)
    journal.append(1, b"first")
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:7]))
        with pytest.raises(StoreError, match="No space left"):
            journal.append(2, b"lost")
    journal.append(3, b"third")
    journal.close()
    assert kept(folder) == [(1, b"first"), (3, b"third")]


def test_a_file_that_goes_while_it_is_read_about_is_passed_by(tmp_path: Path) -> None:
    folder = tmp_path / "telemetry"
    written(folder, [(number, bytes(900)) for number in range(4)], bytes_max=4_000)
    reading = read_journal(folder)
    assert next(reading).time_ms == 0
    max(folder.iterdir()).unlink()
    assert [each.time_ms for each in reading] == [1]
