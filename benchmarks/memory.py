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

from ambientd.api.cluster import ClusterPlan
from ambientd.config.memory_options import MemoryProfile
from benchmarks.mesh import await_ready, machine, running_daemons

KIB = 1024
SHOWN = 16
AFTER_S = 5.0


IMPORTS = """
import builtins, json
real, grown, inner = builtins.__import__, {}, [0]

def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4

def watched(name, space=None, names=None, fromlist=(), level=0):
    before = resident_kib()
    inner.append(0)
    try:
        return real(name, space, names, fromlist, level)
    finally:
        whole = resident_kib() - before
        own = whole - inner.pop()
        inner[-1] += whole
        package = (space or {}).get("__package__") if level else name
        place = str(package or name).split(".")[0]
        grown[place] = grown.get(place, 0) + max(0, own)

grown["(the interpreter)"] = resident_kib()
builtins.__import__ = watched
from ambientd.adapters.slim_standard import openssl_later
with openssl_later(with_hashes=SLIM is False):
    import ambientd.daemon.composition
    if not SLIM:
        import ambientd.daemon.front_desk
builtins.__import__ = real
print(json.dumps(grown))
"""
"""Run by a process of its own, which has imported nothing else."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--slim", action="store_true", help="with the slim profile")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds without any work")
    chosen = parser.parse_args()
    print(machine())
    profile = MemoryProfile.SLIM if chosen.slim else MemoryProfile.FULL
    plan = ClusterPlan(bitcoin="off", options={"memory": {"profile": profile.value}})
    with running_daemons(chosen.members, plan, is_asked=False) as daemons:
        time.sleep(chosen.idle)
        unasked = [rolled_up(process.pid) for process in daemons.values()]
        for node in daemons:
            await_ready(node, chosen.members - 1)
        time.sleep(AFTER_S)
        asked = [rolled_up(process.pid) for process in daemons.values()]
    print(f"{profile.value}, nobody has asked anything yet")
    show(unasked)
    print(f"{profile.value}, after `ambientctl status`")
    show(asked)
    show_imports(is_slim=chosen.slim)


def show(found: list[dict[str, int]]) -> None:
    """Print medians and ranges."""
    for name in ("Rss", "Pss", "Anonymous", "Private_Clean"):
        values = [each[name] / KIB for each in found]
        spread = f"{min(values):.1f} - {max(values):.1f}"
        print(f"{name:16} {statistics.median(values):6.1f} MiB ({spread})")


def show_imports(*, is_slim: bool) -> None:
    """Print what a fresh process grows by."""
    told = subprocess.run(
        [sys.executable, "-c", f"SLIM = {is_slim}\n{IMPORTS}"],
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
