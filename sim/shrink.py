"""A failing run made small: fewer faults, fewer nodes, less time, fewer happenings."""

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from sim.faults import BY_LABEL, labels
from sim.happenings import Happening
from sim.plans import LIARS, TIME_MS_MIN, Finding, Plan, attempt, drawn_happenings

TIMES_MS = (TIME_MS_MIN, 40_000)
ATTEMPTS_MAX = 200

Attempt = Callable[[Plan], Finding | None]


class Shrinker:
    """Keeps the smallest plan that breaks the same promise."""

    def __init__(
        self, finding: Finding, attempts: int = ATTEMPTS_MAX, run: Attempt = attempt
    ) -> None:
        self.finding = finding
        self.attempts = 0
        self._attempts_max = attempts
        self._run = run

    @property
    def plan(self) -> Plan:
        """Give the smallest plan so far."""
        return self.finding.plan

    def shrink(self) -> Finding:
        """Shrink in every way, the cheapest for the reader first."""
        self._take_first(self._shorter())
        self._drop_faults()
        self._take_first(self._smaller())
        if self.plan.effective_faults:
            self._drop_happenings()
        return self.finding

    def _still_breaks(self, plan: Plan) -> bool:
        if self.attempts >= self._attempts_max:
            return False
        self.attempts += 1
        found = self._run(plan)
        if found is None or found.invariant != self.finding.invariant:
            return False
        self.finding = found
        return True

    def _take_first(self, plans: Iterator[Plan]) -> None:
        any(self._still_breaks(plan) for plan in plans)

    def _shorter(self) -> Iterator[Plan]:
        for time_ms in TIMES_MS:
            if time_ms < self.plan.time_ms:
                yield replace(self.plan, time_ms=time_ms)

    def _smaller(self) -> Iterator[Plan]:
        for nodes in range(1, self.plan.nodes):
            yield replace(self.plan, nodes=nodes)

    def _drop_faults(self) -> None:
        for label in labels(self.plan.effective_faults):
            fewer = self.plan.effective_faults - {BY_LABEL[label]}
            lies = self.plan.lies if fewer & LIARS else None
            self._still_breaks(replace(self.plan, faults=labels(fewer), lies=lies))

    def _drop_happenings(self) -> None:
        """Leave out halves, then quarters, down to single happenings (as delta debugging does)."""
        kept: tuple[Happening, ...] = drawn_happenings(self.plan)
        size = len(kept)
        while size >= 1:
            start = 0
            while start < len(kept):
                fewer = kept[:start] + kept[start + size :]
                if self._still_breaks(replace(self.plan, happenings=fewer)):
                    kept = fewer
                else:
                    start += size
            size //= 2
