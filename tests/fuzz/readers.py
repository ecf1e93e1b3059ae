"""Where `src` makes values of bytes, and which of those places a fuzzer's inputs come by.

A place is a function that calls one of the READERS. Where it reads a type in canonical form, it
is enough that the type is read: one function reads them all.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ambientd.codec import canonical

SOURCES = Path(__file__).parent.parent.parent / "src"
READERS: Final = frozenset(
    {"Decoder", "FromString", "ParseFromString", "b64decode", "convert", "decompress", "frombuffer"}
    | {"iter_unpack", "load", "loads", "unpack", "unpack_from"}
)
_OURS: Final = ("load", "loads", "convert")
"""Words that methods of our own have as well: these are readers only of a library."""
_LIBRARIES: Final = frozenset({"json", "msgspec", "np", "tomllib"})


@dataclass(frozen=True)
class Place:
    """A function that reads bytes; `kind` is the type, where it reads one in canonical form."""

    module: str
    function: str
    kind: Any = None

    def __str__(self) -> str:
        return f"{self.module.removeprefix('ambientd.')}:{self.function}"


@dataclass
class Seen:
    """Which functions were called, and which types read in canonical form."""

    functions: set[tuple[str, str]] = field(default_factory=set)
    kinds: list[Any] = field(default_factory=list)

    def holds(self, place: Place) -> bool:
        """Tell whether a place, or what it reads, was come by."""
        is_read = place.kind is not None and place.kind in self.kinds
        return is_read or (place.module, place.function) in self.functions


def places() -> list[Place]:
    """Give all places of the program."""
    found: dict[str, Place] = {}
    for path in sorted((SOURCES / "ambientd").rglob("*.py")):
        name = ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        for function, call in _calls(ast.parse(path.read_text()), ""):
            kind = _kind(name, call)
            if kind is not _ELSEWHERE:
                found[f"{name} {function} {kind}"] = Place(name, function, kind)
    return list(found.values())


@contextmanager
def watched() -> Iterator[Seen]:
    """Note what is called and read meanwhile, in this thread."""
    seen = Seen()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        module = frame.f_globals.get("__name__", "")
        if module.startswith("ambientd."):
            seen.functions.add((module, frame.f_code.co_qualname))
            if frame.f_code is canonical.decode.__code__:
                kind = frame.f_locals["kind"]
                if kind not in seen.kinds:
                    seen.kinds.append(kind)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)


_ELSEWHERE = object()
"""What is called only looks like a reader, or is a function of ours, which is looked at itself."""


def _calls(node: ast.AST, function: str) -> Iterator[tuple[str, ast.Call]]:
    for each in ast.iter_child_nodes(node):
        if isinstance(each, ast.ClassDef):
            yield from _calls(each, f"{function}{each.name}.")
            continue
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _calls(each, f"{function}{each.name}.<locals>.")
            continue
        if isinstance(each, ast.Call) and _is_reader(each):
            yield function.removesuffix(".<locals>."), each
        yield from _calls(each, function)


def _is_reader(call: ast.Call) -> bool:
    whole = ast.unparse(call.func)
    name = whole.rpartition(".")[2]
    if name in _OURS:
        return whole.partition(".")[0] in _LIBRARIES
    # Without arguments, or with the name of an encoding, it is a text that is decoded.
    is_text = not call.args or isinstance(call.args[0], ast.Constant)
    return name in READERS or (name == "decode" and not is_text)


def _kind(module: str, call: ast.Call) -> Any:
    """Give the type that a call reads in canonical form; None where it reads otherwise."""
    if ast.unparse(call.func) not in ("decode", "canonical.decode"):
        return None
    names = vars(importlib.import_module(module))
    if _value(call.func, names) is not canonical.decode:
        return _ELSEWHERE
    return _value(call.args[1], names)


def _value(expression: ast.expr, names: dict[str, Any]) -> Any:
    try:
        return eval(ast.unparse(expression), names)
    except NameError:
        return None
