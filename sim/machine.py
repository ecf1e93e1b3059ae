"""What the world can run: anything sans-IO, with a host that executes its effects."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

Effect = object


class Delivery(msgspec.Struct, frozen=True):
    """One effect in the world's terms: bytes for a peer, or for all when `to` is None."""

    to: bytes | None
    data: bytes


class Host(Protocol):
    """A node as checkers see it."""

    key: bytes
    is_honest: bool


class Machine(Host, Protocol):
    """A node as the fast world runs it: what a crash loses, and a store that it does not."""

    @property
    def next_deadline(self) -> int | None:
        """Give when the machine wants its next tick, in its own clock."""
        ...

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the machine from what the store holds and start it."""
        ...

    def crash(self) -> None:
        """Lose everything but the store."""
        ...

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect] | None:
        """Take in a peer's bytes; None when they change nothing."""
        ...

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass."""
        ...

    def execute(self, effect: Effect) -> Delivery | None:
        """Carry one effect out on the store, or give what must be sent."""
        ...

    def settle(self, now: int) -> Sequence[Effect]:
        """Tell the machine that a whole list of effects has been carried out."""
        ...
