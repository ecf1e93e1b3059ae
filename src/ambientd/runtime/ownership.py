"""What the owner lets this node do: kept on disk, worked out again as time passes, and heeded.

The owner's word is on disk before it is heeded, and reaches the node's cores as an OwnerWished
event; the caps on processor and memory are held here. Surroundings are looked at every few
seconds, so a plug that is pulled or an hour that ends counts within that time.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
import trio

from ambientd.config.owner_terms import OwnerTerms
from ambientd.model.offer import Closed, Wish
from ambientd.node.event import Event, OwnerWished
from ambientd.ports.surroundings import Device, Surroundings
from ambientd.rules.hours import clock_text, is_within, next_change

log = structlog.get_logger("ambientd.owner")

LOOK_S = 5.0

Post = Callable[[Event], Awaitable[None]]


class TermsFile(Protocol):
    """Where the owner's word lies."""

    def load(self) -> OwnerTerms:
        """Read it; raise ConfigError when it cannot be read."""
        ...

    def keep(self, terms: OwnerTerms) -> None:
        """Put it there durably."""
        ...


class Caps(Protocol):
    """What holds executions to the owner's caps: `runtime.workers.WorkerPool`."""

    @property
    def cores(self) -> int:
        """Give how many cores this device has."""
        ...

    @property
    def size(self) -> int:
        """Give how many executions run at once, at most."""
        ...

    @property
    def memory_bytes(self) -> int:
        """Give how much memory all executions together may be lent."""
        ...

    def hold_to(self, cpu_percent: int, memory_bytes_max: int) -> None:
        """Hold all executions together to so much, from now on; 0 bytes for the usual."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the node takes work now, and why not, in words; until when, if that is known."""

    closed: Closed
    text: str
    until_text: str = ""
    until_ms: int | None = None


def standing_of(terms: OwnerTerms, seen: Surroundings, now: int) -> Standing:
    """Work out what the owner's word means now; the most deliberate reason comes first."""
    if is_paused(terms, now):
        until_ms = terms.paused_until_ms or None
        until = "" if until_ms is None else _clock(until_ms, seen, now)
        return Standing(Closed.PAUSED, _told("paused by owner", until), until, until_ms)
    windows = terms.windows()
    if windows and not is_within(windows, seen.week_minute):
        change = next_change(windows, seen.week_minute)
        until = "" if change is None else clock_text(change, seen.week_minute)
        return Standing(Closed.HOURS, _told("outside its hours", until), until)
    if seen.on_battery and not terms.on_battery:
        return Standing(Closed.BATTERY, "on battery")
    if seen.metered_link and not terms.on_metered:
        return Standing(Closed.METERED, f"on a metered network ({seen.metered_link})")
    return Standing(Closed.OPEN, "takes work")


def is_paused(terms: OwnerTerms, now: int) -> bool:
    """Tell whether a pause lasts."""
    return terms.paused and not 0 < terms.paused_until_ms <= now


def _told(text: str, until: str) -> str:
    return f"{text} until {until}" if until else text


def _clock(time_ms: int, seen: Surroundings, now: int) -> str:
    """Write a time by the clock on the wall, as far as that runs on evenly until then."""
    later = (time_ms - now + 59_999) // 60_000
    if later >= 7 * 24 * 60:
        return f"in {later // (24 * 60)} days"
    return clock_text((seen.week_minute + later) % (7 * 24 * 60), seen.week_minute)


class Ownership:
    """The owner's word, and what follows from it."""

    def __init__(
        self,
        file: TermsFile,
        device: Device,
        caps: Caps,
        now: Callable[[], int],
        *,
        states_memory: bool = False,
    ) -> None:
        """Read what the owner said before; raise ConfigError when that cannot be read.

        A node that `states_memory` tells the mesh how much it lends also where the owner has not
        said: its config sets a budget, or there is less than a task may ask for.
        """
        self._file = file
        self._device = device
        self._caps = caps
        self._now = now
        self._states_memory = states_memory
        self.terms = file.load()
        self.seen = self._look()
        self._wish = self._hold()

    @property
    def standing(self) -> Standing:
        """Give whether the node takes work now."""
        return standing_of(self.terms, self.seen, self._now())

    @property
    def wish(self) -> Wish:
        """Give what the node's cores are to know."""
        return self._wish

    @property
    def capacity(self) -> int:
        """Give how many executions at once the mesh is told."""
        return self._caps.size if self._wish.capacity is None else self._wish.capacity

    async def say(self, terms: OwnerTerms, post: Post) -> None:
        """Take the owner's word: on disk first, then at once."""
        await trio.to_thread.run_sync(self._file.keep, terms)
        self.terms = terms
        await self._heed(post)

    async def run(self, post: Post) -> None:
        """Look around now and then, until cancelled."""
        while True:
            await trio.sleep(LOOK_S)
            await self._heed(post)

    async def _heed(self, post: Post) -> None:
        before = self._wish
        self.seen = await trio.to_thread.run_sync(self._look)
        self._wish = self._hold()
        if self._wish != before:
            log.info("the owner's terms", now=self.standing.text)
            await post(OwnerWished(self._wish))

    def _look(self) -> Surroundings:
        return self._device.look(self.terms.time_zone, self.terms.metered_links)

    def _hold(self) -> Wish:
        terms, caps = self.terms, self._caps
        caps.hold_to(terms.cpu_percent, terms.memory_bytes_max)
        closed = self.standing.closed
        capacity = None
        if terms.cpu_percent < 100:
            capacity = min(caps.size, max(1, caps.cores * terms.cpu_percent // 100))
        stops = closed is Closed.PAUSED and terms.stops
        states = self._states_memory or terms.memory_bytes_max > 0
        return Wish(
            closed=closed,
            refuses=terms.refuses,
            stops=stops,
            capacity=capacity,
            # The smaller of both: the owner's word never lends more than the budget.
            memory_bytes_max=caps.memory_bytes if states else 0,
        )
