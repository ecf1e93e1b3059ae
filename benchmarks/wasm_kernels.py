"""Five kernels as prepared modules on every installed engine, against the same source natively.

Both are built from kernels/kernels.c by the same clang (the one of `make wasm`) with the same
optimisation: -O3, no contraction of floating point, and only what every processor of the family
has (SSE2 on x86-64, NEON on aarch64; SIMD in the module). All run in turn in one process, on CPU
time of the thread; a module's time includes a fresh instance. All checksums must be equal.
"""

import argparse
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ambientd.adapters.engines import COMPILING, installed, open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from benchmarks.mesh import machine

SOURCE = Path(__file__).parent / "kernels" / "kernels.c"
# zig cc reads -O3 as -O2 for C and keeps frame pointers; the compiler proper is told again.
OPTIMISED = (
    *("-O3", "-Xclang", "-O3", "-fomit-frame-pointer", "-ffp-contract=off"),
    *("-std=c2x", "-g0", "-fno-sanitize=all", "-nostdlib"),
)
NATIVE = (
    *(f"--target={platform.machine()}-linux-musl", "-mcpu=baseline"),
    *("-shared", "-fPIC", "-fvisibility=hidden"),
)
MODULE = (
    *("--target=wasm32-freestanding", "-mcpu=lime1+simd128+bulk_memory"),
    *("-ffreestanding", "-Wl,--no-entry", "-Wl,--strip-all"),
)
# A kernel's size takes some tens of milliseconds natively. The order is that of `run`'s table.
KERNELS = {
    "sha256": 24,
    "matmul_int8": 24,
    "mlp_f32": 1_500,
    "nbody_f64": 1_000_000,
    "fib": 36,
}
LIMITS = ExecutionLimits(gas_max=1 << 50)
INTERPRETED_ROUNDS = 1
AIM_EACH, AIM_MEAN = 2.0, 1.5

Run = Callable[[str, int], tuple[int, int]]


@dataclass
class Contender:
    """One way to run the kernels; times in seconds."""

    run: Run  # kernel, size -> checksum, gas
    rounds: int
    times: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self, native: "Contender") -> dict[str, float]:
        """Divide the medians."""
        return {
            kernel: statistics.median(times) / statistics.median(native.times[kernel])
            for kernel, times in self.times.items()
        }


def compile_source(flags: tuple[str, ...], built: Path) -> Path:
    """Build kernels.c with the compiler of the reference modules."""
    command = [sys.executable, "-m", "ziglang", "cc", *OPTIMISED, *flags]
    subprocess.run([*command, "-o", str(built), str(SOURCE)], check=True)
    return built


def native_runner(library: Path) -> Run:
    """Call the shared library in this process."""
    loaded = ctypes.CDLL(str(library))

    def run(kernel: str, size: int) -> tuple[int, int]:
        function = getattr(loaded, kernel)
        function.restype = ctypes.c_uint64
        return function(ctypes.c_uint32(size)), 0

    return run


def engine_runner(engine: str, prepared: bytes) -> Run:
    """Execute the prepared module as a worker does, fresh instance and all."""
    module = open_engine(engine).compile(prepared)

    def run(kernel: str, size: int) -> tuple[int, int]:
        data = list(KERNELS).index(kernel).to_bytes(4, "little") + size.to_bytes(4, "little")
        result = execute(module, data, LIMITS, bytes(32))
        if not isinstance(result, ExecutionResult) or result.kind is not OutcomeKind.COMPLETED:
            raise SystemExit(f"{engine} could not finish {kernel}: {result}")
        return int.from_bytes(result.output, "little"), result.gas

    return run


def measure(contenders: dict[str, Contender], rounds: int) -> dict[str, int]:
    """Take turns; fail if any two differ in checksum or gas. Give the gas by kernel."""
    gas_of: dict[str, int] = {}
    sums: dict[str, int] = {}
    for number in range(rounds):
        for kernel, size in KERNELS.items():
            for name, contender in contenders.items():
                if number >= contender.rounds:
                    continue
                begin = time.thread_time()
                checksum, gas = contender.run(kernel, size)
                contender.times.setdefault(kernel, []).append(time.thread_time() - begin)
                if sums.setdefault(kernel, checksum) != checksum:
                    raise SystemExit(f"{name} computed another {kernel} than native code")
                if gas and gas_of.setdefault(kernel, gas) != gas:
                    raise SystemExit(f"{name} charged other gas for {kernel}")
    return gas_of


def table(contenders: dict[str, Contender]) -> list[str]:
    """Lay out the medians, and the ratios to native code."""
    native = contenders["native"]
    lines = [
        f"| | {' | '.join(KERNELS)} | geometric mean |",
        "|---|" + "---|" * (len(KERNELS) + 1),
    ]
    for name, contender in contenders.items():
        ratios = contender.ratios(native)
        cells = [
            f"{1000 * statistics.median(contender.times[kernel]):.1f} ms"
            if contender is native
            else f"{ratios[kernel]:.2f}"
            for kernel in KERNELS
        ]
        mean = statistics.geometric_mean(ratios.values())
        lines.append(f"| {name} | {' | '.join(cells)} | {mean:.2f} |")
    return lines


def missed(contenders: dict[str, Contender]) -> list[str]:
    """Name the aims that were not reached; interpreters have none."""
    found = []
    for name in COMPILING:
        if name in contenders:
            ratios = contenders[name].ratios(contenders["native"])
            found += [
                f"{name}, {kernel}: {ratio:.2f}, aim < {AIM_EACH}"
                for kernel, ratio in ratios.items()
                if ratio >= AIM_EACH
            ]
            mean = statistics.geometric_mean(ratios.values())
            if mean > AIM_MEAN:
                found.append(f"{name}, geometric mean: {mean:.2f}, aim <= {AIM_MEAN}")
    return found


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    chosen = parser.parse_args()
    before = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        native = native_runner(compile_source(NATIVE, folder / "kernels.so"))
        module = compile_source(MODULE, folder / "kernels.wasm").read_bytes()
    outcome = prepare(module)
    if not isinstance(outcome, Prepared):
        raise SystemExit(outcome.reason)
    contenders = {"native": Contender(native, chosen.rounds)}
    for engine in installed():
        rounds = chosen.rounds if engine in COMPILING else INTERPRETED_ROUNDS
        contenders[engine] = Contender(engine_runner(engine, outcome.module), rounds)
    gas = measure(contenders, chosen.rounds)
    if chosen.json:
        seconds = {name: contender.times for name, contender in contenders.items()}
        print(json.dumps({"before": before, "after": machine(), "gas": gas, "seconds": seconds}))
        return
    print(before, *table(contenders), sep="\n")
    print("gas:", ", ".join(f"{kernel} {amount:,}" for kernel, amount in gas.items()))
    print(*(f"missed: {each}" for each in missed(contenders)), machine(), sep="\n")


if __name__ == "__main__":
    main()
