"""Make a find smaller: `python -m tests.fuzz.shrink MODULE SMALLER [--seconds N]`.

Small changes that keep the find are kept, until none helps for a while. Each candidate runs in a
process of its own, so a find that brings an engine down can be made smaller as well.
"""

import argparse
import os
import random
import time
from pathlib import Path

import ambientd_fuzz

from ambientd.adapters.engines import installed, open_engine
from tests.fuzz.differential import Comparison, Tally

CANDIDATE_S = 20
_SAME, _FIND = 0, 3
_TURNS = 12  # the same trials for every candidate, so many that the find's are like some of them


def verdict(comparison: Comparison, module: bytes) -> str:
    """Say what a module makes the engines do: nothing if they agree, or how they differ or died."""
    child = os.fork()
    if child == 0:
        tally = Tally()
        for seed in range(_TURNS):
            comparison.examine(module, "shrink", random.Random(seed), tally)
        os._exit(_FIND if tally.finds else _SAME)
    deadline = time.monotonic() + CANDIDATE_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return "hangs"
        time.sleep(0.002)
    code = os.waitstatus_to_exitcode(status)
    return {_SAME: "", _FIND: "differs"}.get(code, f"ends with {code}")


def shrink(comparison: Comparison, module: bytes, seconds: float) -> bytes:
    """Return the smallest module found that still has the same verdict."""
    wanted = verdict(comparison, module)
    if not wanted:
        raise SystemExit("the engines agree on this module; nothing to shrink")
    print(f"{len(module)} bytes: {wanted}")
    rng, ends = random.Random(1), time.monotonic() + seconds
    while time.monotonic() < ends:
        reduce = rng.random() < 0.8
        smaller = ambientd_fuzz.mutate(module, rng.getrandbits(64), reduce=reduce)
        if smaller is None or len(smaller) >= len(module):
            continue
        if verdict(comparison, smaller) == wanted:
            module = smaller
            print(f"{len(module)} bytes", flush=True)
    return module


def main() -> None:
    """Shrink one file."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.shrink")
    parser.add_argument("module", type=Path)
    parser.add_argument("smaller", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=list(installed()))
    arguments = parser.parse_args()
    engines = [open_engine(name) for name in arguments.engines]
    comparison = Comparison(engines, ambientd_fuzz.invalid)
    smaller = shrink(comparison, arguments.module.read_bytes(), arguments.seconds)
    arguments.smaller.write_bytes(smaller)


if __name__ == "__main__":
    main()
