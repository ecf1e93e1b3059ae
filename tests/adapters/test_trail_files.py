"""The trail only grows, tells what was changed in it, and survives what a crash leaves."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientd.adapters.trail_files import TrailFiles, check_trail, read_trail
from ambientd.errors import StoreError


def grown(folder: Path, count: int, **limits: int) -> TrailFiles:
    trail = TrailFiles(folder, **limits)
    for number in range(count):
        trail.append(1_000 + number, "user 7", "pause", {"for_ms": str(number)}, "done")
    trail.sync()
    return trail


def numbers(folder: Path) -> list[int]:
    return [entry.number for entry in read_trail(folder)]


def test_a_trail_is_one_chain_across_restarts(tmp_path: Path) -> None:
    folder = tmp_path / "trail"
    assert check_trail(folder).entries == 0
    grown(folder, 3)
    head = check_trail(folder)
    grown(folder, 2)
    assert numbers(folder) == [1, 2, 3, 4, 5]
    found = check_trail(folder, (head.last, head.head))
    assert (found.fault, found.first, found.last) == ("", 1, 5)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_head_that_was_noted_elsewhere_shows_that_the_newest_were_cut_off(tmp_path: Path) -> None:
    grown(tmp_path, 5)
    head = check_trail(tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    assert check_trail(tmp_path).fault == ""
    assert "entry 5 with that hash is not there" in check_trail(tmp_path, (5, head.head)).fault


def test_the_oldest_files_go_and_the_rest_still_follows(tmp_path: Path) -> None:
    grown(tmp_path, 60, bytes_max=1_000, files_max=3)
    assert len(list(tmp_path.iterdir())) == 3
    found = check_trail(tmp_path)
    assert (found.fault, found.last) == ("", 60)
    assert found.first > 1
    assert numbers(tmp_path) == list(range(found.first, 61))
    grown(tmp_path, 1)
    assert check_trail(tmp_path).fault == ""


@pytest.mark.parametrize("field", ["time_ms", "caller", "operation", "outcome", "previous", "hash"])
def test_an_entry_that_was_changed_is_found(tmp_path: Path, field: str) -> None:
    grown(tmp_path, 5)
    (path,) = tmp_path.iterdir()
    lines = path.read_text().splitlines()
    entry = json.loads(lines[2])
    entry[field] = 9 if field == "time_ms" else "0" * 64
    lines[2] = json.dumps(entry)
    path.write_text("\n".join(lines) + "\n")
    found = check_trail(tmp_path)
    assert found.entries == 2
    assert "entry 3 " in found.fault


@pytest.mark.parametrize("gone", range(4))
def test_an_entry_that_was_taken_out_is_found(tmp_path: Path, gone: int) -> None:
    grown(tmp_path, 5)
    (path,) = tmp_path.iterdir()
    lines = path.read_text().splitlines()
    del lines[gone]
    path.write_text("".join(f"{line}\n" for line in lines))
    found = check_trail(tmp_path)
    # Without the first it looks as after a rotation: the chain says where it begins.
    assert (found.first, found.fault) == (2, "") if gone == 0 else found.fault


@settings(max_examples=30)
@given(cut=st.integers(1, 200))
def test_a_torn_line_is_cut_off_and_the_chain_goes_on(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("trail")
    grown(folder, 3)
    (path,) = folder.iterdir()
    os.truncate(path, path.stat().st_size - cut)
    assert numbers(folder) == [1, 2]
    grown(folder, 1)
    assert check_trail(folder).fault == ""
    assert numbers(folder) == [1, 2, 3]


def test_a_line_that_was_cut_does_not_hide_what_was_written_after_it(tmp_path: Path) -> None:
    grown(tmp_path, 20, bytes_max=1_000)
    first, *_ = sorted(tmp_path.iterdir())
    os.truncate(first, first.stat().st_size - 3)
    assert "was cut" in check_trail(tmp_path).fault


def test_a_line_that_is_no_entry_is_said(tmp_path: Path) -> None:
    grown(tmp_path, 1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"nonsense\n")
    assert "a line is no entry" in check_trail(tmp_path).fault
    with pytest.raises(StoreError, match="move the folder away"):
        TrailFiles(tmp_path)


def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot use the audit trail"):
        TrailFiles(tmp_path / "file" / "trail")
