"""What a shell offers at the cursor, for every command and option there is."""

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ambientd.cli.completing import FILES, FOLDERS, offers
from ambientd.cli.completion_commands import SCRIPTS
from ambientd.cli.grammar import Command, Option, grammar_of
from ambientd.cli.parser import build_parser
from tests.cli.conftest import Ctl
from tests.fakes.desk_node import NODE
from tests.missing import missing

ALL = grammar_of(build_parser())
LEAVES = list(ALL.leaves())
CHOOSING = [
    (command, option)
    for command in LEAVES
    for option in command.options
    if option.choices and option.metavar
]


def offered(line: str) -> list[str]:
    """Give the words that are offered at the end of a line; its last word is being typed."""
    *before, current = line.split(" ")
    return [each.partition("\t")[0] for each in offers(before, current)]


@pytest.mark.parametrize("command", LEAVES, ids=lambda each: "-".join(each.path[1:]))
def test_every_command_is_reached_word_by_word_and_offers_its_options(command: Command) -> None:
    for number in range(1, len(command.path)):
        assert command.path[number] in offered(" ".join([*command.path[1:number], ""]))
    line = " ".join(command.path[1:])
    names = {option.names[-1] for option in command.options}
    assert names == set(offered(f"{line} -")) == set(offered(f"{line} --")) | {"-h"} & names


@pytest.mark.parametrize(("command", "option"), CHOOSING)
def test_an_option_that_chooses_offers_its_choices(command: Command, option: Option) -> None:
    line = " ".join([*command.path[1:], option.names[-1]])
    assert offered(f"{line} ") == list(option.choices)
    assert offered(f"{line} =") == list(option.choices)  # as bash splits it
    joined = [f"{option.names[-1]}={each}" for each in option.choices]
    assert offered(f"{line}={option.choices[0][:1]}")[0] in joined


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ver", ["version"]),
        ("--data-dir ", [FOLDERS]),
        ("--data-dir x --json ver", ["version"]),
        ("run ", [FILES]),
        ("run m.wasm --input ", [FILES]),
        ("run m.wasm ", []),
        ("completion ", ["bash", "zsh", "fish"]),
        ("completion z", ["zsh"]),
        ("nothing ", []),
        ("run --json --js", []),
        ("task list --limit ", []),
    ],
)
def test_what_is_offered_is_what_fits(line: str, words: list[str]) -> None:
    assert offered(line) == words


@pytest.mark.net
def test_nodes_and_tasks_are_offered_as_this_node_knows_them(
    live: Path, ctl: Ctl, tmp_path: Path
) -> None:
    (tmp_path / "m.wasm").write_bytes(b"\0asm\1\0\0\0echo")
    task = ctl("run", tmp_path / "m.wasm", "--no-wait")[1].strip()
    assert ctl("__complete", "task", "show", "")[1] == f"{task[:12]}\tfinal\n"
    assert ctl("__complete", "task", "show", "zz")[1] == ""
    out = ctl("__complete", "account", "show", "")[1]
    assert out == f"{NODE[:12]}\tevil\ufffd[31m\n"  # such a name cannot be typed
    assert ctl("--json", "version")[0] == 0


def test_a_node_that_does_not_answer_offers_nothing_in_silence(ctl: Ctl) -> None:
    assert ctl("__complete", "task", "show", "") == (0, "", "")
    assert ctl("__complete") == ctl("__complete", "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_script_for_each_shell_is_printed_and_it_can_read_it(shell: str, ctl: Ctl) -> None:
    code, out, _ = ctl("completion", shell)
    assert (code, out) == (0, SCRIPTS[shell])
    program = shutil.which(shell)
    if program is None:
        missing(f"{shell} is not here")
    subprocess.run([program, "-n", "-c", out], check=True)


@pytest.mark.net
def test_bash_completes_with_it(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        missing("bash is not here")
    program = tmp_path / "ambientctl"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ambientd.cli.main "$@"\n')
    program.chmod(0o755)
    (tmp_path / "a file.wasm").touch()
    ask = f"""{SCRIPTS["bash"]}
    compopt() {{ :; }}
    for line in "join --kind = e" "run a" "cluster cr"; do
        COMP_WORDS=({program} $line); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _ambientctl
        printf '%s\\n' "${{COMPREPLY[@]}}"
    done"""
    done = subprocess.run([bash, "-c", ask], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    first, *files, last = done.stdout.splitlines()
    assert (first, sorted(files), last) == ("edge", ["a file.wasm", "ambientctl"], "create")


def test_tokens_are_offered_by_id_without_a_daemon(ctl: Ctl, data_dir: Path) -> None:
    (data_dir / "config.toml").touch()
    token = msgspec.json.decode(ctl("token", "create", "laptop", "--json")[1])["id"]
    assert offered(f"--data-dir {data_dir} token revoke ") == [token]
    assert offered(f"--data-dir {data_dir}x token revoke ") == []
