"""The tests that a document names exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMED = re.compile(r"`(test_\w+)`")
DEFINED = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)


def test_every_test_that_the_simulator_s_page_names_is_there() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    named = set(NAMED.findall(page))
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in DEFINED.findall(path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= there, named - there
