"""What proofs take: cycles, seconds, memory, bytes, and verifying them, by each prover built.

Needs `make proofs`, for each of the kernels to compare once: `make proofs KERNELS=avx2`,
`portable`, `published`. Seconds are of the clock and of the processor, for a machine is never
idle. The tasks are proven with the first of the kernels; one of them with each, for cycles a
second. With `--wasmi`, the other way to take any module is proven too: wasmi as the guest, on
unchanged crates.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import wasmtime

from benchmarks.mesh import machine
from scripts.proof_image import build, build_universal, prepared

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
KERNELS = ("avx512", "avx2", "portable", "published")
VERIFICATIONS = 9
SEGMENT = "17"
_CYCLES = re.compile(r"outcome=(\S+) .*user_cycles=(\d+) padded_cycles=(\d+) segments=(\d+)")
_COMPILED = (
    *("--target=wasm32-freestanding", "-mcpu=lime1+bulk_memory", "-std=c2x", "-O3", "-nostdlib"),
    *("-ffreestanding", "-fno-sanitize=all", "-g0", "-Wl,--no-entry", "-Wl,--strip-all"),
)
BYTES_A_SEGMENT_MAX = 256 << 10
MEMORY_MIB_MAX = 1536
VERIFIED_MS_MAX = 50


@dataclass(frozen=True)
class Task:
    """What is proven, and in what time it should be."""

    name: str
    image: bytes
    input: bytes = b""
    prepared: bytes | None = None  # where the image takes any module
    seconds_max: float | None = None
    segment: str | None = None


@dataclass(frozen=True)
class Used:
    """What a program used."""

    told: str
    wall_s: float
    cpu_s: float
    memory_mib: float


@dataclass(frozen=True)
class Proven:
    """A task, proven some times, and its proof verified some times."""

    cycles: int
    padded: int
    segments: int
    runs: tuple[Used, ...]
    proof_bytes: int
    checks: tuple[Used, ...]

    @property
    def wall_s(self) -> float:
        """Of the clock, the median."""
        return statistics.median(each.wall_s for each in self.runs)

    @property
    def cpu_s(self) -> float:
        """Of processors, the median."""
        return statistics.median(each.cpu_s for each in self.runs)


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


def compiled(source: Path) -> bytes:
    """Compile a module that is no example, with the compiler of the examples."""
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *_COMPILED, "-o", str(made), str(source)]
        subprocess.run(command, check=True, env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": scratch})
        return made.read_bytes()


def xorshift() -> bytes:
    """Give the module of so many rounds of it."""
    return bytes(wasmtime.wat2wasm(Path(__file__).with_name("xorshift.wat").read_text("ascii")))


def tasks() -> list[Task]:
    """Give each task, with its aim on two free cores with AVX-512."""
    digits = (EXAMPLES / "image-classify" / "digits-100.bin").read_bytes()
    digit = b"\1\0\0\0" + digits[4:68]
    noop = (EXAMPLES / "noop" / "noop.wasm").read_bytes()
    network = (EXAMPLES / "image-classify" / "classify.wasm").read_bytes()
    filters = (EXAMPLES / "int8-cnn" / "classify.wasm").read_bytes()
    rounds = xorshift()
    hashing = compiled(Path(__file__).with_name("sha256.c"))
    universal, kib = build_universal(), bytes(range(256)) * 4
    few, many = (number.to_bytes(4, "little") for number in (10, 600))
    return [
        Task("8-bit network, a digit", build(network), digit, seconds_max=3),
        Task("8-bit convolutional network, a digit", build(filters), digit, seconds_max=3),
        Task("noop", build(noop), seconds_max=3),
        Task("600 rounds of xorshift", build(rounds), many, seconds_max=3),
        Task("SHA-256 of 1 KiB", build(hashing), kib, seconds_max=10, segment="16"),
        Task("noop, interpreted", universal, b"", prepared(noop), 6),
        Task("10 rounds of xorshift, interpreted", universal, few, prepared(rounds), 6),
    ]


def prove(task: Task, prover: Path, verifier: Path, runs: int, segment: str) -> Proven:
    """Prove a task some times; verify the last proof some times."""
    with tempfile.TemporaryDirectory() as scratch:
        paths = {name: Path(scratch) / name for name in ("image", "input", "proof", "module")}
        paths["image"].write_bytes(task.image)
        paths["input"].write_bytes(task.input)
        command = [str(prover), "prove", str(paths["image"]), "--segment", task.segment or segment]
        if task.prepared is not None:
            paths["module"].write_bytes(task.prepared)
            command += ["--module", str(paths["module"])]
        command += ["--input", str(paths["input"]), "--proof", str(paths["proof"])]
        done = [run(*command) for _ in range(runs)]
        check = [str(verifier), str(paths["proof"]), "--image", str(paths["image"])]
        checks = [run(*check) for _ in range(VERIFICATIONS)]
        proof_bytes = paths["proof"].stat().st_size
    found = _CYCLES.search(done[0].told)
    assert found, done[0].told
    cycles, padded, segments = (int(each) for each in found.groups()[1:])
    return Proven(cycles, padded, segments, tuple(done), proof_bytes, tuple(checks))


def interleaved(universal: Task, own: Task, prover: Path, verifier: Path, runs: int) -> str:
    """Prove one task by turns with the universal image and with its module's own, for a row."""
    found = [
        tuple(prove(each, prover, verifier, 1, SEGMENT) for each in (universal, own))
        for _ in range(runs)
    ]
    ratio = statistics.median(first.cpu_s / second.cpu_s for first, second in found)
    cells = []
    for done in zip(*found, strict=True):
        cpu_s = [each.cpu_s for each in done]
        wall_s = statistics.median(each.wall_s for each in done)
        cells.append(
            f"{done[0].padded:,} | {statistics.median(cpu_s):.2f} "
            f"({min(cpu_s):.2f} – {max(cpu_s):.2f}) | {wall_s:.2f}"
        )
    return f"| {own.name} | {' | '.join(cells)} | {ratio:.1f} |"


def compare(prover: Path, verifier: Path, runs: int) -> None:
    """Print what a module's own image saves, by turns, so that a busy machine favours neither."""
    listed = {each.name: each for each in tasks()}
    few, many = (number.to_bytes(4, "little") for number in (10, 600))
    interpreted = listed["10 rounds of xorshift, interpreted"]
    own = listed["600 rounds of xorshift"]
    print("| task | universal: padded | s of processors | s | own: padded | s of processors | s "
          "| times |\n|---|---|---|---|---|---|---|---|")  # fmt: skip
    for universal, other in (
        (listed["noop, interpreted"], listed["noop"]),
        (interpreted, replace(own, name="10 rounds of xorshift", input=few)),
        (replace(interpreted, input=many), own),
    ):
        print(interleaved(universal, other, prover, verifier, runs), flush=True)


def shown(task: Task, proven: Proven) -> str:
    """Say it in a row of a table, with the aims that are missed."""
    memory_mib = max(each.memory_mib for each in proven.runs)
    checked_ms = 1000 * statistics.median(each.wall_s for each in proven.checks)
    missed = [
        name
        for name, is_missed in (
            ("time", task.seconds_max is not None and proven.wall_s >= task.seconds_max),
            ("bytes", proven.proof_bytes / proven.segments >= BYTES_A_SEGMENT_MAX),
            ("memory", memory_mib >= MEMORY_MIB_MAX),
            ("verifying", checked_ms >= VERIFIED_MS_MAX),
        )
        if is_missed
    ]
    aim = "" if task.seconds_max is None else f" (aim {task.seconds_max:g})"
    return (
        f"| {task.name} | {proven.cycles:,} | {proven.padded:,} in {proven.segments} "
        f"| {proven.wall_s:.2f}{aim} | {proven.cpu_s:.2f} | {memory_mib:.0f} "
        f"| {proven.proof_bytes:,} | {checked_ms:.1f} | {', '.join(missed) or '-'} |"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--programs", type=Path, default=Path(sys.executable).parent)
    parser.add_argument(
        "--own", action="store_true", help="only what a module's own image saves, by turns"
    )
    parser.add_argument("--segment", default=SEGMENT, help="cycles of a segment, as a power of two")
    parser.add_argument("--wasmi", type=Path, help="the image of benchmarks/wasmi_guest")
    chosen = parser.parse_args()
    verifier = chosen.programs / "ambient-verify"
    built = {name: chosen.programs / f"ambient-prove-{name}" for name in KERNELS}
    provers = {name: place for name, place in built.items() if place.is_file()}
    if not provers:
        raise SystemExit("there is no prover; say make proofs")
    first, widest = next(iter(provers.items()))
    print(machine(), f"\n\nkernels: {first}\n")
    if chosen.own:
        compare(widest, verifier, chosen.runs)
        print("\n" + machine())
        return
    listed = tasks()
    print("| task | cycles | padded, segments | s | s of processors | MiB | bytes | ms to verify |"
          " missed |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    for task in listed:
        print(shown(task, prove(task, widest, verifier, chosen.runs, chosen.segment)), flush=True)
    print(f"\n{listed[0].name}\n\n| kernels | s | s of processors | padded cycles/s "
          "| of processor |\n|---|---|---|---|---|")  # fmt: skip
    for name, prover in provers.items():
        proven = prove(listed[0], prover, verifier, chosen.runs, chosen.segment)
        print(
            f"| {name} | {proven.wall_s:.2f} | {proven.cpu_s:.2f} "
            f"| {proven.padded / proven.wall_s:,.0f} | {proven.padded / proven.cpu_s:,.0f} |",
            flush=True,
        )
    if chosen.wasmi and "published" in provers:
        given = listed[-1]
        task = Task(
            f"{given.name}, by wasmi", chosen.wasmi.read_bytes(), given.input, given.prepared
        )
        proven = prove(task, provers["published"], verifier, 1, "17")
        print("\nkernels: published\n\n" + shown(task, proven))
    print("\n" + machine())


if __name__ == "__main__":
    main()
