"""What proofs of the reference modules take: cycles, seconds, memory, bytes, and verifying them.

Needs `make proofs`. Seconds are of the clock and of the processor, for a machine is never idle.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mesh import machine
from scripts.proof_image import build

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
VERIFICATIONS = 9
_CYCLES = re.compile(r"outcome=(\S+) .*user_cycles=(\d+) padded_cycles=(\d+) segments=(\d+)")


@dataclass(frozen=True)
class Used:
    """What a program used."""

    told: str
    wall_s: float
    cpu_s: float
    memory_mib: float


def run(*command: str) -> Used:
    """Run a program and see what it used."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        told = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {told}")
    return Used(told, wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def tasks() -> dict[str, tuple[str, bytes]]:
    """Name module and input of each task."""
    digits = (EXAMPLES / "image-classify" / "digits-100.bin").read_bytes()
    return {
        "noop": ("noop/noop", b""),
        "8-bit network, a digit": ("image-classify/classify", b"\1\0\0\0" + digits[4:68]),
        "SHA-256 and tree of 1 KiB": ("file-hash/hash", bytes(range(256)) * 4),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--programs", type=Path, default=Path(sys.executable).parent)
    parser.add_argument("--segment", default="17", help="cycles of a segment, as a power of two")
    chosen = parser.parse_args()
    prover, verifier = (str(chosen.programs / f"ambient-{name}") for name in ("prove", "verify"))
    print(machine())
    for name, (module, data) in tasks().items():
        with tempfile.TemporaryDirectory() as scratch:
            image, given, proof = (Path(scratch) / each for each in ("image", "input", "proof"))
            image.write_bytes(build((EXAMPLES / f"{module}.wasm").read_bytes()))
            given.write_bytes(data)
            command = [prover, "prove", str(image), "--input", str(given), "--proof", str(proof)]
            proven = [run(*command, "--segment", chosen.segment) for _ in range(chosen.runs)]
            checked = [
                run(verifier, str(proof), "--image", str(image)) for _ in range(VERIFICATIONS)
            ]
            size_bytes = proof.stat().st_size
        found = _CYCLES.search(proven[0].told)
        assert found, proven[0].told
        outcome, cycles, padded, segments = found.groups()
        cpu = statistics.median(each.cpu_s for each in proven)
        print(
            f"{name}: {outcome}, {cycles} cycles, {padded} padded in {segments} segments; "
            f"proven in {statistics.median(each.wall_s for each in proven):.2f} s, "
            f"{cpu:.2f} s of processors, {int(padded) / cpu:,.0f} padded cycles/s of processor, "
            f"{max(each.memory_mib for each in proven):.0f} MiB, {size_bytes:,} bytes; verified in "
            f"{1000 * statistics.median(each.cpu_s for each in checked):.1f} ms of processor"
        )
    print(machine())


if __name__ == "__main__":
    main()
