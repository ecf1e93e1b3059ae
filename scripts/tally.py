"""Says in one line how many tests ran, out of what pytest said last: `tally.py LOG ...`.

A log without such a line is a run that did not end: it fails, as does one in which nothing passed,
one that repeated more tests than a busy machine explains (ADR 95), and one in which a test was
skipped that tests/skips.toml does not name.
"""

import platform
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

NAMED = Path(__file__).resolve().parents[1] / "tests" / "skips.toml"
CLOSING = re.compile(
    r"^(?:=+ )?(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+)*) in \d+\.\d+s\b", re.MULTILINE
)
SKIPPED = re.compile(r"^SKIPPED (.+)$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[\d;]*m")
SAID_AS = {"error": "failed", "errors": "failed"}
REPEATED_MAX = 3
OUTCOMES = ("passed", "failed", "skipped")


def counted(text: str) -> Counter[str] | None:
    """Give what the last closing line of a log counts, if it has one."""
    found = CLOSING.findall(text)
    if not found:
        return None
    counts: Counter[str] = Counter()
    for number, word in (each.split() for each in found[-1].split(", ")):
        counts[SAID_AS.get(word, word)] += int(number)
    return counts


def named(machine: str) -> list[str]:
    """Name the files, classes and tests that may be skipped on such a machine."""
    listed = tomllib.loads(NAMED.read_text("utf-8"))
    return [*listed["everywhere"], *listed.get(machine, {})]


def unnamed(text: str, number: int, names: list[str]) -> list[str]:
    """Give what was skipped and may not be, and how many skips the log does not name."""
    told = SKIPPED.findall(text)
    begins = tuple(f"{name}{end}" for name in names for end in ("::", "[", " - "))
    found = [line for line in told if not line.startswith(begins)]
    if len(told) != number:
        found.append(f"{number} tests, of which pytest named {len(told)}: it needs -rs")
    return found


def main(names: list[str]) -> int:
    """Print the sum of some logs; give the exit code."""
    total: Counter[str] = Counter()
    code, may_be = 0, named(platform.machine())
    for path in map(Path, names):
        text = COLOUR.sub("", path.read_text("utf-8", "replace")) if path.exists() else ""
        counts = counted(text)
        if counts is None:
            print(f"{path}: pytest did not come to its end there")
        wrong = unnamed(text, counts["skipped"], may_be) if counts else []
        for line in wrong:
            print(f"{path}: skipped, and not named in tests/skips.toml: {line}")
        if counts is None or not counts["passed"] or counts["failed"] or wrong:
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
