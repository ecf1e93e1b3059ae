"""ambientctl starts in milliseconds: what is imported, and which parsers are built."""

import argparse
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ambientd.cli.parser import COMMANDS, adder, build_parser
from ambientd.cli.parsing import OTHER_WORDS, Parser
from tests.cli.conftest import Ctl

SLOW_TO_IMPORT = {
    *("rich", "trio", "cryptography", "asyncio", "json", "logging", "dataclasses", "hashlib"),
    *("shutil", "subprocess", "tempfile", "tomllib", "numpy", "ssl", "http", "email", "sqlite3"),
    *("wasmtime", "embit", "structlog"),
}


NEEDED_OF_API = {
    f"ambientd.api.{name}"
    for name in (
        *("client", "counting", "frames", "looking_operations", "operation", "owner_standing"),
        *("peer_user", "privacy_standing", "readiness_values", "replies", "requests", "routes"),
        "seen_values",
    )
}
"""What `status` has of the API's types: those of the other operations take as long again."""


def names_of(parser: Parser) -> tuple[str, ...]:
    """Give the commands that a parser takes."""
    actions = parser._actions
    [chosen] = (each for each in actions if isinstance(each, argparse._SubParsersAction))
    return tuple(chosen.choices)


@pytest.mark.net
def test_status_imports_nothing_that_takes_long(live: Path) -> None:
    look = (
        "import sys\nfrom ambientd.cli.main import main\n"
        f"code = main(['--data-dir', {str(live)!r}, 'status', '--json'])\n"
        "print(*sys.modules, file=sys.stderr)\nsys.exit(code)"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, env=clean, check=False
    )
    assert (done.returncode, done.stdout[:8]) == (0, '{"node":')
    imported = set(done.stderr.split())
    assert imported & SLOW_TO_IMPORT == set()
    assert {each for each in imported if each.startswith("ambientd.api.")} == NEEDED_OF_API
    assert {each.split(".")[1] for each in imported if each.startswith("ambientd.")} <= {
        "api",
        "cli",
        "config",
        "errors",
    }


@pytest.mark.parametrize(("names", "add"), COMMANDS, ids=lambda value: str(value)[:20])
def test_each_row_of_the_table_adds_what_it_names(names: tuple[str, ...], add: str) -> None:
    parser = Parser(prog="x")
    adder(add)(parser.add_subparsers())
    assert names_of(parser) == names


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "--json status",
        "--data-dir nodes status",
        "--data-dir=nodes --quiet status",
        "status --data-dir nodes",
    ],
)
def test_the_command_is_found_among_options(line: str) -> None:
    assert "status" in names_of(build_parser(line.split()))
    assert "demo" not in names_of(build_parser(line.split()))
    assert build_parser(line.split()).parse_args(line.split()).command == "status"


@pytest.mark.parametrize("line", ["", "--help", "statsu", "--data-dir"])
def test_without_a_command_all_are_known(line: str) -> None:
    assert len(names_of(build_parser(line.split()))) == sum(len(names) for names, _ in COMMANDS)


PROMISED = (
    *("status", "top", "nodes", "run FILE", "anchor status", "peg audit", "fl list"),
    *("task list", "task show ID", "task logs ID", "task cancel ID", "task why ID"),
    *("receipt get ID", "receipt verify FILE"),
    *(
        "module check FILE",
        "module prepare FILE -o FILE",
        "module publish FILE",
        "module new F --lang c",
    ),
    *("cluster create DIR", "cluster invite", "cluster members"),
    *("config show", "backup create FILE", "restore FILE", "completion bash", "demo"),
    *("audit tail", "audit verify", "audit export FILE", "doctor", "pause", "resume"),
)
"""What the design names, by the names that it gives."""


@pytest.mark.parametrize("line", PROMISED)
def test_every_name_that_was_promised_is_a_command(line: str) -> None:
    words = line.split()
    module, function = build_parser(words).parse_args(words).run.split(":")
    assert callable(getattr(import_module(f"ambientd.cli.{module}"), function))


@pytest.mark.parametrize(
    ("second", "first"),
    [
        ("restore FILE --height 3 --identity F", "backup restore FILE --height 3 --identity F"),
        ("cluster members", "member list"),
        ("task run FILE --yes --gas-max 7 -o OUT", "run FILE --yes --gas-max 7 -o OUT"),
        ("audit tail --limit 3", "trail tail --limit 3"),
        (f"audit verify --head 1:{'a' * 64}", f"trail verify --head 1:{'a' * 64}"),
        ("audit export FILE --force", "trail export FILE --force"),
    ],
)
def test_a_second_name_is_the_same_command_with_the_same_options(second: str, first: str) -> None:
    both = [vars(build_parser(line.split()).parse_args(line.split())) for line in (second, first)]
    for each in both:
        each.pop("command"), each.pop("subcommand", None)
    assert both[0] == both[1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("statsu", "'statsu' is no command; did you mean status?; see `ambientctl --help`"),
        ("cancel x", "'cancel' is no command; did you mean `task cancel`?"),
        ("members", "'members' is no command; did you mean `member list`?"),
        ("audit tial", "'tial' is no command; did you mean tail?; see `ambientctl audit --help`"),
        ("task lst", "did you mean list?; see `ambientctl task --help`"),
        ("qqqq", "'qqqq' is no command; there are status, nodes, "),
        ("run x --inptu y", "there is no option --inptu; did you mean --input?"),
        ("run x --inptu=y", "there is no option --inptu; did you mean --input?"),
        ("run x --qqqq", "there is no option --qqqq; see `ambientctl run --help`"),
        ("version a b", "'a' is one word too many; see `ambientctl version --help`"),
        ("token create x --scope rea", "--scope: 'rea' is none of read, submit, admin; did you"),
        ("completion fsh", "shell: 'fsh' is none of bash, zsh, fish; did you mean fish?"),
    ],
)
def test_what_may_have_been_meant_is_said(ctl: Ctl, line: str, words: str) -> None:
    code, out, err = ctl(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith("ambientctl: ")
    assert words in err
    assert err.count("\n") == 1


def test_what_is_meant_by_another_word_is_a_command() -> None:
    for line, meant in OTHER_WORDS.items():
        names = re.findall(r"`((?:[a-z]+ ?)+)`", meant)
        assert names, line
        for name in names:
            chosen = build_parser(name.split())
            for word in name.split():
                [below] = (a for a in chosen._actions if isinstance(a, argparse._SubParsersAction))
                chosen = below.choices[word]


@pytest.mark.net
def test_a_quiet_command_says_only_its_answer_and_what_went_wrong(
    live: Path, ctl: Ctl, tmp_path: Path
) -> None:
    module = tmp_path / "m.wasm"
    module.write_bytes(b"\0asm\1\0\0\0echo")
    data = tmp_path / "input"
    data.write_text("hallo")
    assert ctl("--quiet", "run", module, "--input", data) == (0, "hallo", "")
    module.write_bytes(b"\0asm\1\0\0\0trap")
    code, out, err = ctl("run", module, "--quiet")
    assert (code, out) == (1, "")
    assert err.startswith("ambientctl: task ")
    assert err.count("\n") == 1
    assert ctl("task", "list")[1].count("\n") == 3  # and the next command is not quiet any more
