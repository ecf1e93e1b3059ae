"""docs/cli.md against the parsers: every command and option is there, and none that is not."""

import re
from itertools import product
from pathlib import Path

import pytest

from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.grammar import Command, grammar_of
from ambientd.cli.parser import build_parser

TEXT = (Path(__file__).parent.parent.parent / "docs" / "cli.md").read_text()
ALL = grammar_of(build_parser())
LEAVES = {command.path[1:]: command for command in ALL.leaves()}
COMMON = {name for option in ALL.options for name in option.names}
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z-]*")


def lines_of_usage() -> list[str]:
    """Give each `ambientctl ...` of the indented blocks, with the lines that continue it."""
    found: list[str] = []
    for line in TEXT.splitlines():
        if line.startswith("    ambientctl "):
            found.append(line.strip())
        elif found and found[-1] and re.match(r" {5,}\S", line):
            found[-1] += " " + line.strip()
        else:
            found.append("")
    return [line for line in found if line]


def cells_of_table() -> list[str]:
    """Give what the first column of the table of commands names."""
    rows = re.findall(r"^\| (`.*?) \| ", TEXT, re.MULTILINE)
    return [each for row in rows for each in re.findall(r"`([^`]+)`", row)]


def commands_of(usage: str) -> list[Command]:
    """Give the commands that a line is about: `anchor status|list` is two."""
    words = re.sub(r"^--data-dir DIR ", "", usage.replace("\\|", "|")).split()
    found: list[Command] = []
    for size in (1, 2):
        paths = product(*(word.split("|") for word in words[:size]))
        found += [LEAVES[path] for path in paths if path in LEAVES]
    return found


def documented() -> dict[tuple[str, ...], set[str]]:
    """Give the options that are written of each command."""
    usages = [line.removeprefix("ambientctl ") for line in lines_of_usage()]
    options: dict[tuple[str, ...], set[str]] = {}
    for usage in usages + cells_of_table():
        for command in commands_of(usage):
            options.setdefault(command.path[1:], set()).update(OPTION.findall(usage))
    options[("task", "run")] |= options[("run",)]  # "by another name", where they are written
    return options


DOCUMENTED = documented()


@pytest.mark.parametrize("path", LEAVES, ids="-".join)
def test_every_command_is_documented_with_all_its_options(path: tuple[str, ...]) -> None:
    written = DOCUMENTED.get(path)
    assert written is not None, f"docs/cli.md does not name `ambientctl {' '.join(path)}`"
    for option in LEAVES[path].options:
        assert set(option.names) & (written | COMMON), f"{' '.join(path)}: {option.names[-1]}"


@pytest.mark.parametrize("path", DOCUMENTED, ids="-".join)
def test_no_option_is_documented_that_is_not_there(path: tuple[str, ...]) -> None:
    known = {name for option in LEAVES[path].options for name in option.names}
    assert DOCUMENTED[path] <= known


def test_every_line_of_usage_is_of_a_command() -> None:
    for usage in lines_of_usage():
        assert commands_of(usage.removeprefix("ambientctl ")), usage


def test_every_exit_code_is_documented() -> None:
    codes = re.findall(r"^\| ([0-9, ]+) \|", TEXT, re.MULTILINE)
    told = {int(code) for row in codes for code in row.split(",")}
    assert told == {*map(int, ExitCode), 130, 141}
