"""Execution states that this device keeps of long tasks: one file each, its root before it."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from ambientd.adapters.durable_files import replace_synced
from ambientd.errors import StoreError
from ambientd.model.base import DIGEST_BYTES, TaskId
from ambientd.ports.paused_state import PausedState
from ambientd.wasm.state import STATE_BYTES_MAX

BYTES_MAX = 512 << 20
"""Of all states together; one more than that is not kept."""

_ENDING = ".state"


class StateFiles:
    """Keeps the last state of each task in a folder; a power cut leaves it or the one before."""

    def __init__(self, folder: Path, bytes_max: int = BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._sizes: dict[TaskId, int] = {}

    def open(self, tasks: Iterable[tuple[TaskId, object]]) -> "StateFiles":
        """Look at what is there; what is of none of these tasks goes. Raise StoreError."""
        wanted = {_name(task): task for task, _ in tasks}
        try:
            for path in self._folder.iterdir() if self._folder.is_dir() else ():
                task = wanted.get(path.name)
                if path.is_dir():
                    continue  # not of here, as `lost+found` on a disk of its own
                if task is None:
                    path.unlink(missing_ok=True)
                else:
                    self._sizes[task] = path.stat().st_size
        except OSError as error:
            raise self._fault(error) from error
        return self

    def find(self, task: TaskId) -> PausedState | None:
        """Give a task's state as it was kept; whoever goes on from it checks its root."""
        if task not in self._sizes:
            return None
        try:
            path = self._folder / _name(task)
            if path.stat().st_size > DIGEST_BYTES + STATE_BYTES_MAX:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        return PausedState(root=data[:DIGEST_BYTES], data=data[DIGEST_BYTES:])

    def keep(self, task: TaskId, state: PausedState) -> None:
        """Keep a task's state in the place of the one before, durably; raise StoreError."""
        size_bytes = DIGEST_BYTES + len(state.data)
        others_bytes = sum(self._sizes.values()) - self._sizes.get(task, 0)
        if others_bytes + size_bytes > self._bytes_max:
            msg = f"{self._folder}: a state of {size_bytes} bytes is more than there is room for"
            raise StoreError(msg)
        path = self._folder / _name(task)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            replace_synced(path, path.with_suffix(".new"), state.root + state.data)
        except OSError as error:
            raise self._fault(error) from error
        self._sizes[task] = size_bytes

    def forget(self, task: TaskId) -> None:
        """Drop the state of a task that has ended, if there is one; at the latest at a start."""
        if self._sizes.pop(task, None) is not None:
            with contextlib.suppress(OSError):
                (self._folder / _name(task)).unlink(missing_ok=True)

    def _fault(self, error: OSError) -> StoreError:
        msg = f"{error.filename or self._folder}: {os.strerror(error.errno or 0)}"
        return StoreError(msg)


def _name(task: TaskId) -> str:
    return task.hex() + _ENDING
