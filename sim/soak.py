"""Many worlds with fresh seeds, on every core, until the time is up."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from sim.plans import COMMITTEES, Finding, Plan, attempt

HOUR_MS = 3_600_000
SOAKED = ("log", "node")


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


def fresh_base() -> int:
    """Draw the first seed of a soak; it is printed, so that the soak can be run again."""
    return int.from_bytes(os.urandom(5), "big")


def plans(base: int, scenarios: tuple[str, ...] = SOAKED) -> Iterator[Plan]:
    """Give worlds without end: each seed in the next scenario, with committees of all sizes."""
    seed = base
    while True:
        for scenario in scenarios:
            yield Plan(scenario, seed, COMMITTEES[seed % len(COMMITTEES)])
            seed += 1


def soak(
    base: int,
    minutes: float,
    jobs: int,
    scenarios: tuple[str, ...] = SOAKED,
    found: Callable[[Finding], None] = lambda _: None,
) -> Soaked:
    """Run worlds for a while; `found` is told of each failure at once."""
    soaked, source = Soaked(), plans(base, scenarios)
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, transient=True) as progress,
        ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        bar = progress.add_task("soaking", total=minutes * 60)
        running: dict[Future[Finding | None], Plan] = {}
        while running or soaked.worlds == 0 or time.monotonic() - began < minutes * 60:
            while len(running) < 2 * jobs and _has_time(began, minutes, soaked, running):
                plan = next(source)
                running[pool.submit(attempt, plan)] = plan
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                soaked.worlds += 1
                soaked.simulated_ms += running.pop(future).time_ms
                finding = future.result()
                if finding is not None:
                    soaked.findings.append(finding)
                    found(finding)
            said = f"{soaked.worlds} worlds, {soaked.hours:.1f} h, {len(soaked.findings)} broken"
            progress.update(bar, description=said, completed=time.monotonic() - began)
    soaked.seconds = time.monotonic() - began
    return soaked


def _has_time(
    began: float, minutes: float, soaked: Soaked, running: dict[Future[Finding | None], Plan]
) -> bool:
    is_first = soaked.worlds == 0 and not running
    return is_first or time.monotonic() - began < minutes * 60
