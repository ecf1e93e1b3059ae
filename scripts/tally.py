"""Says in one line how many tests ran, out of what pytest said last: `tally.py LOG ...`.

A log without such a line is a run that did not end: it fails, as does one in which nothing passed,
and a run that repeated more tests than a busy machine explains (ADR 95).
"""

import re
import sys
from collections import Counter
from pathlib import Path

CLOSING = re.compile(
    r"^(?:=+ )?(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+)*) in \d+\.\d+s\b", re.MULTILINE
)
COLOUR = re.compile(r"\x1b\[[\d;]*m")
SAID_AS = {"error": "failed", "errors": "failed"}
REPEATED_MAX = 3
OUTCOMES = ("passed", "failed", "skipped")


def counted(text: str) -> Counter[str] | None:
    """Give what the last closing line of a log counts, if it has one."""
    found = CLOSING.findall(COLOUR.sub("", text))
    if not found:
        return None
    counts: Counter[str] = Counter()
    for number, word in (each.split() for each in found[-1].split(", ")):
        counts[SAID_AS.get(word, word)] += int(number)
    return counts


def main(names: list[str]) -> int:
    """Print the sum of some logs; give the exit code."""
    total: Counter[str] = Counter()
    code = 0
    for path in map(Path, names):
        counts = counted(path.read_text("utf-8", "replace")) if path.exists() else None
        if counts is None:
            print(f"{path}: pytest did not come to its end there")
        if counts is None or not counts["passed"] or counts["failed"]:
            code = 1
        total.update(counts or {})
    if repeated := total["rerun"]:
        print(f"{repeated} of them repeated, as the log names them; at most {REPEATED_MAX} may be")
    if repeated > REPEATED_MAX:
        code = 1
    print(", ".join(f"{total[outcome]} {outcome}" for outcome in OUTCOMES))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
