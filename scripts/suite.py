"""Runs the test suite in parts side by side: python -m scripts.suite --jobs 2.

A part is a folder of tests, or one file that takes long. The longest parts come first, so that
none is alone at the end. What a part that failed has said is shown whole.
"""

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

TESTS = Path("tests")
LONGEST = (
    "adapters",
    "wasm",
    "sim/trio_world",
    "cli",
    "mesh/test_faults.py",
    "worker",
    "api",
    "sim/test_disks.py",
    "sim/test_node_worlds.py",
    "runtime",
    "mesh/test_joining.py",
    "mesh/test_epochs.py",
    "mesh/test_failover.py",
    "mesh/test_compaction.py",
    "adapters/libp2p",
    "sim/test_museum.py",
    "sim/test_seasons.py",
    "sim/test_vices.py",
    "mesh",
    "sim",
)
"""Files and folders that take long on a quiet machine, and are parts of their own."""

NO_TESTS = 5  # pytest's status when it has run none
COUNTED = re.compile(r"(\d+) (passed|failed|error|skipped|xfailed)")


@dataclass(frozen=True, slots=True)
class Part:
    """A few files for one pytest."""

    name: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a part."""

    part: Part
    failed: bool
    seconds: float
    said: str

    @property
    def counts(self) -> Counter[str]:
        """Give how many tests ended in which way."""
        last = self.said.rstrip().rpartition("\n")[2]
        return Counter({how: int(number) for number, how in COUNTED.findall(last)})


def parts() -> list[Part]:
    """Lay out the suite: what takes long, then what is left of each folder."""
    places: dict[str, list[str]] = {name: [] for name in LONGEST}
    for path in sorted(TESTS.rglob("test_*.py")):
        name = path.relative_to(TESTS)
        homes = (str(name), *map(str, name.parents))
        home = next((each for each in homes if each in LONGEST), name.parts[0])
        places.setdefault(home, []).append(str(path))
    gone = [name for name, files in places.items() if not files]
    if gone:
        sys.exit(f"scripts/suite.py: LONGEST names {', '.join(gone)}, where there are no tests")
    return [Part(name, tuple(files)) for name, files in places.items()]


def run(part: Part, options: list[str]) -> Done:
    """Run a part to its end."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *part.files],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    failed = done.returncode not in (0, NO_TESTS)
    return Done(part, failed, time.monotonic() - began_s, done.stdout)


def in_words(counts: Counter[str]) -> str:
    """Say how many tests ended in which way."""
    return ", ".join(f"{count} {how}" for how, count in sorted(counts.items())) or "nothing to do"


def main() -> int:
    """Run all parts; tell what became of each, and fail if one has."""
    parser = argparse.ArgumentParser(prog="python -m scripts.suite", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="parts at a time")
    own, options = parser.parse_known_args()
    began_s, total, failed = time.monotonic(), Counter[str](), 0
    with ThreadPoolExecutor(own.jobs) as pool:
        try:
            for each in as_completed([pool.submit(run, part, options) for part in parts()]):
                done = each.result()
                total += done.counts
                failed += done.failed
                ending = "FAILED, " * done.failed + in_words(done.counts)
                print(f"{done.seconds:6.1f} s  {done.part.name}: {ending}", flush=True)
                if done.failed:
                    print(done.said, flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            return 130
    ending = f", {failed} parts FAILED" if failed else ""
    print(f"{in_words(total)} in {time.monotonic() - began_s:.0f} s{ending}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
