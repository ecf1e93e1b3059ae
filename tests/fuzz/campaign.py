"""One process of a campaign: `python -m tests.fuzz.campaign SEED FIRST STEP COUNT SCRATCH ENGINES`.

It examines the modules FIRST, FIRST + STEP, and so on, and prints a line of JSON every second. An
engine that brings this process down is a find of its supervisor, so the module at hand is always
on disk before an engine sees it.
"""

import json
import sys
import time
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


class OtherNans(WasmtimeEngine):
    """wasmtime as on a machine that makes other NaNs: any bit of one that shows is a difference."""

    def configuration(self) -> Config:
        """Let the engine make each NaN canonical where it arises, which hardware does not."""
        config = super().configuration()
        config.cranelift_nan_canonicalization = True
        return config


def main() -> None:
    """Examine modules until COUNT are done."""
    seed, first, step, count = map(int, sys.argv[1:5])
    scratch, names = Path(sys.argv[5]), sys.argv[6].split(",")
    engines = [open_engine(name) for name in names]
    comparison = Comparison(engines, ambientd_fuzz.invalid, OtherNans())
    tally, kept, reported = Tally(), 0, time.monotonic()
    for number in range(first, first + step * count, step):
        (scratch / NUMBER_FILE).write_text(str(number))
        source, module, rng = numbered(seed, number)
        (scratch / MODULE_FILE).write_bytes(module)
        comparison.examine(module, source, rng, tally)
        last = number + step >= first + step * count
        if tally.finds or last or time.monotonic() - reported > REPORT_EVERY_S:
            claims = []
            for find in tally.finds:
                kept += 1
                if kept <= FINDS_KEPT_MAX:
                    save(find, f"campaign {seed}, module {number} ({source})")
                claims.append({"number": number, "claim": find.claim, "seen": dict(find.seen)})
            report = {"next": number + step, "counts": tally.counts, "finds": claims}
            print(json.dumps(report), flush=True)
            tally, reported = Tally(), time.monotonic()


if __name__ == "__main__":
    main()
