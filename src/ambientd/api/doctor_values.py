"""What a device is found to be like: one finding for each thing that can be wrong with it."""

from enum import StrEnum

import msgspec

from ambientd.api.replies import Reply
from ambientd.api.requests import Request


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at; `advice` says what to do, and is empty where all is well."""

    name: str
    grade: Grade
    text: str
    advice: str = ""


class Checkup(msgspec.Struct, frozen=True, kw_only=True):
    """All findings; `running` says whether a daemon answered."""

    running: bool
    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Grade:
        """Give the worst grade there is."""
        grades = [finding.grade for finding in self.findings]
        return max(grades, key=list(Grade).index, default=Grade.OK)


class LookRound(Request, frozen=True):
    """How do peers see this node?"""


class LookedAt(Reply, frozen=True):
    """One peer's view; `clock_ms` is how far its clock is ahead, `reached` null if not tried."""

    node: str
    reached: bool | None
    clock_ms: int
    version: str


class Looks(Reply, frozen=True):
    """What the peers that were asked said; `clock_ms` is the median of their clocks.

    `block_ms` is how far the time of the last block is ahead of this node's clock, and `relays`
    through how many members this node can be reached.
    """

    port: int
    asked: int
    peers: tuple[LookedAt, ...]
    clock_ms: int | None
    block_ms: int
    relays: int = 0


def fine(name: str, text: str) -> Finding:
    """Give a finding that all is well."""
    return Finding(name=name, grade=Grade.OK, text=text)


def warns(name: str, text: str, advice: str) -> Finding:
    """Give a finding that should be looked after."""
    return Finding(name=name, grade=Grade.WARN, text=text, advice=advice)


def fails(name: str, text: str, advice: str) -> Finding:
    """Give a finding that keeps the node from what it is for."""
    return Finding(name=name, grade=Grade.FAIL, text=text, advice=advice)


def failed(name: str, error: Exception) -> Finding:
    """Give what an error of ours says, whose last part is what to do."""
    text, _, advice = str(error).rpartition("; ")
    if not text:
        text, _, advice = str(error).rpartition(": ")
    return fails(name, text or str(error), advice or "mend it")
