"""Asks about known faults of all that we depend on, list by list: `make audit`.

PyPI's own service answers for Python, npm's for npm, RustSec's database for Rust, and Go's for
modules of Go, those in programs that are built from others' sources among them. What was not asked
about, or not wholly, is named like what has a fault in it, and fails the audit.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
LISTS = ("requirements/*.txt", "*Cargo.lock", "*package-lock.json", "*go.sum")
# Not a list: a word to the resolver about what is in the others.
NO_LIST = {"requirements/overrides.txt"}


class Tools(NamedTuple):
    """The programs that ask."""

    pip_audit: Path
    cargo_audit: Path
    govulncheck: Path


def lists() -> list[str]:
    """Name every tracked file that pins packages of others."""
    asked = ["git", "ls-files", *LISTS]
    told = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(set(told.stdout.split()) - NO_LIST)


def question(name: str, tools: Tools) -> list[str]:
    """Give the command that asks about a list or a program of Go, and fails where it cannot."""
    match Path(name).name:
        case "Cargo.lock":
            return [str(tools.cargo_audit), "audit", "--file", name]
        case "package-lock.json":
            return ["npm", "--prefix", str(Path(name).parent), "audit", "--package-lock-only"]
        case "go.sum":
            return [str(tools.govulncheck), "-C", str(Path(name).parent), "-scan=module"]
        case file if file.endswith(".txt"):
            strict = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
            return [str(tools.pip_audit), *strict, "-r", name]
        case _:
            return [str(tools.govulncheck), "-mode=binary", "-scan=module", name]


def asked(command: list[str]) -> bool:
    """Ask; tell whether there was an answer, and no fault in it."""
    print(f"$ {' '.join(command)}", flush=True)
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    except OSError as error:
        print(f"{command[0]}: {error.strerror}")
        return False


def main() -> int:
    """Ask about everything, whatever came of what was before; name what is not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pip-audit", required=True, type=Path)
    parser.add_argument("--cargo-audit", required=True, type=Path)
    parser.add_argument("--govulncheck", required=True, type=Path)
    parser.add_argument("programs", nargs="*", help="programs that were built from modules of Go")
    chosen = parser.parse_args()
    tools = Tools(chosen.pip_audit, chosen.cargo_audit, chosen.govulncheck)
    names = [*lists(), *chosen.programs]
    wrong = [name for name in names if not asked(question(name, tools))]
    for name in wrong:
        print(f"{name}: a fault is known of something in it, or not all of it was asked about")
    print(f"{len(names) - len(wrong)} of {len(names)} lists and programs asked about and clean")
    return bool(wrong or not lists())


if __name__ == "__main__":
    sys.exit(main())
