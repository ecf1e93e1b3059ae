"""What an owner types to have a table."""

import os
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Ctl

pytestmark = pytest.mark.net


def test_a_files_name_says_how_it_is_written(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    target = tmp_path / "n.csv"
    assert ctl("export", "nodes", target)[0:2] == (0, f"1 row in {target}\n")
    assert target.read_text().startswith("id,name,region,kind,")
    code, out, err = ctl("export", "nodes", target)
    assert (code, out, "is there already" in err) == (2, "", True)
    told = ctl("export", "nodes", target, "--force", "--format", "jsonl", "--json")[1]
    assert msgspec.json.decode(told) == {"file": str(target), "format": "jsonl", "rows": 1}
    assert msgspec.json.decode(target.read_bytes().splitlines()[0])["name"]


def test_a_name_that_says_nothing_is_asked_about(live: Path, ctl: Ctl, tmp_path: Path) -> None:
    code, out, err = ctl("export", "tasks", tmp_path / "tasks")
    assert (code, out) == (2, "")
    assert "give --format, one of parquet, csv, jsonl" in err
    assert ctl("export", "tasks", tmp_path / "no" / "t.csv")[0] == 2
    assert not list(tmp_path.glob("t*"))


def test_what_is_no_file_is_written_and_never_replaced(
    live: Path, ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert ctl("export", "nodes", pipe, "--force")[0] == 0
        assert os.read(reading, 8) == b"id,name,"
    finally:
        os.close(reading)
    assert pipe.is_fifo()
    code, out, err = ctl("export", "nodes", "-", "--format", "csv")
    assert (code, out[:8], err) == (0, "id,name,", "1 row in -\n")
    assert not (tmp_path / "-").exists()
