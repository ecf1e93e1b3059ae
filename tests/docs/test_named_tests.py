"""The tests that a document names exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)


@pytest.mark.parametrize("name", ["simulator.md", "self-audit.md", "tutorials/playbooks.md"])
def test_every_test_that_a_page_names_is_there(name: str) -> None:
    page = (ROOT / "docs" / name).read_text(encoding="utf-8")
    named = set(NAMED.findall(page))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in DEFINED.findall(path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= there, named - there


def test_every_target_that_fuzzes_is_listed_with_its_hours() -> None:
    made = set(re.findall(r"^(fuzz[a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    page = (ROOT / "docs" / "fuzzing.md").read_text("utf-8")
    table = page[page.index("## Targets, and hours") : page.index("## Campaigns")]
    row = re.compile(r"^\| [^|]+ \| `make (fuzz[a-z-]*)` \| [^|]*\S[^|]* \|", re.MULTILINE)
    listed = row.findall(table)
    assert made
    assert sorted(listed) == sorted(made)


def test_every_longer_run_that_a_contributor_is_told_of_is_a_target() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    said = set(re.findall(r"`make ([a-z-]+)", page))
    assert "test-long" in said
    assert said <= made
