"""Time per gas: loops of one host call against loops that only compute, on every engine here.

A price is right when no loop of host calls takes much longer for its gas than the slowest loop of
instructions does. Each loop runs until its gas is gone; the figure is nanoseconds of processor
time a gas.
"""

import argparse
import statistics
import time

import wasmtime

from ambientd.adapters.engines import installed, open_engine
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.wasm.imports import CRYPTO_FUNCTIONS, CRYPTO_MODULE, WASI_FUNCTIONS, WASI_MODULE
from ambientd.wasm.prepare import Prepared, prepare
from ambientd.worker.execution import execute
from benchmarks.mesh import machine

GAS = 100_000_000
MIB = 1 << 20
# At 0: a vector of 1 byte, at 8: one of a MiB; from 4096 on: 1024 empty vectors, then 1024
# vectors of 1 KiB, then 1024 subscriptions to standard output; the data begins at a MiB.
EMPTY, FULL, WAITING, DATA, OUT = 4096, 16_384, 32_768, MIB, 262_144
CALLS = {
    "sched_yield": ("sched_yield",),
    "path_open (always refused)": ("path_open", 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "clock_time_get": ("clock_time_get", 0, 0, OUT),
    "args_get": ("args_get", OUT, OUT),
    "fd_fdstat_get": ("fd_fdstat_get", 1, OUT),
    "fd_read at the end": ("fd_read", 0, 0, 1, OUT),
    "fd_read, 1024 vectors": ("fd_read", 0, EMPTY, 1024, OUT),
    "fd_write, 1 byte": ("fd_write", 2, 0, 1, OUT),
    "fd_write, 1024 vectors": ("fd_write", 2, EMPTY, 1024, OUT),
    "fd_write, 1024 vectors of 1 KiB": ("fd_write", 2, FULL, 1024, OUT),
    "fd_write, 1 MiB": ("fd_write", 1, 8, 1, OUT),
    "poll_oneoff, 1024 subscriptions": ("poll_oneoff", WAITING, DATA, 1024, OUT),
    "random_get, 1 byte": ("random_get", OUT, 1),
    "random_get, 32 bytes": ("random_get", OUT, 32),
    "random_get, 1 MiB": ("random_get", DATA, MIB),
    "sha256, nothing": ("sha256", 0, 0, OUT),
    "sha256, 1 MiB": ("sha256", DATA, MIB, OUT),
    "blake2b_256, nothing": ("blake2b_256", 0, 0, OUT),
    "blake2b_256, 1 MiB": ("blake2b_256", DATA, MIB, OUT),
    "ed25519_verify, nothing": ("ed25519_verify", DATA + MIB, DATA, 0, DATA + MIB + 32),
    "ed25519_verify, 1 MiB": ("ed25519_verify", DATA + MIB, DATA, MIB, DATA + MIB + 32),
}
COMPUTING = {
    "add": "(local.set 0 (i32.add (local.get 0) (i32.const 3)))",
    "divide": "(local.set 0 (i32.div_u (i32.const -1) (i32.add (local.get 0) (i32.const 3))))",
    "load, a cache line apart": """(local.set 0 (i32.and (i32.const 0xfffffc)
        (i32.add (local.get 0) (i32.add (i32.const 4160) (i32.load (local.get 0))))))""",
    "memory.copy, 1 MiB": """(memory.copy (i32.const 0x200000) (i32.const 0x400000)
        (i32.const 0x100000))""",
    "square root": "(local.set 1 (f64.sqrt (f64.add (local.get 1) (f64.const 1))))",
}
# A valid signature takes the whole way through verification: key, then signature, of the seed 0.
KEY = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--gas", type=int, default=GAS)
    chosen = parser.parse_args()
    print(machine())
    for engine in installed():
        compiling = engine != "wasmi"
        names = {f"compute: {name}": body for name, body in COMPUTING.items()}
        names |= {f"host: {name}": _call(*call) for name, call in CALLS.items()}
        figures = {}
        for name, body in names.items():
            # An interpreter takes its time over instructions; 64 MiB of output come early.
            short = (not compiling and name.startswith("compute")) or "fd_write, 1 MiB" in name
            gas = chosen.gas // 20 if short else chosen.gas
            figures[name] = _ns_per_gas(engine, body, gas, chosen.runs)
        slowest = max(ns for name, ns in figures.items() if name.startswith("compute"))
        print(f"{engine}: ns a gas, and times the slowest computing loop")
        for name, ns in figures.items():
            print(f"  {name:44} {ns:7.2f} {ns / slowest:7.2f}")
    print(machine())


def _call(name: str, *arguments: int) -> str:
    function = (WASI_FUNCTIONS | CRYPTO_FUNCTIONS)[name]
    operands = " ".join(
        f"({'i32' if kind == 'i' else 'i64'}.const {argument})"
        for kind, argument in zip(function.params, arguments, strict=True)
    )
    called = f"(call ${name} {operands})"
    return f"(drop {called})" if function.results else called


def _module(body: str) -> bytes:
    imports = "".join(
        f'(import "{space}" "{name}" (func ${name} '
        + "".join(f"(param {'i32' if kind == 'i' else 'i64'})" for kind in function.params)
        + ("(result i32)" if function.results else "")
        + "))"
        for space, functions in ((WASI_MODULE, WASI_FUNCTIONS), (CRYPTO_MODULE, CRYPTO_FUNCTIONS))
        for name, function in functions.items()
        if f"${name} " in body + " "
    )
    data = {
        0: _words(DATA, 1, DATA, MIB),
        FULL: _words(DATA, 1024) * 1024,
        WAITING: _words(0, 0, 2, 0, 1, *[0] * 7) * 1024,
        DATA + MIB: bytes.fromhex(KEY) + bytes.fromhex(KEY) + bytes(32),
    }
    segments = "".join(
        f'(data (i32.const {at}) "{"".join(f"{chr(92)}{byte:02x}" for byte in content)}")'
        for at, content in data.items()
    )
    text = f"""(module {imports} (memory (export "memory") 256) {segments}
        (func (export "_start") (local i32 f64) (loop {body} (br 0))))"""
    outcome = prepare(bytes(wasmtime.wat2wasm(text)))
    assert isinstance(outcome, Prepared), outcome
    return outcome.module


def _words(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "little") for value in values)


def _ns_per_gas(engine: str, body: str, gas: int, runs: int) -> float:
    compiled = open_engine(engine).compile(_module(body))
    limits = ExecutionLimits(gas_max=gas, output_bytes_max=64 << 20)
    times = []
    for _ in range(runs):
        begin = time.process_time()
        result = execute(compiled, b"", limits, bytes(32))
        times.append(time.process_time() - begin)
        assert isinstance(result, ExecutionResult), result
        assert result.kind is OutcomeKind.OUT_OF_GAS, result.reason
    return statistics.median(times) / gas * 1e9


if __name__ == "__main__":
    main()
