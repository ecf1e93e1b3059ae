"""Write protocols/vectors/states.json: `python -m tests.worker.make_state_vectors`."""

import json
from pathlib import Path

import wasmtime

from ambientd.codec.digest import sha256
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits
from ambientd.wasm.pausing import PAUSER_VERSION, Refused, make_pausable
from ambientd.wasm.state import (
    STATE_VERSION,
    Stage,
    State,
    StateHeader,
    encode_state,
    leave_out,
)
from ambientd.worker.pausing import PausableExecution, Paused
from tests.wasm.running import module
from tests.wasm.test_pausing import REFUSED
from tests.worker.pausable_programs import PausableProgram
from tests.worker.test_pausing import COMMAND, ENGINES, LIMITS, SEED, SHAPES, compiled, made, runs

PATH = Path(__file__).parents[2] / "protocols" / "vectors" / "states.json"
RANDOM_PROGRAMS = (3, 5, 8, 13)
POINTS = 8


def sources() -> list[tuple[str, bytes, bytes]]:
    """Name, module and input."""
    fields = "(global $g (mut i64) (i64.const 11))"
    out = [(name, runs(text, fields), b"\x05") for name, text in SHAPES.items()]
    out.append(("a command", bytes(wasmtime.wat2wasm(f"(module {COMMAND})")), b"abcdefghijklm"))
    out += [
        (f"random program {seed}", PausableProgram(seed).binary(), bytes(range(200)))
        for seed in RANDOM_PROGRAMS
    ]
    return out


def states(source: bytes, data: bytes, limits: ExecutionLimits, name: str) -> dict[str, object]:
    """Pause at the first checkpoints, and say how it ends."""
    execution = PausableExecution(compiled(source, name), data, limits, SEED)
    points, index = [], 0
    while isinstance(stop := execution.run_until(index), Paused) and len(points) < POINTS:
        state = stop.state
        points.append(
            {
                "gas_index": state.gas_index,
                "root": state.root().hex(),
                "values": state.values.hex(),
                "state_sha256": sha256(encode_state(state)).hex(),
                "last_page_proof": [node.hex() for node in state.proof(len(state.pages) - 1)],
            }
        )
        index = state.gas_index + 1
    if isinstance(stop, Paused):
        stop = execution.run_until(None)
    execution.close()
    assert not isinstance(stop, Paused)
    result = stop.result
    return {
        "points": points,
        "outcome": result.kind.name.lower(),
        "reason": result.reason,
        "gas": result.gas,
        "output": result.output.hex() if len(result.output) <= 64 else sha256(result.output).hex(),
    }


def vector(name: str, source: bytes, data: bytes) -> dict[str, object]:
    limits = ExecutionLimits(gas_max=10_000_000, memory_bytes_max=LIMITS.memory_bytes_max)
    return {
        "name": name,
        "module": source.hex(),
        "pausable_sha256": sha256(made(source).module).hex(),
        "input": data.hex(),
        "seed": SEED.hex(),
        "gas_max": limits.gas_max,
        "memory_pages_max": limits.memory_bytes_max // PAGE_BYTES,
        **states(source, data, limits, ENGINES[0]),
    }


LEFT_OUT = ({1}, {1, 2}, {2, 4, 5, 6, 7, 10}, set(range(11)))


def partial_states() -> dict[str, object]:
    """Say what stands for pages that are left out of a state of eleven pages."""
    pages = tuple(bytes([number % 3]) * PAGE_BYTES for number in range(11))
    header = StateHeader(
        version=STATE_VERSION,
        module=bytes(32),
        input=bytes(32),
        seed=SEED,
        limits=ExecutionLimits(),
        stage=Stage.RUN,
        gas_left=5,
        values=sha256(b""),
        values_count=0,
        host=sha256(b""),
        host_bytes=0,
        pages=len(pages),
    )
    whole = State(header, b"", b"", pages)
    partial = []
    for missing in LEFT_OUT:
        state = leave_out(whole, missing)
        left_out = state.left_out
        assert left_out is not None
        partial.append(
            {
                "left_out": sorted(missing),
                "subtrees": [
                    {"first_leaf": start, "leaves": size, "hash": found.hex()}
                    for (start, size), found in left_out.hashes.items()
                ],
                "state_sha256": sha256(encode_state(state)).hex(),
            }
        )
    return {
        "page_bytes": [page[0] for page in pages],
        "state": encode_state(leave_out(whole, set(range(len(pages))))).hex(),
        "root": whole.root().hex(),
        "partial": partial,
    }


def build() -> dict[str, object]:
    refused = []
    for problem, fields in REFUSED.items():
        source = module("(table 1 funcref)" + fields)
        assert isinstance(make_pausable(source), Refused)
        refused.append({"module": source.hex(), "reason_contains": problem})
    return {
        "pauser_version": PAUSER_VERSION,
        "state_version": STATE_VERSION,
        "pausable": [vector(*entry) for entry in sources()],
        "refused": refused,
        "partial": partial_states(),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
