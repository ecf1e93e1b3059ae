"""Says how long tasks take among few nodes and among many: medians of the worlds, and the range."""

import statistics
from collections.abc import Callable, Iterator, Sequence

from sim.checkers import InvariantViolation
from sim.commits import commit
from sim.detection import percentile
from sim.progress import tracked
from sim.soak import TimesRun, run_task_times
from sim.task_times import TaskTimes, TimesOptions
from sim.traffic import RATES_SAID

FIGURES: tuple[tuple[str, Callable[[TaskTimes], int]], ...] = (
    ("submit -> assigned, p50", lambda times: percentile(times.assigned_ms, 50)),
    ("submit -> assigned, p99", lambda times: percentile(times.assigned_ms, 99)),
    ("submit -> final, p50", lambda times: percentile(times.final_ms, 50)),
    ("submit -> final, p99", lambda times: percentile(times.final_ms, 99)),
)


def played(sizes: Sequence[int], seeds: Sequence[int], tasks: int, every_ms: int) -> Iterator[str]:
    """Play worlds of each size and say what came of them.

    Raises InvariantViolation when a world breaks a promise, after saying so.
    """
    first: list[TimesRun] = []
    for nodes in sizes:
        runs = []
        for seed in tracked(f"{nodes} nodes", seeds, len(seeds)):
            try:
                runs.append(run_task_times(TimesOptions(seed, nodes, tasks, every_ms)))
            except InvariantViolation as violation:
                again = f"latency --nodes {nodes} --seeds {seed} --tasks {tasks}"
                yield f"seed {seed}, {nodes} nodes: BROKEN {violation}"
                yield f"  commit {commit()}; replay: python -m sim {again} --every-ms {every_ms}"
                raise
        yield f"{nodes} nodes, seeds {seeds[0]} to {seeds[-1]}, {tasks} tasks, one in {every_ms} ms"
        yield from lines(runs)
        if first:
            yield f"  against {sizes[0]} nodes: {against(first, runs)}"
        first = first or runs


def lines(runs: Sequence[TimesRun]) -> Iterator[str]:
    """Say what worlds of one size came to; the traffic is that of the first of them."""
    for name, figure in FIGURES:
        found = [figure(run.times) for run in runs]
        middle = statistics.median(found)
        yield f"  {name}: {middle:.0f} ms ({min(found)} - {max(found)})"
    blocks = statistics.median(run.times.blocks for run in runs)
    spent_us = statistics.median(run.node_second_us for run in runs)
    yield f"  blocks amid the tasks: {blocks:.0f}"
    yield f"  processor time of a node and second, checkers and all: {spent_us:.0f} µs"
    yield f"  amid the tasks, {RATES_SAID}"
    for rates in runs[0].times.rates:
        yield f"    {rates.text()}"


def against(few: Sequence[TimesRun], many: Sequence[TimesRun]) -> str:
    """Say how the medians of one size stand to those of another."""

    def middle(figure: Callable[[TaskTimes], int], runs: Sequence[TimesRun]) -> float:
        return statistics.median(figure(run.times) for run in runs)

    said = (f"{name} {middle(figure, many) / middle(figure, few):.2f}" for name, figure in FIGURES)
    return ", ".join(said)
