"""Writes the manual pages of ambientctl, out of the parsers: python scripts/manual.py [DIR].

One page for the program and one for each of its commands. `hatch_build.py` puts them into the
wheel, so that `man ambientctl` works where `ambientctl` does.
"""

import sys
from pathlib import Path

from ambientd import __version__
from ambientd.cli.grammar import Command, Option, Word, grammar_of
from ambientd.cli.parser import EXIT_CODES, build_parser

ENVIRONMENT = (
    ("AMBIENT_DATA_DIR", "the node's folder, unless --data-dir names another"),
    ("XDG_DATA_HOME", "without both, the folder is ambient below this, or below ~/.local/share"),
    ("NO_COLOR", "when it is set to anything, nothing is coloured"),
    ("COLUMNS", "how wide tables and lines are, instead of what the terminal says"),
)


def pages() -> dict[str, str]:
    """Give each page by the name of its file."""
    program = grammar_of(build_parser())
    found = {"ambientctl.1": _program(program)}
    for command in program.commands:
        found[f"{'-'.join(command.path)}.1"] = _command(command, program)
    return found


def _program(program: Command) -> str:
    lines = [
        *_head(program, "drive a node of an Ambient mesh"),
        ".SH SYNOPSIS",
        ".B ambientctl",
        _plain("[--data-dir DIR] [--json] [--quiet] COMMAND ..."),
        ".SH DESCRIPTION",
        _plain(program.help),
        "Each command has a page of its own.",
        ".SH COMMANDS",
    ]
    for command in program.commands:
        lines += [".TP", f".BR {_bold('-'.join(command.path))} (1)", _plain(_sentence(command))]
    lines += [".SH OPTIONS", *_options(program.options), *_tail(())]
    return "\n".join(lines) + "\n"


def _command(command: Command, program: Command) -> str:
    common = {option.names for option in program.options}
    lines = [*_head(command, command.help), ".SH SYNOPSIS"]
    leaves = list(command.leaves())
    for leaf in leaves:
        lines += [_synopsis(leaf, common), ".br"]
    lines += [".SH DESCRIPTION", _plain(_sentence(command))]
    for leaf in leaves:
        own = tuple(option for option in leaf.options if option.names not in common)
        if len(leaves) > 1:
            lines += [f".SS {_bold(leaf.name)}", _plain(_sentence(leaf))]
        for word in leaf.words:
            lines += [".TP", f".I {_plain(word.metavar)}", _plain(_values(word))]
        lines += _options(own)
    lines += [".SH OPTIONS OF EVERY COMMAND", *_options(program.options)]
    return "\n".join([*lines, *_tail(("ambientctl",))]) + "\n"


def _head(command: Command, text: str) -> list[str]:
    name = "-".join(command.path)
    return [
        f'.TH {_bold(name.upper())} 1 "" "ambientd {__version__}" "Ambient"',
        ".SH NAME",
        _plain(f"{name} - {text}"),
    ]


def _tail(others: tuple[str, ...]) -> list[str]:
    lines = [".SH EXIT STATUS"]
    for code, text in EXIT_CODES:
        lines += [".TP", f".B {code}", _plain(text)]
    lines += [".SH ENVIRONMENT"]
    for name, text in ENVIRONMENT:
        lines += [".TP", f".B {name}", _plain(text)]
    if others:
        lines += [".SH SEE ALSO", *(f".BR {_bold(other)} (1)" for other in others)]
    return lines


def _sentence(command: Command) -> str:
    return f"{command.help[:1].upper()}{command.help[1:]}."


def _synopsis(command: Command, common: set[tuple[str, ...]]) -> str:
    parts = []
    for option in command.options:
        if option.names in common:
            continue
        text = f"{option.names[-1]} {option.metavar}".strip()
        text = text if option.required else f"[{text}]"
        parts.append(text + ("..." if option.repeats else ""))
    words = [word.metavar if word.required else f"[{word.metavar}]" for word in command.words]
    return f"\\fB{_plain(command.name)}\\fR {_plain(' '.join([*words, *parts]))}".rstrip()


def _options(options: tuple[Option, ...]) -> list[str]:
    lines: list[str] = []
    for option in options:
        names = ", ".join(f"\\fB{_plain(name)}\\fR" for name in option.names)
        value = f" \\fI{_plain(option.metavar)}\\fR" if option.metavar else ""
        lines += [".TP", f"{names}{value}", _plain(_values(option))]
    return lines


def _values(item: Option | Word) -> str:
    choices = ", ".join(item.choices)
    return item.help if not choices or choices in item.help else f"{item.help} ({choices})"


def _bold(text: str) -> str:
    return f'"{_plain(text)}"'


def _plain(text: str) -> str:
    """Write a text so that roff takes none of it for its own."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def write_pages(folder: Path) -> list[Path]:
    """Write every page below a folder; give where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


if __name__ == "__main__":
    chosen = Path(sys.argv[1] if len(sys.argv) > 1 else "build/man")
    print(f"{len(write_pages(chosen))} pages in {chosen}; read one with: man {chosen}/ambientctl.1")
