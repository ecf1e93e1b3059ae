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

from ambientd.adapters.engines import open_engine
from tests.fuzz.differential import Comparison, Tally
from tests.fuzz.finds import save
from tests.fuzz.sources import numbered

REPORT_EVERY_S = 1.0
NUMBER_FILE, MODULE_FILE = "number", "module.wasm"
FINDS_KEPT_MAX = 5


def main() -> None:
    """Examine modules until COUNT are done."""
    seed, first, step, count = map(int, sys.argv[1:5])
    scratch, names = Path(sys.argv[5]), sys.argv[6].split(",")
    comparison = Comparison([open_engine(name) for name in names], ambientd_fuzz.invalid)
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
