"""Write protocols/vectors/host.json: `python -m tests.wasm.make_host_vectors`."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.ports.engine import Engine
from ambientd.wasm.imports import WASI_FUNCTIONS
from ambientd.wasm.prepare import REWRITER_VERSION, Prepared, prepare
from ambientd.worker.execution import execute
from tests.wasm.scripts import Call, Script, hasher, verifier
from tests.wasm.signatures import cases

PATH = Path(__file__).parents[2] / "protocols" / "vectors" / "host.json"
PAGE = 65_536
CLOCK, READ, WRITE = 0, 1, 2
MODULE_GAS = 10_000_000


@dataclass(frozen=True)
class Run:
    """One execution to be agreed on."""

    name: str
    module: bytes
    data: bytes = b""
    seed: bytes = bytes(range(32))
    gas_max: int = MODULE_GAS
    output_bytes_max: int = 1024
    memory_bytes_max: int = 64 * PAGE


def words(*values: int) -> bytes:
    """Little-endian, 4 bytes each."""
    return b"".join(value.to_bytes(4, "little") for value in values)


def waiting(user: int, kind: int, subject: int, timeout_ns: int = 0, flags: int = 0) -> bytes:
    """Encode a subscription."""
    head = user.to_bytes(8, "little") + kind.to_bytes(8, "little")
    clock = timeout_ns.to_bytes(8, "little") + bytes(8) + flags.to_bytes(8, "little")
    return head + subject.to_bytes(8, "little") + clock


def poll(*subscriptions: bytes, before: tuple[Call, ...] = ()) -> Script:
    """Wait once, then read the clock; events and their number, then the time, are shown."""
    count = len(subscriptions)
    return Script(
        (*before, ("poll_oneoff", 0, 4096, count, 4080), ("clock_time_get", 0, 0, 4088)),
        {0: b"".join(subscriptions)},
        (4080, 16 + 32 * count),
    )


def runs() -> list[Run]:
    """Every served function, its answers, its ends."""
    vectors = {0: words(100, 4, 200, 0, 300, 60)}
    read: Call = ("fd_read", 0, 0, 3, 64)
    refused: tuple[Call, ...] = tuple(
        (name, *([0] * len(function.params)))
        for name, function in sorted(WASI_FUNCTIONS.items())
        if function.always is not None
    )
    status: tuple[Call, ...] = tuple(
        (name, descriptor, 64 * descriptor)
        for name in ("fd_filestat_get", "fd_fdstat_get")
        for descriptor in range(4)
    )
    closing: tuple[Call, ...] = tuple(("fd_close", descriptor) for descriptor in (0, 2, 2, 3, 0))
    text = bytes(range(32, 127))
    scripts = {
        "arguments and environment": Script(
            (
                ("args_sizes_get", 0, 4),
                ("environ_sizes_get", 8, 12),
                ("args_get", 16, 32),
                ("environ_get", 48, 64),
            ),
            {0: b"\xff" * 80},
            (0, 80),
        ),
        "clocks": Script(
            (
                ("clock_time_get", 0, 0, 0),
                ("clock_time_get", 3, -1, 8),
                ("clock_time_get", 4, 0, 16),
                ("clock_res_get", 1, 24),
                ("clock_res_get", -1, 32),
                ("clock_time_get", 1, 5, 40),
            ),
            shown=(0, 48),
        ),
        "the streams": Script(status, {0: b"\xff" * 256}, (0, 256)),
        "streams do not seek": Script(
            (
                ("fd_seek", 0, 5, 0, 0),
                ("fd_seek", 3, 5, 0, 0),
                ("fd_tell", 1, 0),
                ("fd_tell", -1, 0),
                ("fd_fdstat_set_flags", 2, 4),
                ("fd_fdstat_set_flags", 9, 4),
            )
        ),
        "closed streams": Script((*closing, ("fd_read", 0, 0, 0, 64), ("fd_write", 2, 0, 0, 64))),
        "closed output": Script((("fd_close", 1),)),
        "what there is not": Script(refused),
        "reading": Script((read, read, read, ("fd_read", 1, 0, 3, 64)), vectors, (64, 300)),
        "reading nothing": Script((("fd_read", 0, 0, 0, 64), ("fd_read", 0, PAGE, 0, 64)), vectors),
        "too many vectors": Script(
            (("fd_read", 0, 0, 1025, 64), ("fd_write", 2, 0, -1, 64), ("fd_write", 2, 0, 1024, 64)),
        ),
        "writing to both": Script(
            (("fd_write", 1, 0, 2, 64), ("fd_write", 2, 0, 3, 68), ("fd_write", 0, 0, 1, 72)),
            {0: words(100, 4, 101, 0, 102, 7), 100: text},
            (64, 12),
        ),
        "random bytes": Script(
            (
                ("random_get", 0, 1),
                ("random_get", 1, 0),
                ("random_get", 1, 63),
                ("random_get", 64, 65),
            ),
            shown=(0, 136),
        ),
        "yielding": Script((("sched_yield",),) * 3),
        "hashes of nothing and of a range over itself": Script(
            (("sha256", PAGE, 0, 0), ("blake2b_256", PAGE, 0, 32), ("sha256", 0, 64, 16)),
            shown=(0, 64),
        ),
        "waiting a second": poll(waiting(7, CLOCK, 1, 10**9)),
        "waiting until a time": poll(waiting(7, CLOCK, 0, 5, 1), waiting(8, CLOCK, 0, 6, 1)),
        "waiting until a time that has passed": poll(
            waiting(7, CLOCK, 0, 5, 1), before=(("clock_time_get", 0, 0, 0),)
        ),
        "the first of two": poll(waiting(1, CLOCK, 0, 2000), waiting(2, CLOCK, 1, 1000)),
        "both at once": poll(waiting(1, CLOCK, 0, 1000), waiting(2, CLOCK, 1, 1000)),
        "waiting for ever": poll(waiting(1, CLOCK, 0, 2**64 - 1)),
        "an unknown clock": poll(waiting(1, CLOCK, 4, 1000), waiting(2, CLOCK, 0, 1000)),
        "the input is ready before a clock": poll(
            waiting(1, CLOCK, 0, 1000), waiting(2, READ, 0), waiting(3, WRITE, 1)
        ),
        "descriptors that are not there": poll(
            waiting(1, READ, 1),
            waiting(2, WRITE, 0),
            waiting(3, READ, 5),
            waiting(4, WRITE, 2),
            before=(("fd_close", 2),),
        ),
        "an unknown kind": poll(waiting(1, CLOCK, 0, 1000), waiting(2, 3, 0)),
        "waiting for nothing": Script(
            (("poll_oneoff", 0, 64, 0, 32), ("poll_oneoff", 0, 0, 1025, 0))
        ),
        "exit 0": Script((("proc_exit", 0), ("sched_yield",))),
        "exit 3": Script((("fd_write", 1, 0, 1, 64), ("proc_exit", 3)), {0: words(0, 4)}),
        "exit -1": Script((("proc_exit", -1),)),
        "a pointer past the end": Script((("clock_time_get", 0, 0, PAGE - 7),)),
        "a pointer that would wrap": Script((("random_get", -1, 2),)),
        "an empty range at the end": Script((("random_get", PAGE, 0),)),
        "an empty range past the end": Script((("random_get", PAGE + 1, 0),)),
        "a vector past the end": Script((read,), {0: words(100, 4, 200, 0, PAGE, 1)}),
        "a message of more than a MiB": Script((("ed25519_verify", 0, 0, 2**20 + 1, 0),), pages=17),
        "a message of a MiB": Script((("ed25519_verify", 0, 0, 2**20, 0),), pages=17),
    }
    out = [
        Run(name, script.module(), b"line one\nline two\n" * 4) for name, script in scripts.items()
    ]
    long = Script((("fd_write", 1, 0, 1, 64),) * 2, {0: words(0, 1000)}).module()
    out += [
        Run("output up to its limit", long, output_bytes_max=2008),
        Run("output past its limit", long, output_bytes_max=2007),
        Run("another seed", scripts["random bytes"].module(), seed=bytes(32)),
        Run(
            "memory that the task does not allow",
            Script((), pages=2).module(),
            memory_bytes_max=PAGE,
        ),
    ]
    for name in ("sha256", "blake2b_256"):
        out += [
            Run(f"{name} of {len(data)} bytes", hasher(name), data)
            for data in (b"", b"abc", text * 99)
        ]
    module = verifier()
    for name, key, signature, message, _ in cases():
        out.append(Run(f"ed25519: {name}", module, key + signature + message))
    return out


def outcome_of(engine: Engine, prepared: bytes, run: Run) -> ExecutionResult:
    """Execute once."""
    limits = ExecutionLimits(
        gas_max=run.gas_max,
        output_bytes_max=run.output_bytes_max,
        memory_bytes_max=run.memory_bytes_max,
    )
    result = execute(engine.compile(prepared), run.data, limits, run.seed)
    assert isinstance(result, ExecutionResult)
    return result


def described(run: Run, result: ExecutionResult) -> dict[str, object]:
    """Say how a run ended, as the file does."""
    return {
        "name": run.name,
        "module": sha256(run.module).hex(),
        "input": run.data.hex(),
        "seed": run.seed.hex(),
        "gas_max": run.gas_max,
        "output_bytes_max": run.output_bytes_max,
        "memory_bytes_max": run.memory_bytes_max,
        "outcome": result.kind.name.lower(),
        "reason": result.reason if result.kind.name != "REFUSED" else "",
        "output_sha256": hashlib.sha256(result.output).hexdigest(),
        "output_start": result.output[:256].hex(),
        "gas": result.gas,
    }


def build() -> dict[str, object]:
    """Return the whole file's content; gas one short of enough is out of gas for every run."""
    engine = open_engine("wasmtime")
    modules, executions = {}, []
    for run in runs():
        outcome = prepare(run.module)
        assert isinstance(outcome, Prepared), (run.name, outcome)
        modules[sha256(run.module).hex()] = run.module.hex()
        executions.append(described(run, outcome_of(engine, outcome.module, run)))
    return {
        "document": "protocols/04-modules.md",
        "rewriter_version": REWRITER_VERSION,
        "modules": modules,
        "executions": executions,
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1, sort_keys=True) + "\n")
