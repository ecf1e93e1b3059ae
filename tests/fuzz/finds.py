"""Modules kept with what is known of them: past finds, and seeds that are interesting by design.

`NAME.wasm` or `NAME.wat` lies beside `NAME.json`, which says what the module is about and how it
ends under given limits. An expected ending of null means that nobody has settled it yet: then
the engines must still agree.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmtime

from ambientd.codec.digest import sha256
from ambientd.model.execution import ExecutionLimits
from tests.fuzz.differential import SEED_BYTES, Find, Outcome, Trial

CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True)
class Kept:
    """One module of the corpus."""

    name: str
    about: str
    module: bytes
    trials: tuple[tuple[Trial, Mapping[str, Any] | None], ...]


def load(folder: Path = CORPUS) -> list[Kept]:
    """Read the corpus in a fixed order."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Kept:
    known = json.loads(path.read_text("utf-8"))
    binary, text = path.with_suffix(".wasm"), path.with_suffix(".wat")
    module = (
        binary.read_bytes()
        if binary.exists()
        else bytes(wasmtime.wat2wasm(text.read_text("utf-8")))
    )
    trials = tuple((_trial(entry["trial"]), entry["expected"]) for entry in known["executions"])
    return Kept(path.stem, known["about"], module, trials)


def _trial(entry: Mapping[str, Any]) -> Trial:
    limits = ExecutionLimits(
        gas_max=entry["gas_max"],
        memory_bytes_max=entry["memory_bytes_max"],
        output_bytes_max=entry["output_bytes_max"],
    )
    seed = bytes.fromhex(entry["seed"]) if entry["seed"] else bytes(SEED_BYTES)
    return Trial(bytes.fromhex(entry["input"]), limits, seed)


def expected(outcome: Outcome) -> dict[str, Any]:
    """Put an outcome as the corpus has it."""
    kind, reason, output, gas = outcome
    return {"kind": kind, "reason": reason, "gas": gas, "output_sha256": sha256(output).hex()}


def entry_of(trial: Trial, outcome: Outcome | None) -> dict[str, Any]:
    """Put a trial and what it must give as the corpus has them."""
    return {
        "trial": {
            "input": trial.input.hex(),
            "gas_max": trial.limits.gas_max,
            "memory_bytes_max": trial.limits.memory_bytes_max,
            "output_bytes_max": trial.limits.output_bytes_max,
            "seed": "" if trial.seed == bytes(SEED_BYTES) else trial.seed.hex(),
        },
        "expected": None if outcome is None else expected(outcome),
    }


def save(find: Find, origin: str, folder: Path = CORPUS) -> Path:
    """Write a find down, to be replayed by the suite until it is settled and after."""
    name = f"find-{sha256(find.module).hex()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.wasm").write_bytes(find.module)
    known = {
        "about": f"{find.claim}; {origin}",
        "seen": dict(find.seen),
        "executions": [] if find.trial is None else [entry_of(find.trial, None)],
    }
    path = folder / f"{name}.json"
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    return path
