"""The table of rates and quotas says what the code says."""

import ast
import dataclasses
import re
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ambientd.ports.transport import TransportOptions

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text("utf-8")
ROWS = re.findall(r"^\| [^|]+ \| ([\d.]+) \| `([\w.]+):([\w.]+)` \|$", TEXT, re.MULTILINE)
UNPACKING = {
    *("gzip", "zlib", "lzma", "bz2", "zipfile", "tarfile", "compression"),
    *("zstandard", "brotli", "snappy", "lz4", "pyarrow"),
}
SOURCES = Path(__file__).parents[2] / "src"


def imported(path: Path) -> set[str]:
    """Give the packages that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(str(node.module).partition(".")[0])
    return found


def test_what_has_to_do_with_packed_bytes_is_named_and_nothing_else_has() -> None:
    """A new way in for packed bytes needs its bound, and its line in SECURITY.md."""
    section = TEXT.partition("## What is unpacked")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(ambientd\.[\w.]+)`", section))
    assert named == {
        ".".join(path.relative_to(SOURCES).with_suffix("").parts)
        for path in SOURCES.rglob("*.py")
        if imported(path) & UNPACKING
    }


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("said", "module", "name"), ROWS, ids=lambda part: part)
def test_a_bound_is_the_one_that_the_code_has(said: str, module: str, name: str) -> None:
    *owners, last = name.split(".")
    place = reduce(getattr, owners, import_module(module))
    if owners:
        assert defaults(place)[last] == float(said)
    else:
        assert getattr(place, last) == float(said)


def defaults(place: Any) -> dict[str, object]:
    """Give the fields of options with their defaults."""
    if dataclasses.is_dataclass(place):
        return {each.name: each.default for each in dataclasses.fields(place)}
    return {each.name: each.default for each in msgspec.structs.fields(place)}


def test_each_bound_of_the_transport_has_its_row() -> None:
    """What is counted there is what a peer can spend; a time is none, nor is a name or address."""
    rows = {name for _, module, name in ROWS if module == TransportOptions.__module__}
    bounds = {
        f"{TransportOptions.__name__}.{name}"
        for name, default in defaults(TransportOptions).items()
        if isinstance(default, int | float) and (not name.endswith("_s") or name.endswith("_per_s"))
    }
    assert len(bounds) >= 18
    assert bounds <= rows
