"""What a shell offers for the word at the cursor: out of the parsers, and of the node's lists."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ambientd.api import operations, requests
from ambientd.api.client import Client
from ambientd.cli.console import connect, data_dir_of, printable, short
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.grammar import Command, Option, Word, grammar_of
from ambientd.cli.parser import build_parser
from ambientd.errors import AmbientError

FILES, FOLDERS = ":files", ":dirs"
"""Said instead of words: the shell offers paths, which it knows best."""

TASKS_OFFERED = 50
_PATIENCE_S = 1.0
_FILES = frozenset({"FILE", "MODULE.wasm", "STATE", "FILE.ots"})
_SAFE = re.compile(r"[A-Za-z0-9._-]+")


NOTHING = Command(path=(), help="", options=(), words=(), commands=())
"""What follows a command that is not there."""


class Place(NamedTuple):
    """Where the cursor is: the command so far, and what the word there is for."""

    command: Command
    wanted: Option | Word | None
    data_dir: str | None


class _Chosen(msgspec.Struct):
    data_dir: str | None
    as_json: bool = True
    quiet: bool = True


def complete(words: Sequence[str]) -> ExitCode:
    """Print an offer a line, with what it is behind a tab; the last word is the one to complete."""
    *before, current = words or [""]
    for offer in offers(before, current):
        print(offer)
    return ExitCode.DONE


def offers(before: Sequence[str], current: str) -> Iterator[str]:
    """Give what could stand at the cursor."""
    name, is_joined, rest = current.partition("=")
    if is_joined and name.startswith("--"):  # as zsh and fish give it; bash splits it
        return (f"{name}={each}" for each in offers([*before, name], rest))
    place = place_of(before)
    current = current.removeprefix("=")
    if place.wanted is not None and not (isinstance(place.wanted, Word) and current[:1] == "-"):
        found = _values(place, place.wanted)
    elif current.startswith("-"):
        found = _options(place.command, before)
    else:
        found = (f"{each.path[-1]}\t{each.help}" for each in place.command.commands)
    return (each for each in found if each.startswith((current, ":")))


def place_of(before: Sequence[str]) -> Place:
    """Follow the words before the cursor."""
    command = grammar_of(build_parser(before))
    waiting: Option | None = None
    count, data_dir = 0, None
    for word in before:
        if word == "=":
            continue
        if waiting is not None:
            data_dir = word if "--data-dir" in waiting.names else data_dir
            waiting = None
        elif word.startswith("-"):
            waiting = _option(command, word)
        else:
            below = next((each for each in command.commands if each.path[-1] == word), None)
            if below is None and command.commands:
                return Place(NOTHING, None, data_dir)
            command, count = (command, count + 1) if below is None else (below, 0)
    if waiting is not None:
        return Place(command, waiting, data_dir)
    return Place(command, next(iter(command.words[count:]), None), data_dir)


def _option(command: Command, word: str) -> Option | None:
    found = next((each for each in command.options if word in each.names), None)
    return None if found is None or not found.metavar else found


def _options(command: Command, before: Sequence[str]) -> Iterator[str]:
    for option in command.options:
        if option.repeats or not set(option.names) & set(before):
            yield f"{option.names[-1]}\t{option.help}"


def _values(place: Place, wanted: Option | Word) -> Iterator[str]:
    if wanted.choices:
        yield from wanted.choices
    elif wanted.metavar in _FILES:
        yield FILES
    elif wanted.metavar == "DIR":
        yield FOLDERS
    elif place.command.path[1:2] == ("token",) and wanted.metavar == "ID":
        yield from _tokens(place)
    elif wanted.metavar in {"NODE", "ID", "NODE|TASK"}:
        try:
            with connect(_Chosen(place.data_dir)) as client:
                if wanted.metavar != "ID":
                    yield from _nodes(client)
                if wanted.metavar != "NODE":
                    yield from _tasks(client)
        except (AmbientError, OSError):
            return  # nobody wants to read about it while typing


def _tokens(place: Place) -> Iterator[str]:
    """Give the tokens out of their file: no daemon is needed."""
    from ambientd.api.tokens import read_tokens
    from ambientd.config.load import load_config
    from ambientd.config.places import Places

    data_dir = data_dir_of(_Chosen(place.data_dir))
    try:
        for token in read_tokens(Places(data_dir).http_file(load_config(data_dir).http.tokens)):
            yield f"{token.id}\t{printable(token.name)}"
    except AmbientError:
        return


def _nodes(client: Client) -> Iterator[str]:
    found = client.call(operations.NODES, requests.ListNodes(), _PATIENCE_S).nodes
    names = [node.name for node in found]
    for node in found:
        if _SAFE.fullmatch(node.name) and names.count(node.name) == 1:
            yield f"{node.name}\t{short(node.id)}"
        else:
            yield f"{short(node.id)}\t{printable(node.name)}"


def _tasks(client: Client) -> Iterator[str]:
    request = requests.ListTasks(limit=TASKS_OFFERED)
    for task in client.call(operations.TASK_LIST, request, _PATIENCE_S).tasks:
        yield f"{short(task.task_id)}\t{task.state}"
