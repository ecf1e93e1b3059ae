"""Duties: what a node owes rounds of studies, each done once, and said until the ledger shows it.

OWED ─► DONE (its word is proposed, again and again) ─► gone, once the ledger asks for it no more
  └──► tried again later, if it could not be done
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ambientd.model.effect import Propose, RoleEffect
from ambientd.model.learning_effect import LearningEffect, Place
from ambientd.model.learning_record import FlLeave, RoundBody

RETRY_MS = 1_000
RETRY_MS_MAX = 64_000
INSIST_MS = 3_000


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that a round wants of this node; `due_ms` is when it is done or said again.

    After each failure it waits twice as long: a step may last a day, and each time may cost much.
    """

    wanted: LearningEffect
    said: RoundBody | FlLeave | None = None
    due_ms: int | None = None
    wait_ms: int = RETRY_MS


class Duties:
    """What one node owes, by round and step."""

    def __init__(self) -> None:
        self._duties: dict[Place, Duty] = {}

    @property
    def next_deadline(self) -> int | None:
        """Give when something is done or said again."""
        due = [duty.due_ms for duty in self._duties.values() if duty.due_ms is not None]
        return min(due, default=None)

    def owe(self, wanted: Mapping[Place, LearningEffect]) -> list[RoleEffect]:
        """Take up what is wanted now, and drop what is wanted no more."""
        for place in [place for place in self._duties if place not in wanted]:
            del self._duties[place]
        effects: list[RoleEffect] = []
        for place, effect in wanted.items():
            if place not in self._duties:
                self._duties[place] = Duty(effect)
                effects.append(effect)
        return effects

    def wanted(self, place: Place) -> LearningEffect | None:
        """Give what is still to be done; None when it was done, or is wanted no more."""
        duty = self._duties.get(place)
        return None if duty is None or duty.said is not None else duty.wanted

    def say(self, place: Place, body: RoundBody | FlLeave, now: int) -> list[RoleEffect]:
        """Propose what was done."""
        duty = self._duties[place]
        self._duties[place] = replace(duty, said=body, due_ms=now + INSIST_MS)
        return [Propose(body)]

    def fail(self, place: Place, now: int) -> None:
        """Try again later what could not be done."""
        duty = self._duties.get(place)
        if duty is not None and duty.said is None:
            wait_ms = min(2 * duty.wait_ms, RETRY_MS_MAX)
            self._duties[place] = replace(duty, due_ms=now + duty.wait_ms, wait_ms=wait_ms)

    def on_tick(self, now: int) -> list[RoleEffect]:
        """Do and say again what is due."""
        effects: list[RoleEffect] = []
        for place, duty in list(self._duties.items()):
            if duty.due_ms is None or now < duty.due_ms:
                continue
            if duty.said is None:
                self._duties[place] = replace(duty, due_ms=None)
                effects.append(duty.wanted)
            else:
                self._duties[place] = replace(duty, due_ms=now + INSIST_MS)
                effects.append(Propose(duty.said))
        return effects
