"""What an idle daemon holds in memory, and which imports hold it.

Daemons of a local mesh are left alone for a while, then /proc tells their resident set (RSS) and
their share of it (PSS: what several processes map counts in parts). Apart from that, one fresh
process imports what a daemon imports, and each import's growth is put down to the package whose
module was being executed, without what that one imported itself.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.mesh import machine, running_daemons

KIB = 1024
SHOWN = 16


IMPORTS = """
import builtins, json
real, grown, inner = builtins.__import__, {}, [0]

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

def watched(name, space=None, names=None, wanted=(), level=0):
    before = resident_kib()
    inner.append(0)
    try:
        return real(name, space, names, wanted, level)
    finally:
        whole = resident_kib() - before
        own = whole - inner.pop()
        inner[-1] += whole
        package = (space or {}).get("__package__") if level else name
        place = str(package or name).split(".")[0]
        grown[place] = grown.get(place, 0) + max(0, own)

grown["(the interpreter)"] = resident_kib()
builtins.__import__ = watched
import ambientd.daemon
builtins.__import__ = real
print(json.dumps(grown))
"""
"""Run by a process of its own, which has imported nothing else."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--idle", type=float, default=30.0, help="seconds without any work")
    chosen = parser.parse_args()
    print(machine())
    with running_daemons(chosen.members) as daemons:
        time.sleep(chosen.idle)
        found = [rolled_up(process.pid) for process in daemons.values()]
    for name in ("Rss", "Pss", "Anonymous", "Private_Clean"):
        values = [each[name] / KIB for each in found]
        spread = f"{min(values):.1f} - {max(values):.1f}"
        print(f"{name:16} {statistics.median(values):6.1f} MiB ({spread})")
    told = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    by_package: dict[str, int] = json.loads(told)
    print(f"\nimports of a fresh process: {sum(by_package.values()) / KIB:.1f} MiB, of it")
    for package, kib in sorted(by_package.items(), key=lambda item: -item[1])[:SHOWN]:
        print(f"{package:24} {kib / KIB:6.1f} MiB")


def rolled_up(pid: int) -> dict[str, int]:
    """Give what the kernel adds up of a process's mappings, in KiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}


if __name__ == "__main__":
    main()
