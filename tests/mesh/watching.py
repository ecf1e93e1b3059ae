"""What a daemon tells of its tasks, read as it comes: tests act on it instead of sleeping."""

import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from ambientd.api.client import Client
from ambientd.api.operations import EVENTS
from ambientd.api.replies import Event
from ambientd.api.requests import FollowEvents
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError
from tests.mesh.cluster import Daemon

PATIENCE_S = 90.0


class Watch:
    """Follows one daemon until it is killed, or the block ends."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._client = Client(socket_path_for(daemon.data_dir))
        self._told: list[Event] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Watch":
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()
        self._reader.join(60)

    def _read(self) -> None:
        with suppress(AmbientError, OSError):
            for event in self._client.stream(EVENTS, FollowEvents()):
                with self._changed:
                    self._told.append(event)
                    self._changed.notify_all()

    def told(self, fits: Callable[[Event], bool]) -> list[Event]:
        with self._changed:
            return [event for event in self._told if fits(event)]

    def first(self, fits: Callable[[Event], bool], patience_s: float = PATIENCE_S) -> Event | None:
        """Wait for the first event that fits, told already or not."""

        def found() -> Event | None:
            return next((event for event in self._told if fits(event)), None)

        with self._changed:
            return self._changed.wait_for(found, patience_s)

    def of(self, task: str, kind: str, **fields: object) -> Event:
        """Wait for what is told of a task."""
        wanted = {"task": task, **fields}

        def fits(event: Event) -> bool:
            return event.kind == kind and wanted.items() <= event.fields.items()

        event = self.first(fits)
        assert event is not None, f"{self.daemon.data_dir.name} never told {kind} of {wanted}"
        return event
