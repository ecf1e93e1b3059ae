"""Finds everything that is wrong in a config's text, each with its line and key."""

import tomllib
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

import msgspec

from ambientd.config.lines import line_of
from ambientd.config.meaning import complaints_about
from ambientd.config.options import Config
from ambientd.config.toml_words import toml_fault

_TYPE_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text in quotes",
    list: "a list",
    dict: "a section",
}

_SAID_OTHERWISE: dict[tuple[str, str, object], str] = {
    ("bitcoin", "chain", "core"): '; Bitcoin Core is reached by "rpc"',
}

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    field.name: field.type for field in msgspec.structs.fields(Config)
}


class Fault(NamedTuple):
    """One mistake: its line, if it has one; section and key, as far as it is one's; and words."""

    line: int | None
    names: tuple[str, ...]
    text: str

    @property
    def key(self) -> str:
        """Give where it is, as people write it; empty for what is no key's."""
        return f"[{self.names[0]}] {self.names[1]}" if len(self.names) > 1 else ""

    def told(self, where: str) -> str:
        """Give one line: the file, the line, the key, and what is wrong."""
        place = f"{where}, line {self.line}" if self.line else where
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


def read_config(text: str) -> tuple[Config, tuple[Fault, ...]]:
    """Read a config; what is wrong is left out of it, and named."""
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        line, words = toml_fault(error, text)
        return Config(), (Fault(line, (), f"not valid TOML: {words}"),)
    found = list(_unknown(tree, text))
    config, misshapen = _converted(tree, text)
    found += misshapen
    faulty = {fault.names[0] for fault in found}
    # Where a setting of a section cannot be read, what goes together with it cannot be told.
    found += [
        Fault(line_of(text, names), names, words)
        for names, words in complaints_about(config)
        if names[0] not in faulty
    ]
    return config, tuple(found)


def _unknown(tree: dict[str, Any], text: str) -> Iterator[Fault]:
    """Name sections and keys that there are not, and take them out of the tree."""
    for section, values in list(tree.items()):
        if section not in _SECTIONS:
            del tree[section]
            yield Fault(line_of(text, (section,)), (section,), _unknown_section(section, values))
            continue
        if not isinstance(values, dict):
            del tree[section]
            line = line_of(text, (section,))
            yield Fault(line, (section,), f"[{section}] must be a section")
            continue
        known = _SECTIONS[section].__struct_fields__
        for key in [each for each in values if each not in known]:
            del values[key]
            line = line_of(text, (section, key))
            hint = _suggest(key, known, f"keys of [{section}]")
            yield Fault(line, (section, key), f"unknown key {key!r}; {hint}")


def _unknown_section(section: str, values: object) -> str:
    if isinstance(values, dict):
        hint = _suggest(section, tuple(_SECTIONS), "sections")
        return f"unknown section [{section}]; {hint}"
    hint = _suggest(section, (), "sections")
    return f"{section!r} stands in no section; {hint}"


def _suggest(word: str, known: tuple[str, ...], what: str) -> str:
    """Say which known word may be meant, here or else in another section."""
    from difflib import get_close_matches

    meant = word.lower().replace("-", "_")
    if close := get_close_matches(meant, known, n=1, cutoff=0.6):
        return f"did you mean {close[0]!r}?"
    elsewhere = {key: name for name, kind in _SECTIONS.items() for key in kind.__struct_fields__}
    close = get_close_matches(meant, elsewhere, n=1, cutoff=0.8)
    if close and known != tuple(_SECTIONS):
        return f"did you mean {close[0]!r} of [{elsewhere[close[0]]}]?"
    return f"the {what} are {', '.join(known or _SECTIONS)}"


def _converted(tree: dict[str, Any], text: str) -> tuple[Config, list[Fault]]:
    """Give the config without what has the wrong shape, and the faults that this is."""
    found: list[Fault] = []
    while True:
        try:
            return msgspec.convert(tree, Config), found
        except msgspec.ValidationError as error:
            complaint, _, path = str(error).partition(" - at `$.")
            section, key = (part.split("[")[0] for part in path.rstrip("`").split(".")[:2])
            value = tree[section].pop(key)
            words = _explain(complaint, section, key, value, is_entry="[" in path)
            found.append(Fault(line_of(text, (section, key)), (section, key), words))


def _explain(complaint: str, section: str, key: str, value: object, *, is_entry: bool) -> str:
    default = getattr(getattr(Config(), section), key)
    if isinstance(default, Enum) and complaint.startswith("Invalid enum value"):
        allowed = ", ".join(repr(member.value) for member in type(default))
        return f"{value!r} is none of {allowed}{_SAID_OTHERWISE.get((section, key, value), '')}"
    if ", got `" in complaint:
        if is_entry:
            return "every entry must be a text in quotes"
        got = _TYPE_NAMES.get(type(value), type(value).__name__)
        return f"must be {_TYPE_NAMES.get(_plain_type(default), 'another type')}, not {got}"
    if " matching regex " in complaint:
        wrong = "holds characters that a name may not have"
        if (section, key) == ("log", "trusted_epoch"):
            wrong = "is not of the form NUMBER:HASH, as `ambientctl member list` shows it"
        return f"{value!r} {wrong}"
    bound = complaint.removeprefix("Expected ").replace("`", "")
    return f"must be {bound}, not {value!r}"


def _plain_type(default: object) -> type:
    for plain in (bool, int, float, str):
        if isinstance(default, plain):
            return plain
    return list
