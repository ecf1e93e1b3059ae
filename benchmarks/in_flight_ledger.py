"""The tasks of `benchmarks.in_flight`: what was accepted, and what a daemon tells of each."""

import queue
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.operations import EVENTS, TASK_SHOW
from ambientd.api.replies import Event, EventKind
from ambientd.api.requests import FollowEvents, ShowTask
from ambientd.config.places import socket_path_for
from ambientd.errors import AmbientError

TERMINAL = frozenset({"final", "cancelled", "expired"})
ROOM_WAIT_S = 0.5
LOOK_S = 20.0


@dataclass(slots=True)
class Flight:
    """One task; times are those of `perf_counter`, None before that was seen."""

    begin: float = 0.0
    admitted: float | None = None
    assigned_first: float | None = None
    assigned_last: float | None = None
    ended: float | None = None
    output: float | None = None
    state: str = ""
    place: int | None = None
    """The node that submitted it; None while only the log has told of it."""
    is_held: bool = False
    escrow_msat: int = 0
    """What it may cost, as told at its admission; 0 where that was not heard."""
    paid: list[str] = field(default_factory=list)
    is_whole: bool = True
    """No news of it was missed."""


class Book:
    """All tasks of a scene; used by several threads."""

    def __init__(self, wanted: int) -> None:
        self.flights: dict[str, Flight] = {}
        self.refused: list[str] = []
        self.gaps = 0
        self._room = threading.Semaphore(wanted)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._open = 0
        self._done = 0

    # Who submits

    def take_room(self) -> bool:
        """Wait until one more may be open; False once no more are wanted."""
        while not self._stopped.is_set():
            if self._room.acquire(timeout=ROOM_WAIT_S):
                return not self._stopped.is_set()
        return False

    def give_room(self, reason: str) -> None:
        """Note that a task was not accepted."""
        self.refused.append(reason)
        self._room.release()

    def accepted(
        self, task: str, place: int, begin: float, admitted: float, *, is_held: bool
    ) -> Flight:
        """Note a task that was accepted; the log may have told of it before."""
        with self._lock:
            flight = self.flights.setdefault(task, Flight())
            flight.begin, flight.admitted = begin, admitted
            flight.place, flight.is_held = place, is_held
            if flight.ended is None:
                self._open += is_held
            else:
                self._end(task, flight)
        return flight

    def stop(self) -> None:
        """Let nobody submit any more."""
        self._stopped.set()

    # Who listens

    def heard(self, event: Event) -> None:
        """Take in what a daemon tells."""
        now = time.perf_counter()
        task = event.fields.get("task")
        if not isinstance(task, str):
            return
        with self._lock:
            flight = self.flights.setdefault(task, Flight())
            match event.kind:
                case EventKind.TASK_ADMITTED:
                    flight.escrow_msat = int(str(event.fields["escrow_msat"]))
                case EventKind.TASK_ASSIGNED:
                    flight.assigned_first = flight.assigned_first or now
                    flight.assigned_last = now
                case EventKind.TASK_PAID | EventKind.PAY_WAITS:
                    flight.paid.append(str(event.fields["node"]))
                case EventKind.TASK_ENDED:
                    self._ends(task, flight, str(event.fields["state"]), now)

    def missed_news(self) -> None:
        """Note that a daemon left off telling: of what is open, something may be missing."""
        with self._lock:
            self.gaps += 1
            for flight in self.flights.values():
                flight.is_whole = flight.is_whole and bool(flight.state)

    def look(self, client: Client) -> None:
        """Ask for the state of what is open: its end may have been missed."""
        for task, _ in self.all_open():
            shown = client.call(TASK_SHOW, ShowTask(task=task))
            if shown.state in TERMINAL:
                with self._lock:
                    self._ends(task, self.flights[task], shown.state, None)

    def _ends(self, task: str, flight: Flight, state: str, now: float | None) -> None:
        if flight.state:
            return
        flight.state = state
        flight.ended = time.perf_counter() if now is None else now
        if flight.place is not None:
            self._open -= flight.is_held
            self._end(task, flight)

    def _end(self, task: str, flight: Flight) -> None:
        self._done += 1
        if flight.is_held:
            self._room.release()
            self._ended.put(task)

    # Who looks

    def open(self) -> int:
        """Count what is held open."""
        return self._open

    def ended(self) -> int:
        """Count what has ended."""
        return self._done

    def all_open(self) -> list[tuple[str, Flight]]:
        """Give the accepted tasks that have not ended."""
        with self._lock:
            found = self.flights.items()
            return [(task, f) for task, f in found if f.place is not None and not f.state]

    def next_ended(self, wait_s: float) -> tuple[str, Flight | None]:
        """Give a held task that has ended since the last one, if one does soon."""
        try:
            task = self._ended.get(timeout=wait_s)
        except queue.Empty:
            return "", None
        return task, self.flights[task]

    def await_all(self, nodes: list[Path], most_s: float) -> bool:
        """Wait until every accepted task has ended; tell whether all have."""
        end = time.monotonic() + most_s
        with Client(socket_path_for(nodes[0])) as client:
            while self.all_open() and time.monotonic() < end:
                self._wait(LOOK_S)
                self.look(client)
        return not self.all_open()

    def _wait(self, most_s: float) -> None:
        """Wait until nothing is open, or for so long."""
        end = time.monotonic() + most_s
        while self.all_open() and time.monotonic() < end:
            time.sleep(0.2)


class Follower:
    """Hears what a daemon tells, for as long as it is open; where it was too slow, it says so."""

    def __init__(self, node: Path, book: Book) -> None:
        self._path = socket_path_for(node)
        self._book = book
        self._client = Client(self._path)
        self._is_open = True
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Follower":
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what ends later is asked for."""
        self._is_open = False
        self._client.close()
        self._thread.join(10)

    def _follow(self) -> None:
        while self._is_open:
            try:
                for event in self._client.stream(EVENTS, FollowEvents()):
                    self._book.heard(event)
            except (AmbientError, OSError):
                self._client.close()
            if self._is_open:
                self._book.missed_news()
                with Client(self._path) as client:
                    self._book.look(client)
