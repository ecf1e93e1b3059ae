"""Many worlds on every core: with fresh seeds until the time is up, or given ones in order."""

import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from typing import TypeVar

from msgspec.structs import replace

from sim import fleet, task_times
from sim.interrupts import Workers, telling
from sim.plans import COMMITTEES, Finding, Plan, attempt, founded_max
from sim.progress import bar
from sim.quick import quick

Result = TypeVar("Result")

HOUR_MS = 3_600_000
HALF_HOUR_S = 1_800
SOAKED = ("log", "node")
LONG_COMMITTEES = (4, 3, 4, 1, 4, 7)
NODE_HOUR_EVERY = 16
FLEET_STEP_MS = 1_000
FLEET_LINES = 10  # how often a large world says how far it is where no bar can be drawn
WAITING = 8  # worlds of a sweep that a process has before it
PASSED_OVER_MAX = 64  # worlds too long for what is left of a soak, before it ends with none


@dataclass(slots=True)
class Soaked:
    """What a soak has shown."""

    worlds: int = 0
    simulated_ms: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def hours(self) -> float:
        """Give the simulated hours."""
        return self.simulated_ms / HOUR_MS

    @property
    def hours_in_half_an_hour(self) -> float:
        """Give what half an hour by the clock comes to, at this pace."""
        return self.hours * HALF_HOUR_S / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class FleetRun:
    """A large world, and what it cost here."""

    outcome: fleet.FleetOutcome
    seconds: float
    processor_seconds: float
    bytes_a_node: int


def run_fleet(options: fleet.FleetOptions) -> FleetRun:
    """Run a large world with a progress bar, or lines where nobody sees one, and measure it."""
    before = _resident_bytes()
    began, used = time.monotonic(), time.process_time()
    next_line_ms = options.time_ms // FLEET_LINES
    said = f"{options.nodes} nodes"
    with quick(), bar(said, options.time_ms, counts=False) as shown:
        world = fleet.build(options)
        with _unswept():
            for until_ms in range(0, options.time_ms + 1, FLEET_STEP_MS):
                world.world.run(until_ms)
                shown.show(until_ms)
                if until_ms >= next_line_ms and not shown.is_seen:
                    next_line_ms += options.time_ms // FLEET_LINES
                    far = f"{until_ms // 1_000} of {options.time_ms // 1_000} s"
                    sys.stderr.write(f"{said}, {far}\n")
                    sys.stderr.flush()
            outcome = fleet.finish(world, options)
    held = _resident_bytes() - before
    return FleetRun(
        outcome,
        time.monotonic() - began,
        time.process_time() - used,
        held // options.nodes,
    )


@dataclass(frozen=True, slots=True)
class TimesRun:
    """How long tasks took in a world, and what it cost here."""

    times: task_times.TaskTimes
    node_second_us: float
    """Processor time, by node and simulated second; microseconds."""


def run_task_times(options: task_times.TimesOptions) -> TimesRun:
    """Run a world in which nothing goes wrong, and measure what it costs."""
    used = time.process_time()
    with quick(), _unswept():
        times = task_times.play(options)
    used_us = (time.process_time() - used) * 1e6
    gc.collect()  # the world itself, whose parts know one another: it would weigh on the next
    return TimesRun(times, used_us / (options.nodes * options.ends_ms / 1_000))


@contextmanager
def _unswept() -> Iterator[None]:
    """Look for no garbage: what a world throws away holds no cycles, and looking takes long."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _resident_bytes() -> int:
    """Give the most memory that this process held; bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fresh_base() -> int:
    """Draw the first seed of a soak; it is printed, so that the soak can be run again."""
    return int.from_bytes(os.urandom(5), "big")


def plans(base: int, scenarios: tuple[str, ...] = SOAKED) -> Iterator[Plan]:
    """Give worlds without end: each seed in the next scenario, with committees of all sizes.

    Worlds of whole nodes begin in each state version in turn.
    """
    seed = base
    for number in count():
        for scenario in scenarios:
            yield _founded(Plan(scenario, seed, COMMITTEES[seed % len(COMMITTEES)]), number)
            seed += 1


def _founded(plan: Plan, number: int) -> Plan:
    return replace(plan, state_version=1 + number % founded_max(plan))


def long_plans(base: int) -> Iterator[Plan]:
    """Give worlds without end, most of them an hour long, each committee in turn."""
    for number in count():
        for place, nodes in enumerate(LONG_COMMITTEES):
            yield Plan("log", base + 10 * number + place, nodes, HOUR_MS)
        seed = base + 10 * number + len(LONG_COMMITTEES)
        yield Plan("log", seed, COMMITTEES[number % len(COMMITTEES)])
        yield _founded(Plan("node", seed + 1, COMMITTEES[number % len(COMMITTEES)]), number)
        if number % NODE_HOUR_EVERY == 0:
            yield _founded(Plan("node", seed + 2, 4, HOUR_MS), number // NODE_HOUR_EVERY)


class Pace:
    """How long worlds of each kind take here, so that none is begun that would outlast a soak."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._longest_s: dict[tuple[str, int, int], float] = {}

    def took(self, plan: Plan, seconds: float) -> None:
        """Note how long a world took."""
        kind = plan.scenario, plan.nodes, plan.time_ms
        self._longest_s[kind] = max(seconds, self._longest_s.get(kind, 0.0))

    def ahead(self, elapsed_s: float) -> int:
        """Give how many worlds a process may have before it: one alone as the end comes near."""
        longest_s = max(self._longest_s.values(), default=0.0)
        return 2 if self._limit_s - elapsed_s > 2 * longest_s else 1

    def fitting(self, source: Iterator[Plan], elapsed_s: float) -> Plan | None:
        """Give the next world that ends in time, as far as is known; None when there is none."""
        left_s = self._limit_s - elapsed_s
        if left_s <= 0:
            return None
        for plan in islice(source, PASSED_OVER_MAX):
            kind = plan.scenario, plan.nodes, plan.time_ms
            if self._longest_s.get(kind, 0.0) <= left_s:
                return plan
        return None


def soak(
    source: Iterator[Plan],
    minutes: float,
    jobs: int,
    found: Callable[[Finding], None] = lambda _: None,
) -> Soaked:
    """Run worlds for a while; `found` is told of each failure at once."""
    soaked = Soaked()
    began = time.monotonic()

    def far() -> str:
        return f"{soaked.worlds} worlds, {soaked.hours:.1f} h, {len(soaked.findings)} broken"

    with (
        telling(far),
        bar("soaking", minutes * 60, counts=False) as shown,
        Workers(jobs) as pool,
    ):
        running: dict[Future[tuple[Finding | None, float]], Plan] = {}
        pace = Pace(minutes * 60)
        while True:
            while len(running) < jobs * pace.ahead(_since(began)):
                is_first = soaked.worlds == 0 and not running
                plan = next(source) if is_first else pace.fitting(source, _since(began))
                if plan is None:
                    break
                running[pool.submit(_timed, plan)] = plan
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                plan = running.pop(future)
                soaked.worlds += 1
                soaked.simulated_ms += plan.time_ms
                finding, seconds = future.result()
                pace.took(plan, seconds)
                if finding is not None:
                    soaked.findings.append(finding)
                    found(finding)
            shown.show(_since(began), far())
    soaked.seconds = _since(began)
    return soaked


def _since(began: float) -> float:
    return time.monotonic() - began


def _timed(plan: Plan) -> tuple[Finding | None, float]:
    """Run a plan; give what it broke, and how long it took by the clock; seconds."""
    began = time.monotonic()
    with _unswept():
        found = attempt(plan)
    gc.collect()  # the world itself
    return found, _since(began)


def sweep(
    plans: Sequence[Plan],
    run: Callable[[Plan], Result],
    jobs: int,
    minutes: float | None = None,
) -> Iterator[Result]:
    """Run worlds, all of them or until the time is up; give what `run` says of each."""
    ends = None if minutes is None else time.monotonic() + minutes * 60
    with bar("sweeping", len(plans)) as shown:
        for result in _found(plans, jobs, ends, run):
            shown.advance()
            yield result


def _found(
    plans: Sequence[Plan], jobs: int, ends: float | None, run: Callable[[Plan], Result]
) -> Iterator[Result]:
    if jobs == 1:
        for number, plan in enumerate(plans):
            if number == 0 or ends is None or time.monotonic() < ends:
                yield run(plan)
        return
    with Workers(jobs) as pool:
        for first in range(0, len(plans), jobs * WAITING):
            if first == 0 or ends is None or time.monotonic() < ends:
                yield from pool.map(run, plans[first : first + jobs * WAITING])
