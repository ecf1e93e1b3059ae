"""Our federated learning beside Flower's: one run, the same model, data, seeds and machine.

    make bench-flower

Both train `mlp:784,126,10` (0.4 MB) with FedAvg on 100 unlike parts of MNIST, five rounds of one
pass, by the same code for gradients. Flower: its own simulation, a ServerApp, and ClientApps in
Ray's actors, once as it is fastest, and once with the scores that our rounds always have. Ours:
`flower_ours`. They take turns; the time is from the first round's beginning to the last one's end.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.flower_study import prepare
from benchmarks.mesh import machine

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Nothing is sent to anybody; products of matrices take one thread, as in a daemon."""
DEADLINE_S = 1_200.0
Found = dict[str, float]


def one_run(command: list[str], home: Path) -> Found:
    """Run one side; give what it printed last."""
    root = Path(__file__).parent.parent
    path = os.pathsep.join([str(root / "src"), str(root)])
    # Ray leaves its sessions where it is told to; the names of its sockets bear no long folder.
    env = {**os.environ, **QUIET, "PYTHONPATH": path}
    env |= {"FLWR_HOME": str(home / "f"), "RAY_TMPDIR": str(home)}
    done = subprocess.run(
        command, env=env, cwd=root, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: Found = json.loads(lines[-1])
    return found


def main() -> None:
    """Let both take turns, and print what they came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flower", type=Path, help="Python of an environment that has flwr")
    parser.add_argument("--data", default="examples/federated-mnist/mnist.npz")
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    sizes = ["--participants", str(options.participants), "--rounds", str(options.rounds)]
    with tempfile.TemporaryDirectory(prefix="flower-") as folder:
        data, home = Path(folder) / "data", Path(folder) / "r"
        data.mkdir()
        home.mkdir()
        prepare(options.data, data, options.participants)
        sides = {
            "ours": [sys.executable, "-m", "benchmarks.flower_ours", str(data), *sizes],
        }
        if options.flower is not None:
            theirs = [str(options.flower), "-m", "benchmarks.flower_theirs", str(data), *sizes]
            sides["Flower"] = [*theirs, "--without-scores"]
            sides["Flower, with scores"] = theirs
        seen: dict[str, list[Found]] = {name: [] for name in sides}
        print(machine(), flush=True)
        for _ in range(options.runs):
            for name, command in sides.items():
                found = one_run(command, home)
                seen[name].append(found)
                print(name, json.dumps(found), flush=True)
    updates = options.participants * options.rounds
    for name, runs in seen.items():
        rates = sorted(updates / run["seconds"] for run in runs)
        spent = sorted(1_000 * run["processor_s"] / updates for run in runs)
        right = sorted(run["accuracy"] for run in runs)
        print(
            f"{name}: {statistics.median(rates):.1f} client-updates/s ({rates[0]:.1f} - "
            f"{rates[-1]:.1f}), {statistics.median(spent):.1f} ms of processor time each "
            f"({spent[0]:.1f} - {spent[-1]:.1f}), accuracy {right[0]:.3f} - {right[-1]:.3f}"
        )
    print(machine())


if __name__ == "__main__":
    main()
