"""Builds the dashboard into the package where Node.js is, and says so where it is not.

`make setup` and the build of a wheel call it, and both go on without the pages: a node serves
the API as before, and says in a browser and in `ambientctl doctor` what is missing. With the
standard library alone, as whatever builds a wheel has no more.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NODE_LEAST = 20
_LATER = "the rest is installed; once that is mended, say `make dashboard` or install again"
_NPM_WORDS = re.compile(r"npm error (?!code |errno |syscall |A complete log)\S")
_STEPS = (("ci", "--loglevel=error", "--no-fund", "--no-audit"), ("run", "--silent", "build"))


def bring_pages(root: Path) -> str:
    """Build the pages unless they are there; give what to say if they are not there then."""
    if (root / "src" / "ambientd" / "dashboard" / "index.html").is_file():
        return ""
    sources = root / "dashboard"
    fault = _without_node() if (sources / "package.json").is_file() else "its sources are not here"
    if not fault:
        fault = _build(sources)
    return f"no dashboard: {fault}; {_LATER}" if fault else ""


def _without_node() -> str:
    """Say what of Node.js is missing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return f"Node.js is missing, version {NODE_LEAST} or newer with npm"
    asked = ["node", "--version"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", told)
    if found is None or int(found[1]) < NODE_LEAST:
        return f"Node.js {NODE_LEAST} or newer is needed, and this is {told.strip() or 'unknown'}"
    return ""


def _build(sources: Path) -> str:
    for step in _STEPS:
        command = ["npm", "--prefix", str(sources), *step]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"`npm {' '.join(step)}` failed: {_reason(done.stderr, done.stdout)}"
    return ""


def _reason(errors: str, output: str) -> str:
    """Pick the line that says why: npm's first of words, as its last only names a file of log."""
    lines = (errors.strip() or output.strip() or "no word").splitlines()
    said = [line for line in lines if _NPM_WORDS.match(line)]
    return said[0].removeprefix("npm error ") if said else lines[-1]


def main() -> int:
    """Bring the pages or say why not; that they are missing is no failure."""
    fault = bring_pages(ROOT)
    if fault:
        sys.stderr.write(f"{fault}\n")
    else:
        sys.stdout.write("set up, and the dashboard is built\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
