"""What was measured, as a page for the documents: every figure from the race, none by hand."""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.mesh import percentile
from benchmarks.race.field import FIELD

Measured = dict[str, Any]


def _section(title: str, *columns: str) -> str:
    head, rule = f"| | {' | '.join(columns)} |", "|---|" + "---|" * len(columns)
    return f"\n## {title}\n\n{head}\n{rule}"


HEAD = """# A race on two cores

Written by `make bench-race RACE="--write"`; no figure here is by hand.

Runs: {runs}, each contestant started anew in every one and one after the other; {tasks} tasks of
each kind in a run. Medians, the range in brackets. {before}; after it {after}.
{busy}
![Tasks a second, by contestant](images/race.svg)

Everybody has both cores and one program that asks; everybody but ambientd, whose four daemons
execute in processes of their own, has two executing processes. A task is a
no-op, or SHA-256 eight thousand times (some 3 ms of a core), as a WebAssembly module in a fresh
instance of wasmtime (the same module for everybody; only ambientd meters and locks it down) or
natively in Python's own words. All answers are checked. ambientd executes WebAssembly alone.

**What is compared differs.** The pool, Ray and Dask keep nothing: what a process held is gone
with it. Redis keeps a snapshot now and then, or each write (*synced*). With ambientd each task is
signed, ordered by four daemons of whom one may lie, durable at three, and leaves a receipt;
`none` has one worker execute it, `replicated` two who seal their answers before they are
compared. Bare, each input is a task of its own. *bundles* puts {bundle} inputs into a task, each
executed by itself and with a receipt of its own. Thousands a second are rates in bundles: the same
in single tasks is the bare row above. Bare and bundled, all four daemons are asked. *map* is
`Mesh.map` as it comes: one list, one daemon, bundles for what turns out to be short. The others
get one input a message, as they come: a pool that is given `chunksize`, say, does more no-ops a
second, as bundles do. "Twice and compared" is comparing without seal, signature or record.
"""

SPEED = _section(
    "Tasks a second",
    "no-op, wasm",
    "3 ms, wasm",
    "no-op, native",
    "3 ms, native",
    "one no-op alone, p50 / p99",
    "useful work against the pool's",
)

COST = _section(
    "What it takes",
    "start until the first answer",
    "memory",
    "processor time a no-op, wasm",
    "the same of 3 ms",
    "on the wire a no-op, wasm",
    "what outlives a crash",
)

BUSY = """
**The machine was busy with other work** (load average up to {:.0f} on two cores while contestants
ran), so rates and times of the clock are far from what each can do, and compare badly: who has
more processes, as ambientd and Ray do, gets more of such a machine than the pool with its two,
and shares above 100% are nothing but that. Processor time, memory and bytes hold.
"""
BUSY_LOAD = 6.0
"""What contestants make by themselves stays below it: 5 on two cores that nobody else used."""

NOTES = """
Memory is that of all processes after the work, what they share counted once (PSS), the asking
program too. The wire is the loopback interface of a network namespace of the contestant's own,
all headers included; pipes, local sockets and shared memory are not in it. *Useful work* is 3 ms
tasks a second as WebAssembly, divided by the process pool's.
"""


def page(measured: Measured) -> str:
    """Lay the whole page out."""
    found = measured["found"]
    names = [who.name for who in FIELD if who.name in found]
    load = max((heat["load"] for one in found.values() for heat in one["heats"]), default=0.0)
    busy = BUSY.format(load) if load > BUSY_LOAD else ""
    lines = [HEAD.format(**measured, busy=busy), SPEED]
    lines += [_speed_row(name, measured) for name in names]
    lines += [COST, *(_cost_row(name, measured) for name in names), NOTES]
    return "\n".join(lines).rstrip() + "\n"


def rate(measured: Measured, name: str, kind: str) -> float | None:
    """Give the median of a contestant's tasks a second, or None where there is none."""
    rates = _rates(measured, name, kind)
    return statistics.median(rates) if rates else None


def _rates(measured: Measured, name: str, kind: str) -> list[float]:
    heats = measured["found"].get(name, {"heats": []})["heats"]
    return [measured["tasks"] / heat["seconds"][kind] for heat in heats if kind in heat["seconds"]]


def _speed_row(name: str, measured: Measured) -> str:
    one = measured["found"][name]
    if one["lost"]:
        return f"| {name} | did not take part: {_in_a_cell(one['lost'])} |" + " |" * 5
    cells = [
        _spread(_rates(measured, name, kind), "{:,.0f}")
        for kind in ("wasm-noop", "wasm-digest", "native-noop", "native-digest")
    ]
    alone = [time for heat in one["heats"] for time in heat["noop_ms"]]
    cells.append(f"{percentile(alone, 0.5):.1f} / {percentile(alone, 0.99):.1f} ms")
    ours, pools = (rate(measured, each, "wasm-digest") for each in (name, "process pool"))
    cells.append(f"{ours / pools:.1%}" if ours and pools else "—")
    return f"| {name} | {' | '.join(cells)} |"


def _cost_row(name: str, measured: Measured) -> str:
    one = measured["found"][name]
    keeps = next(who.keeps for who in FIELD if who.name == name)
    if one["lost"]:
        return f"| {name} | | | | | | {keeps} |"
    heats, tasks = one["heats"], measured["tasks"]

    def cell(pattern: str, figure: Callable[[Any], float | None]) -> str:
        return _spread([each for heat in heats if (each := figure(heat)) is not None], pattern)

    cells = [
        cell("{:.1f} s", lambda heat: heat["boot_s"]),
        cell("{:.0f} MiB", lambda heat: heat["memory_mib"]),
        cell("{:.2f} ms", lambda heat: 1000 * heat["processor_s"]["wasm-noop"] / tasks),
        cell("{:.2f} ms", lambda heat: 1000 * heat["processor_s"]["wasm-digest"] / tasks),
        cell("{:,.0f} B", lambda heat: _each(heat["wire_bytes"].get("wasm-noop"), tasks)),
        keeps,
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _each(whole: int | None, tasks: int) -> float | None:
    return None if whole is None else whole / tasks


def _spread(values: list[float], pattern: str) -> str:
    if not values:
        return "—"
    low, middle, high = min(values), statistics.median(values), max(values)
    unit = pattern[pattern.index("}") + 1 :]
    bare = pattern.removesuffix(unit)
    return f"{pattern.format(middle)} ({bare.format(low)} – {bare.format(high)})"


def _in_a_cell(text: str) -> str:
    return text.replace("|", "/")
