"""The public workflows say when and where; what is done stands in the Makefile."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROGRAMS = re.compile(r"sudo apt-get update && sudo apt-get install [a-z -]+")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_the_makefile_and_nothing_else(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    said = re.findall(r"- run: (.+)", path.read_text("utf-8"))
    assert said
    for line in said:
        if PROGRAMS.fullmatch(line):
            continue
        program, *words = line.split()
        assert program == "make", line
        assert {word for word in words if "=" not in word} <= targets, line
