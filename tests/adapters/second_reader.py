"""Has bitcoinlib, which shares no code with us, read what we make (ADR 38)."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.missing import missing

PROGRAM = Path(__file__).parent.parent / "bitcoinlib_reader.py"


@dataclass(frozen=True, slots=True)
class Reading:
    """What it makes of one transaction; ids and hashes in the order of bytes that we use."""

    txid: bytes
    is_verified: bool
    raw: bytes
    vsize: int
    spent: tuple[str, ...]
    digests: tuple[bytes, ...]
    paid: tuple[tuple[int, bytes], ...]


def _asked(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    if importlib.util.find_spec("bitcoinlib") is None:
        missing("bitcoinlib is not installed: run `make setup`")
    folder = folder / "bitcoinlib"
    folder.mkdir(exist_ok=True)
    # Our fastecdsa is newer than the one it knows; ecdsa is the other that it verifies with.
    own = {"BCL_DATA_DIR": str(folder), "HOME": str(folder), "USE_FASTECDSA": "0"}
    done = subprocess.run(
        [sys.executable, str(PROGRAM)],
        input=json.dumps(asked),
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def readings(
    folder: Path, transactions: Sequence[tuple[bytes, Sequence[int]]]
) -> list[Reading | str]:
    """Read transactions with the values that they spend; a text says why one could not be read."""
    wanted = [{"raw": raw.hex(), "values_sat": list(values)} for raw, values in transactions]
    answer = _asked(folder, {"transactions": wanted, "descriptors": []})
    return [each.get("error") or _reading(each) for each in answer["transactions"]]


def addresses(folder: Path, descriptor: str, count: int) -> list[str]:
    """Derive the first addresses of a descriptor."""
    wanted = {"descriptor": descriptor, "count": count}
    answer = _asked(folder, {"transactions": [], "descriptors": [wanted]})
    return list(answer["descriptors"][0])


def _reading(answer: dict[str, Any]) -> Reading:
    return Reading(
        txid=bytes.fromhex(answer["txid"])[::-1],
        is_verified=answer["verified"],
        raw=bytes.fromhex(answer["raw"]),
        vsize=answer["vsize"],
        spent=tuple(answer["spent"]),
        digests=tuple(bytes.fromhex(each) for each in answer["digests"]),
        paid=tuple((value, bytes.fromhex(script)) for value, script in answer["paid"]),
    )
