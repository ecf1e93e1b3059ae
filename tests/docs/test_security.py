"""The table of rates and quotas says what the code says."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import msgspec
import pytest

TEXT = (Path(__file__).parents[2] / "SECURITY.md").read_text("utf-8")
ROWS = re.findall(r"^\| [^|]+ \| (\d+) \| `([\w.]+):([\w.]+)` \|$", TEXT, re.MULTILINE)


def test_the_table_is_there() -> None:
    assert len(ROWS) >= 20


@pytest.mark.parametrize(("said", "module", "name"), ROWS, ids=lambda part: part)
def test_a_bound_is_the_one_that_the_code_has(said: str, module: str, name: str) -> None:
    *owners, last = name.split(".")
    place = reduce(getattr, owners, import_module(module))
    if owners:
        fields = {each.name: each.default for each in msgspec.structs.fields(place)}
        assert fields[last] == int(said)
    else:
        assert getattr(place, last) == int(said)
