"""Play every trouble on seven real nodes and judge the history: python -m tests.chaos."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.nemeses import NEMESES
from tests.chaos.network import what_is_missing
from tests.chaos.play import Plan, play


def main() -> int:
    """Run and print; give 1 when a promise was broken, 3 when this machine cannot."""
    parser = argparse.ArgumentParser("chaos", description=__doc__)
    parser.add_argument("--members", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--trouble", type=float, default=8.0, help="seconds of each trouble")
    parser.add_argument("--only", nargs="*", choices=sorted(NEMESES), help="these troubles alone")
    parser.add_argument("--folder", type=Path, help="keep the nodes' folders there")
    chosen = parser.parse_args()
    missing = what_is_missing()
    if missing is not None:
        print(f"chaos cannot run here: {missing}")
        return 3
    plan = Plan(
        members=chosen.members,
        seed=chosen.seed,
        trouble_s=chosen.trouble,
        nemeses=tuple(chosen.only or NEMESES),
    )
    begin = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begin:6.1f} s  {text}", flush=True)

    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="ambient-chaos-") as scratch:
        outcome = play((chosen.folder or Path(scratch)) / "mesh", plan, say)
    history = outcome.history
    waits = sorted(history.waits_s)
    frames, lost, overtaken = outcome.frames
    say(
        f"{len(history.acknowledged)} tasks acknowledged, {len(history.unanswered)} questions "
        f"without an answer at first, {history.merged} of them in the log by themselves; "
        f"waited p50 {waits[len(waits) // 2]:.2f} s, "
        f"p95 {waits[len(waits) * 95 // 100]:.2f} s; {len(history.coordinators)} terms seen"
    )
    say(f"{frames} frames, {lost} lost, {overtaken} overtaken; load {load:.1f} at the start")
    for fault in outcome.faults:
        say(f"BROKEN: {fault}")
    say("a promise was broken" if outcome.faults else "every promise held")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
