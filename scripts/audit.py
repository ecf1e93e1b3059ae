"""Asks about known faults of all that we depend on, list by list: `make audit`.

PyPI's own service answers for Python, npm's for npm, and RustSec's database for Rust. A list that
was not asked about, or not wholly, is named like one with a fault in it, and fails the audit.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ("requirements/*.txt", "*Cargo.lock", "*package-lock.json")
# Not a list: a word to the resolver about what is in the others.
NO_LIST = {"requirements/overrides.txt"}


def lists() -> list[str]:
    """Name every tracked file that pins packages of others."""
    asked = ["git", "ls-files", *LISTS]
    told = subprocess.run(asked, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(set(told.stdout.split()) - NO_LIST)


def question(name: str, tools: Path, cargo_audit: Path) -> list[str]:
    """Give the command that asks about one list, and fails where it cannot."""
    match Path(name).name:
        case "Cargo.lock":
            return [str(cargo_audit), "audit", "--file", name]
        case "package-lock.json":
            return ["npm", "--prefix", str(Path(name).parent), "audit", "--package-lock-only"]
        case _:
            strict = ["--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
            return [str(tools / "pip-audit"), *strict, "-r", name]


def asked(command: list[str]) -> bool:
    """Ask; tell whether there was an answer, and no fault in it."""
    print(f"$ {' '.join(command)}", flush=True)
    try:
        return subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    except OSError as error:
        print(f"{command[0]}: {error.strerror}")
        return False


def main() -> int:
    """Ask about every list, whatever came of those before; name those that are not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", required=True, type=Path, help="the folder of pip-audit")
    parser.add_argument("--cargo-audit", required=True, type=Path)
    chosen = parser.parse_args()
    names = lists()
    wrong = [name for name in names if not asked(question(name, chosen.tools, chosen.cargo_audit))]
    for name in wrong:
        print(f"{name}: a fault is known of something in it, or not all of it was asked about")
    print(f"{len(names) - len(wrong)} of {len(names)} lists asked about and clean")
    return bool(wrong or not names)


if __name__ == "__main__":
    sys.exit(main())
