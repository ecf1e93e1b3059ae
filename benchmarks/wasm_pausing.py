"""What a pausable module costs against the ordinary prepared one, and what a pause costs.

Kernels as in `wasm_kernels`: same sizes, same compiler; both modules run in turn, on CPU time of
the thread. A pause is measured with a memory of 27 pages, none of them zero: leave, take the state,
hash it; then encode, decode, set up in a fresh instance and go on.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import wasmtime

from ambientd.adapters.engines import installed, open_engine
from ambientd.codec.digest import sha256
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import decode_state, encode_state
from ambientd.worker.pausing import PausableExecution, PausableModule, Paused
from benchmarks.mesh import machine
from benchmarks.wasm_kernels import COMPILING, KERNELS, MODULE, compile_source, engine_runner

PAGES = 27
INTERPRETED_SHARE = 20  # an interpreter gets this part of a kernel's size
PAUSES = 50
# Fills its memory, then loops with a few locals three calls deep.
PAUSED = f"""(module (memory (export "memory") {PAGES})
  (func $a (param i32) (local i64 f64 i32)
    (loop $l (br_if $l (i32.lt_u (local.tee 3 (i32.add (local.get 3) (i32.const 1)))
      (local.get 0)))))
  (func $b (param i32) (local i64 i64 i64) (call $a (local.get 0)))
  (func (export "alloc") (param i32) (result i32)
    (memory.fill (i32.const 0) (i32.const 7) (i32.const {PAGES * PAGE_BYTES})) (i32.const 0))
  (func (export "run") (param i32 i32) (result i64)
    (call $b (i32.const 100000000)) (i64.const 0)))"""


def pausable(source: bytes) -> Pausable:
    outcome = make_pausable(source)
    if not isinstance(outcome, Pausable):
        raise SystemExit(outcome.reason)
    return outcome


def slow_down(engine: str, made: Pausable, rounds: int) -> list[str]:
    runs = [engine_runner(engine, code) for code in (made.prepared.module, made.module)]
    lines = []
    for kernel, full in KERNELS.items():
        less = full - 12 if kernel == "fib" else max(1, full // INTERPRETED_SHARE)
        size = full if engine in COMPILING else less
        times: list[list[float]] = [[], []]
        for _ in range(rounds):
            found = []
            for run, taken in zip(runs, times, strict=True):
                before = time.thread_time()
                found.append(run(kernel, size))
                taken.append(time.thread_time() - before)
            if found[0] != found[1]:
                raise SystemExit(f"{engine}, {kernel}: {found[0]} against {found[1]}")
        plain, paused = (statistics.median(taken) for taken in times)
        lines.append(f"{engine:9} {kernel:12} {plain * 1e3:8.1f} ms  x {paused / plain:.2f}")
    return lines


def pause(engine: str) -> list[str]:
    made = pausable(wasmtime.wat2wasm(PAUSED))
    module = PausableModule(open_engine(engine).compile(made.module), sha256(made.module))
    limits = ExecutionLimits(gas_max=1 << 40)
    execution = PausableExecution(module, b"", limits, bytes(32))
    steps: dict[str, list[float]] = {
        "pause": [],
        "root": [],
        "encode": [],
        "decode": [],
        "resume": [],
    }
    index = 1_000_000
    size_bytes = 0
    for _ in range(PAUSES):
        index += 1_000
        marks = [time.perf_counter()]
        stop = execution.run_until(index)
        marks.append(time.perf_counter())
        if not isinstance(stop, Paused):
            raise SystemExit(f"{engine}: ended early")
        stop.state.root()
        marks.append(time.perf_counter())
        encoded = encode_state(stop.state)
        marks.append(time.perf_counter())
        state = decode_state(encoded)
        marks.append(time.perf_counter())
        execution.close()
        execution = PausableExecution.resume(module, state, b"")
        marks.append(time.perf_counter())
        for taken, begun, ended in zip(steps.values(), marks, marks[1:], strict=False):
            taken.append(ended - begun)
        size_bytes = len(encoded)
    execution.close()
    shown = ", ".join(f"{name} {statistics.median(t) * 1e3:.2f} ms" for name, t in steps.items())
    return [f"{engine:9} {size_bytes:,} bytes of state: {shown}"]


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as scratch:
        source = compile_source(MODULE, Path(scratch) / "kernels.wasm").read_bytes()
    before = time.thread_time()
    made = pausable(source)
    taken = time.thread_time() - before
    sizes = f"{len(source):,} → {len(made.prepared.module):,} → {len(made.module):,} bytes"
    print(f"submitted, prepared, pausable: {sizes}; made in {taken * 1e3:.0f} ms")
    for engine in installed():
        rounds = chosen.rounds if engine in COMPILING else 3
        print(*slow_down(engine, made, rounds), *pause(engine), sep="\n")
    print(machine())


if __name__ == "__main__":
    main()
