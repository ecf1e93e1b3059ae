"""Checks the house rules that no linter knows; run by `make check`."""

import ast
import re
import subprocess
import sys
from pathlib import Path

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
# Words that the glossary retired, and the word to use instead.
RETIRED = {
    "leader": "coordinator",
    "trustless": "federated",
    "vertex": "leaf or branch",
    "master": "coordinator",
}
SHAPELESS = re.compile(r"(^|/)(utils?|helpers?|misc|common|manager)\.py$")


def complaints(path: Path) -> list[str]:
    """List what is untidy in one Python file."""
    text = path.read_text(encoding="utf-8")
    found = []
    if (lines := text.count("\n")) > FILE_LINES_MAX:
        found.append(f"{path}: {lines} lines, at most {FILE_LINES_MAX}")
    if SHAPELESS.search(path.as_posix()):
        found.append(f"{path}: named for no idea of the domain")
    for item in ast.walk(ast.parse(text)):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (item.end_lineno or item.lineno) - item.lineno + 1
            if length > FUNCTION_LINES_MAX:
                found.append(f"{path}:{item.lineno}: {item.name} has {length} lines")
    for old, new in RETIRED.items():
        found += [
            f"{path}: say {new}, not {old}"
            for _ in re.findall(rf"(?<![\w-]){old}(?![\w-])", text, re.IGNORECASE)
        ]
    return found


def main() -> int:
    """Print every complaint; fail if there is one."""
    tracked = subprocess.run(
        ["git", "ls-files", "src/*.py", "sim/*.py"], check=True, capture_output=True, text=True
    ).stdout.split()
    found = [line for name in tracked for line in complaints(Path(name))]
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
