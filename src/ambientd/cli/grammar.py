"""The commands, options and words that the parsers know, as plain values.

Completion, the manual and the tests of the documents read this; nothing else looks into argparse.
"""

import argparse
from collections.abc import Iterator
from typing import NamedTuple


class Option(NamedTuple):
    """An option; one without a metavar takes no value."""

    names: tuple[str, ...]
    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    repeats: bool = False
    required: bool = False


class Word(NamedTuple):
    """A word that is no option."""

    metavar: str
    help: str
    choices: tuple[str, ...] = ()
    required: bool = True


class Command(NamedTuple):
    """A command with what may follow it; one that has commands of its own does nothing itself."""

    path: tuple[str, ...]
    help: str
    options: tuple[Option, ...]
    words: tuple[Word, ...]
    commands: tuple["Command", ...]

    @property
    def name(self) -> str:
        """Give what is typed: the program's name and all words below."""
        return " ".join(self.path)

    def leaves(self) -> Iterator["Command"]:
        """Give every command below that does something, or this one."""
        if not self.commands:
            yield self
        for each in self.commands:
            yield from each.leaves()


def grammar_of(parser: argparse.ArgumentParser, text: str = "") -> Command:
    """Read a parser and those below it."""
    options: list[Option] = []
    words: list[Word] = []
    commands: list[Command] = []
    for action in parser._actions:
        about = "" if action.help is None else action.help.replace("%%", "%")
        choices = tuple(map(str, action.choices or ()))
        if isinstance(action, argparse._SubParsersAction):
            lines = {each.dest: each.help or "" for each in action._choices_actions}
            commands += [grammar_of(each, lines[name]) for name, each in action.choices.items()]
        elif action.option_strings:
            repeats = isinstance(action, argparse._AppendAction)
            value = "" if action.nargs == 0 else _metavar(action, choices)
            names = tuple(action.option_strings)
            options.append(Option(names, value, about, choices, repeats, action.required))
        else:
            words.append(Word(_metavar(action, choices), about, choices, action.required))
    path = tuple(parser.prog.split())
    return Command(
        path, text or parser.description or "", tuple(options), tuple(words), tuple(commands)
    )


def _metavar(action: argparse.Action, choices: tuple[str, ...]) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return "|".join(choices) if choices else action.dest.upper()
