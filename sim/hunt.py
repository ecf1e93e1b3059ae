"""Hunting mutants: which checker kills each deliberate bug, after how many worlds; as a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sim.interrupts import Workers
from sim.mutants import MUTANTS
from sim.plans import Finding, Plan, attempt

SEEDS_MAX = 30
SLIPS = frozenset({"AttributeError", "NameError", "TypeError"})
"""Where a bug ends so, what it takes the place of has changed since, and nobody saw the bug."""
HEADINGS = "| bug | what is wrong | killed by | worlds |\n|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Hunt:
    """How the hunt for one mutant went."""

    name: str
    worlds: int
    finding: Finding | None

    @property
    def is_killed(self) -> bool:
        """Tell whether a checker saw the bug, or the code itself, and not that it is no program."""
        return self.finding is not None and self.finding.invariant not in SLIPS

    @property
    def row(self) -> str:
        """Give its line of the table; an error of the code's own, by its name."""
        if self.finding is None:
            return f"| {named(self.name)} | ALIVE | {self.worlds} |"
        killer = self.finding.invariant
        is_an_error = killer.isidentifier() and not killer.islower()
        shown = f"`{killer}`" if is_an_error else killer
        alive = "" if self.is_killed else "ALIVE: "
        return f"| {named(self.name)} | {alive}{shown} | {self.worlds} |"


def named(name: str) -> str:
    """Give a mutant's name and what is wrong with it, as the table begins its line."""
    return f"`{name}` | {MUTANTS[name].text}"


def hunt(name: str, seeds_max: int = SEEDS_MAX) -> Hunt:
    """Run worlds with one bug until a checker sees it, or the seeds are used up."""
    mutant = MUTANTS[name]
    for seed in range(1, seeds_max + 1):
        plan = Plan(mutant.scenario, seed, 4, mutant.time_ms, mutant=name, lies=mutant.lies)
        finding = attempt(plan)
        if finding is not None:
            return Hunt(name, seed, finding)
    return Hunt(name, seeds_max, None)


def hunt_all(names: Sequence[str], jobs: int, seeds_max: int = SEEDS_MAX) -> Iterator[Hunt]:
    """Hunt several mutants at once, each in a process of its own; in the order of their names."""
    with Workers(jobs) as pool:
        yield from pool.map(partial(hunt, seeds_max=seeds_max), names)
