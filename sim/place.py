"""A node's place in a world of either kind: whether it is up, stands still, is about to crash."""

from dataclasses import dataclass
from typing import Generic, TypeVar

H = TypeVar("H")


@dataclass(slots=True)
class Traffic:
    """What a node has sent to others, lost on its way or not, and received, copies as well."""

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0


@dataclass(slots=True)
class Place(Generic[H]):
    """A node's host, and what becomes of it."""

    host: H
    skew_ms: int = 0
    is_up: bool = False
    crash_countdown: int | None = None  # effects still carried out before it crashes
    back_ms: int = 0
    paused_until: int = 0

    def crash_within(self, effects: int, back_ms: int) -> None:
        """Go down after some more effects, maybe amid a list, and restart later; if it is up."""
        if self.is_up:
            self.crash_countdown = effects
            self.back_ms = back_ms

    def spare(self) -> None:
        """Call off a crash that is still to come."""
        self.crash_countdown = None

    def crashes_now(self) -> bool:
        """Count an effect; tell whether the node goes down before it."""
        if self.crash_countdown is None:
            return False
        self.crash_countdown -= 1
        return self.crash_countdown < 0
