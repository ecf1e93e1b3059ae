"""A race: the same tasks by a process pool, Ray, Dask, Celery over Redis, and by ambientd.

Every round starts each contestant once, one after the other, lets it do each kind of task, and
ends it, so that a busy hour of the machine meets all of them. All answers of all of them must be
the same. What cannot take part is said by name in the table. `make bench-race` gives the others a
folder of their own for their packages.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.mesh import NOOP, machine
from benchmarks.race.alone import NOT_HERE
from benchmarks.race.chart import chart
from benchmarks.race.course import CORES, inputs_of, sum_of
from benchmarks.race.field import BUNDLE, HERE, ROOT, Contestant, Heat, LostError, Running, field_of
from benchmarks.race.table import page
from benchmarks.race.work import TASKS
from benchmarks.wasm_kernels import MODULE, OPTIMISED

WARM_UP = 64
MEASURED = HERE / "measured.json"
PAGE = ROOT / "docs" / "race.md"
CHART = ROOT / "docs" / "images" / "race.svg"


def main() -> None:
    """Run, print, and write the page where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=Path, help="the Python that has the others' packages")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=1_000, help="tasks of each kind in a run")
    parser.add_argument("--alone", type=int, default=50, help="no-ops asked for one by one")
    parser.add_argument("--bundle", type=int, default=BUNDLE, help="inputs to a task, in bundles")
    parser.add_argument("--only", nargs="+", help="those whose name has one of these in it")
    parser.add_argument("--write", action="store_true", help="write docs/race.md and its picture")
    parser.add_argument(
        "--draw", action="store_true", help="write them of what was measured before"
    )
    chosen = parser.parse_args()
    if chosen.draw:
        _write(json.loads(MEASURED.read_text(encoding="utf-8")))
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    parts = chosen.only or [""]
    field = [who for who in field_of(chosen.bundle) if any(part in who.name for part in parts)]
    before, found = machine(), {}
    with tempfile.TemporaryDirectory(prefix="race-") as folder:
        modules = {"RACE_NOOP": str(NOOP), "RACE_DIGEST": str(_digest_module(Path(folder)))}
        os.environ.update(modules)
        expected = {
            kind: sum_of([function(each) for each in inputs_of(kind, chosen.tasks)])
            for kind, function in TASKS.items()
        }
        alone = _can_be_alone()
        for run in range(chosen.runs):
            for who in field:
                one = found.setdefault(who.name, {"heats": [], "lost": None})
                if one["lost"] is None:
                    _one_start(who, one, chosen, expected, modules, alone=alone)
                    print(f"run {run + 1}, {who.name}: {one['lost'] or 'done'}", file=sys.stderr)
            measured = {
                "before": before,
                "after": machine(),
                "tasks": chosen.tasks,
                "bundle": chosen.bundle,
                "runs": run + 1,
                "found": found,
            }
            if chosen.write:  # after each run, so that one that is stopped leaves those before it
                _write(measured)
    print(page(measured))
    if any(one["lost"] for one in found.values()):
        sys.exit("not everybody took part: the table says who, and why")


def _write(measured: dict[str, object]) -> None:
    MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured), encoding="utf-8")
    CHART.write_text(chart(measured), encoding="utf-8")


def _one_start(
    who: Contestant,
    one: dict[str, object],
    chosen: argparse.Namespace,
    expected: dict[str, str],
    modules: dict[str, str],
    *,
    alone: bool,
) -> None:
    if not who.is_ours and chosen.peers is None:
        one["lost"] = "its packages are not here: make bench-race brings them"
        return
    running = Running(who, chosen.peers, modules, alone=alone)
    try:
        heat = _heat(who, running, chosen, expected)
    except LostError as error:
        one["lost"] = str(error)
    else:
        heats = one["heats"]
        assert isinstance(heats, list)
        heats.append(asdict(heat))
    finally:
        running.stop()


def _heat(
    who: Contestant, running: Running, chosen: argparse.Namespace, expected: dict[str, str]
) -> Heat:
    """Have one contestant do everything once; a wrong answer ends its race."""
    heat = Heat(running.await_ready(), load=os.getloadavg()[0])
    for kind in who.kinds:
        running.order(kind, WARM_UP, begin=chosen.tasks)  # no input twice: nobody may remember one
        spent_s, sent = running.processor_s(), running.wire_bytes()
        answer = running.order(kind, chosen.tasks)
        heat.processor_s[kind] = running.processor_s() - spent_s
        if sent is not None:
            heat.wire_bytes[kind] = (running.wire_bytes() or 0) - sent
        if answer["sum"] != expected[kind]:
            raise LostError(f"a wrong answer among {chosen.tasks} of {kind}")
        heat.seconds[kind] = float(str(answer["seconds"]))
    heat.memory_mib = running.memory_mib()
    begin = chosen.tasks + WARM_UP
    answer = running.order("wasm-noop", chosen.alone, begin=begin, one_by_one=True)
    times = answer["ms"]
    assert isinstance(times, list)
    heat.noop_ms = [round(each, 3) for each in times]
    return heat


def _digest_module(folder: Path) -> Path:
    """Build the task of 3 ms with the compiler of the reference modules."""
    built = folder / "digest.wasm"
    command = [sys.executable, "-m", "ziglang", "cc", *OPTIMISED, *MODULE]
    subprocess.run([*command, "-o", str(built), str(HERE / "digest.c")], check=True)
    return built


def _can_be_alone() -> bool:
    """Say whether a network of its own is to be had here, without which no byte is counted."""
    tried = [sys.executable, str(HERE / "alone.py"), "true"]
    return subprocess.run(tried, check=False).returncode != NOT_HERE


if __name__ == "__main__":
    main()
