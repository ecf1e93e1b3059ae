"""Write down how the modules of the corpus end: `python -m tests.fuzz.settle [NAME ...]`.

For a find that has been dealt with, and for all of them when a new version of the rewriter changes
gas or bytes. It takes what all installed engines agree on, and refuses where they do not.
"""

import json
import sys

from ambientd.adapters.engines import installed, open_engine
from ambientd.model.execution import ExecutionResult
from ambientd.wasm.prepare import Prepared, prepare
from tests.fuzz.differential import described, observed, run
from tests.fuzz.finds import CORPUS, Kept, entry_of, load


def settle(kept: Kept) -> None:
    """Write one entry again, or say why not."""
    prepared = prepare(kept.module)
    if not isinstance(prepared, Prepared):
        sys.exit(f"{kept.name} is refused: {prepared.reason}")
    compiled = [open_engine(name).compile(prepared.module) for name in installed()]
    executions = []
    for trial, _ in kept.trials:
        results = [run(module, trial) for module in compiled]
        seen = {observed(each) if isinstance(each, ExecutionResult) else each for each in results}
        outcome = next(iter(seen))
        if len(seen) > 1 or not isinstance(outcome, tuple):
            sys.exit(f"{kept.name}: the engines do not agree: {seen}")
        print(f"{kept.name}: {described(outcome)}")
        executions.append(entry_of(trial, outcome))
    known = {"about": kept.about, "executions": executions}
    text = json.dumps(known, indent=2, sort_keys=True) + "\n"
    (CORPUS / f"{kept.name}.json").write_text(text, "utf-8")


if __name__ == "__main__":
    for entry in load():
        if entry.name in sys.argv[1:] or len(sys.argv) == 1:
            settle(entry)
