"""What the documents say is there is there: links, make targets, commands."""

import re
import shlex
from pathlib import Path

import pytest

from ambientd.cli.parser import build_parser
from scripts.pages import NAVIGATION

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = sorted(
    path
    for folder in ("", "docs", "docs/adr", "docs/tutorials", "deploy", "protocols", "examples")
    for path in (ROOT / folder).glob("*.md")
)
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_to_a_file_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_every_command_of_the_readme_is_understood() -> None:
    parser = build_parser()
    commands = re.findall(r"^(?:echo \w+ \| )?ambientctl ([^#\n<>]+)", README, re.MULTILINE)
    assert len(commands) >= 8
    for command in commands:
        parser.parse_args(shlex.split(command))


def test_every_file_that_a_command_of_the_readme_names_is_there() -> None:
    for name in re.findall(r"\bexamples/[\w./-]+\.wasm", README):
        assert (ROOT / name).is_file(), name


def test_every_document_is_offered_among_the_pages() -> None:
    offered = {name for _, names in NAVIGATION for name in names}
    pages = {*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")}
    assert {path.relative_to(ROOT).as_posix() for path in pages} <= offered


def test_every_target_that_fuzzes_is_listed_with_its_hours() -> None:
    made = re.findall(r"^(fuzz[a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    page = (ROOT / "docs" / "fuzzing.md").read_text("utf-8")
    assert made
    assert {f"| `make {target}` |" for target in made} <= set(
        re.findall(r"\| `make [a-z-]+` \|", page)
    )
