"""What surrounds a demonstration: its folder, signals, and the events it listens to."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.errors import AmbientError, ConfigError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stage_folder(chosen: str | None, *, keep: bool) -> Iterator[Path]:
    """Give the folder for the mesh; without --keep nothing of it stays."""
    if chosen:
        root = Path(os.path.abspath(chosen))
        existed = root.is_dir()
        if existed and any(root.iterdir()):
            msg = f"{root}: is not empty; choose a new folder"
            raise ConfigError(msg)
    else:
        root, existed = Path(tempfile.mkdtemp(prefix="ambient-demo-")), False
    try:
        yield root
    finally:
        if not keep:
            shutil.rmtree(root, ignore_errors=True)
            if existed:
                root.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Clean up after SIGTERM and SIGHUP as after Ctrl-C."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal interrupt a clean-up, which has deadlines of its own."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_SIGNALS)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class EventFeed:
    """What a node reports, brought from a blocking connection to whoever waits."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: SimpleQueue[replies.Event] = SimpleQueue()
        self._thread = threading.Thread(target=self._follow, name="events", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        try:
            for event in self._client.stream(operations.EVENTS, requests.FollowEvents()):
                self._queue.put(event)
        except (AmbientError, OSError):
            return  # the daemon stops, or the story is over

    def wait(self, timeout_s: float) -> Iterator[replies.Event]:
        """Give what is there, after waiting a moment for the first."""
        try:
            yield self._queue.get(timeout=timeout_s)
            while True:
                yield self._queue.get_nowait()
        except Empty:
            return

    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Stop following."""
        self._client.close()
        self._thread.join(2.0)
