"""The audit trail: every operation that changes something leaves who asked for it, and what came.

Arguments are short and hold no secrets: of bytes only the size is told. An entry is written once
the operation has ended; one that the daemon did not survive left no entry, nor did what was
summed in the minute before.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import structlog
import trio

from ambientd.api.answering import Handler, failure_of
from ambientd.api.callers import CALLER
from ambientd.api.operations import OPERATIONS
from ambientd.api.rates import Rates
from ambientd.api.routes import CHANGING
from ambientd.errors import AmbientError, StoreError

log = structlog.get_logger("ambientd.trail")

TEXT_CHARS_MAX = 64
ARGUMENTS_MAX = 16
SYNC_S = 1.0
LINES_AT_ONCE = 1_000
LINES_PER_S = 1 / 60
"""Lines that one caller may fill with one operation; what goes beyond them is summed."""
SUM_S = 60.0
SUMS_MAX = 256


class Trail(Protocol):
    """Where entries go: `adapters.trail_files.TrailFiles`."""

    is_dirty: bool
    """Whether something was added that may not be on disk yet."""

    def append(
        self,
        time_ms: int,
        caller: str,
        operation: str,
        arguments: dict[str, str],
        outcome: str,
        times: int,
    ) -> None:
        """Add an entry; raise StoreError when the disk refuses."""
        ...

    def sync(self) -> None:
        """Force to disk what was added."""
        ...


class _Sum(msgspec.Struct):
    """What one caller did again and again: the newest arguments, and how often."""

    time_ms: int
    arguments: dict[str, str]
    times: int = 0


class TrailKeeper:
    """Tells the trail what is done; who does one thing without end fills no disk with it.

    What goes beyond a caller's lines for an operation is summed: one entry with the newest
    arguments says how often. A sum stands before whatever is noted after it.
    """

    def __init__(self, trail: Trail, now: Callable[[], int]) -> None:
        self._trail = trail
        self._now = now
        self._lines = Rates(LINES_PER_S, LINES_AT_ONCE)
        self._sums: dict[tuple[str, str, str], _Sum] = {}

    @contextmanager
    def keeps(self, operation: str, request: msgspec.Struct) -> Iterator[None]:
        """Note what the block does, and what came of it."""
        outcome = "interrupted"
        try:
            yield
            outcome = "done"
        except AmbientError as error:
            outcome = failure_of(error).code
            raise
        finally:
            self._note((CALLER.get(), operation, outcome), arguments_of(request))

    def _note(self, what: tuple[str, str, str], arguments: dict[str, str]) -> None:
        time_ms = self._now()
        caller, operation, _ = what
        is_many = self._lines.take(f"{operation} {caller}", time_ms / 1000) > 0
        if is_many and (what in self._sums or len(self._sums) < SUMS_MAX):
            found = self._sums.setdefault(what, _Sum(time_ms, arguments))
            found.time_ms, found.arguments = time_ms, arguments
            found.times += 1
            return
        self.tell_sums()
        self._append(what, _Sum(time_ms, arguments, 1))

    def tell_sums(self) -> None:
        """Write what was summed so far."""
        sums, self._sums = self._sums, {}
        for what, each in sorted(sums.items(), key=lambda each: each[1].time_ms):
            self._append(what, each)

    def _append(self, what: tuple[str, str, str], each: _Sum) -> None:
        caller, operation, outcome = what
        try:
            self._trail.append(each.time_ms, caller, operation, each.arguments, outcome, each.times)
        except StoreError as error:
            log.error("AN OPERATION LEFT NO TRACE", operation=operation, reason=str(error))

    async def run(self) -> None:
        """Bring entries to disk within a second or so, and sums into them, until cancelled."""
        told_s = trio.current_time()
        try:
            while True:
                await trio.sleep(SYNC_S)
                if trio.current_time() - told_s >= SUM_S:
                    told_s = trio.current_time()
                    self.tell_sums()
                if self._trail.is_dirty:
                    await trio.to_thread.run_sync(self._trail.sync)
        finally:
            self.tell_sums()


def trailed(handlers: Mapping[str, Handler], keeper: TrailKeeper) -> dict[str, Handler]:
    """Give the handlers; those that change something tell the trail."""
    return {
        name: _trailed(name, handler, keeper)
        if OPERATIONS[name].route.scope in CHANGING and not OPERATIONS[name].streaming
        else handler
        for name, handler in handlers.items()
    }


def _trailed(name: str, handler: Any, keeper: TrailKeeper) -> Handler:  # noqa: ANN401
    async def record(request: msgspec.Struct) -> msgspec.Struct:
        with keeper.keeps(name, request):
            answer: msgspec.Struct = await handler(request)
        return answer

    return record


def arguments_of(request: msgspec.Struct) -> dict[str, str]:
    """Give what a request says besides defaults, short; of bytes the size alone."""
    told: dict[str, str] = {}
    for field in msgspec.structs.fields(request):
        value = getattr(request, field.name)
        if value != field.default and len(told) < ARGUMENTS_MAX:
            told[field.name] = _short(value)
    return told


def _short(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = ", ".join(map(_short, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[:TEXT_CHARS_MAX]}…"
