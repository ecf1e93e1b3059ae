"""One process of a campaign, started by the program beside this with its arguments as JSON.

It examines its part of the modules and prints a line of JSON every second. An
engine that brings this process down is a find of its supervisor, so the module at hand is always
on disk before an engine sees it.
"""

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import ambientd_fuzz
from wasmtime import Config

from ambientd.adapters.engines import open_engine
from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from tests.fuzz.differential import Comparison, Tally
from tests.fuzz.finds import save
from tests.fuzz.sources import numbered

REPORT_EVERY_S = 1.0
NUMBER_FILE, MODULE_FILE = "number", "module.wasm"
FINDS_KEPT_MAX = 5


@dataclass(frozen=True)
class Part:
    """What one process is to do: every `step`-th module from `first` on, `count` of them."""

    seed: int
    first: int
    step: int
    count: int
    engines: tuple[str, ...]
    inputs: int  # of each module
    scratch: str  # where the module at hand is put
    finds: str  # where finds are saved


class OtherNans(WasmtimeEngine):
    """wasmtime as on a machine that makes other NaNs: any bit of one that shows is a difference."""

    def configuration(self) -> Config:
        """Let the engine make each NaN canonical where it arises, which hardware does not."""
        config = super().configuration()
        config.cranelift_nan_canonicalization = True
        return config


def main() -> None:
    """Examine as many modules as were asked for."""
    part = Part(**json.loads(sys.argv[1]))
    scratch, folder = Path(part.scratch), Path(part.finds)
    engines = [open_engine(name) for name in part.engines]
    comparison = Comparison(engines, ambientd_fuzz.invalid, OtherNans(), part.inputs)
    tally, kept, reported = Tally(), 0, time.monotonic()
    end = part.first + part.step * part.count
    for number in range(part.first, end, part.step):
        (scratch / NUMBER_FILE).write_text(str(number))
        source, module, rng = numbered(part.seed, number)
        (scratch / MODULE_FILE).write_bytes(module)
        comparison.examine(module, source, rng, tally)
        last = number + part.step >= end
        if tally.finds or last or time.monotonic() - reported > REPORT_EVERY_S:
            claims = []
            for find in tally.finds:
                kept += 1
                if kept <= FINDS_KEPT_MAX:
                    save(find, f"campaign {part.seed}, module {number} ({source})", folder)
                claims.append({"number": number, "claim": find.claim, "seen": dict(find.seen)})
            report = {"next": number + part.step, "counts": tally.counts, "finds": claims}
            print(json.dumps(report), flush=True)
            tally, reported = Tally(), time.monotonic()


if __name__ == "__main__":
    main()
