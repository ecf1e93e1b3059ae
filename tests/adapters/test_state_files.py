"""States of long executions on disk: the last of each task, within room, and gone with the task."""

from pathlib import Path

import pytest

from ambientd.adapters.state_files import StateFiles
from ambientd.errors import StoreError
from ambientd.model.base import TaskId
from ambientd.ports.paused_state import PausedState

FIRST, SECOND = TaskId(bytes(32)), TaskId(b"\x01" * 32)


def state(number: int, size_bytes: int = 100) -> PausedState:
    return PausedState(root=bytes([number]) * 32, data=bytes([number]) * size_bytes)


def test_the_last_state_of_a_task_is_there_after_a_start(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "states")
    assert files.find(FIRST) is None
    files.keep(FIRST, state(1))
    files.keep(FIRST, state(2))
    again = StateFiles(tmp_path / "states").open([(FIRST, None)])
    assert again.find(FIRST) == state(2)
    assert again.find(SECOND) is None


def test_a_start_drops_what_is_of_no_open_task_and_drafts(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "states")
    files.keep(FIRST, state(1))
    files.keep(SECOND, state(2))
    (tmp_path / "states" / "half.new").write_bytes(b"")
    again = StateFiles(tmp_path / "states").open([(SECOND, None)])
    assert again.find(FIRST) is None
    assert [path.name for path in (tmp_path / "states").iterdir()] == [f"{SECOND.hex()}.state"]


def test_a_state_without_room_is_refused_and_the_one_before_stays(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "states", bytes_max=300)
    files.keep(FIRST, state(1))
    with pytest.raises(StoreError, match="more than there is room for"):
        files.keep(SECOND, state(2, 200))
    files.keep(FIRST, state(3, 200))
    files.forget(FIRST)
    files.forget(FIRST)
    files.keep(SECOND, state(2, 200))
    assert files.find(FIRST) is None
    assert files.find(SECOND) == state(2, 200)


def test_what_is_not_of_here_or_cannot_be_removed_ends_no_daemon(tmp_path: Path) -> None:
    folder = tmp_path / "states"
    (folder / "lost+found").mkdir(parents=True)
    files = StateFiles(folder).open([(FIRST, None)])
    files.keep(FIRST, state(1))
    path = folder / f"{FIRST.hex()}.state"
    path.unlink()
    path.mkdir()
    assert files.find(FIRST) is None
    files.forget(FIRST)
    assert files.find(FIRST) is None


def test_a_file_that_is_longer_than_any_state_is_none(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    files.keep(FIRST, state(1))
    with (tmp_path / f"{FIRST.hex()}.state").open("r+b") as file:
        file.truncate(1 << 40)
    again = StateFiles(tmp_path).open([(FIRST, None)])
    assert again.find(FIRST) is None
