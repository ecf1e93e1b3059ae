"""Writes a config.toml in which every option stands with its meaning and bounds."""

import textwrap
from collections.abc import Mapping
from enum import Enum
from typing import Any, get_args, get_type_hints

import msgspec

from ambientd.config.options import Config

_WIDTH = 96
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def render_config(chosen: Mapping[str, Mapping[str, object]] | None = None) -> str:
    """Give the text of a config file; options not in `chosen` stand as comments.

    Args:
        chosen: section, then key, to value; an unknown one is a KeyError (a bug of the caller).
    """
    left = {section: dict(values) for section, values in (chosen or {}).items()}
    lines = [
        "# Configuration of one ambientd node. Lines that start with '#' show the default.",
        "# A change takes effect when the daemon starts again.",
    ]
    for field in msgspec.structs.fields(Config):
        section, kind = field.name, field.type
        values = left.pop(section, {})
        lines += ["", *_comment(str(kind.__doc__)), f"[{section}]"]
        hints = get_type_hints(kind, include_extras=True)
        for option in msgspec.structs.fields(kind):
            lines += ["", *_comment(_describe(hints[option.name]))]
            written = _toml(values.pop(option.name, None), option.default)
            lines.append(f"{written[0]}{option.name} = {written[1]}")
        if values:
            raise KeyError(f"{section}.{next(iter(values))}")
    if left:
        raise KeyError(next(iter(left)))
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH - 2)]


def _describe(annotation: Any) -> str:  # noqa: ANN401
    kind, *metas = get_args(annotation)
    meta = next(meta for meta in metas if isinstance(meta, msgspec.Meta))
    bounds = ""
    if kind is int:
        bounds = f" ({meta.ge} to {meta.le})" if meta.le is not None else f" ({meta.ge} or more)"
    elif isinstance(kind, type) and issubclass(kind, Enum):
        bounds = f" One of: {', '.join(str(member.value) for member in kind)}."
    return f"{meta.description}{bounds}"


def _toml(value: object | None, default: object) -> tuple[str, str]:
    if value is None:
        if isinstance(default, tuple):  # a comment has one line
            return "# ", f"[{', '.join(map(_literal, default))}]"
        return "# ", _literal(default)
    return "", _literal(value)


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return msgspec.json.encode(str(value)).decode().replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        if not value:
            return "[]"
        return "[\n" + "".join(f"  {_literal(item)},\n" for item in value) + "]"
    msg = f"no TOML form for {type(value).__name__}"
    raise TypeError(msg)
