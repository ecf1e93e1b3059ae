"""Exports: every row once, page by page, in each format, and read back as what they were."""

import csv
import tracemalloc
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from ambientd.adapters import parquet_table
from ambientd.adapters.batch_journal import BatchJournal
from ambientd.adapters.table_files import CsvTable
from ambientd.api import operations, replies
from ambientd.api.client import Client
from ambientd.api.exporting import (
    Format,
    Reading,
    columns_of,
    export_nodes,
    export_observations,
    export_tasks,
    export_telemetry,
)
from ambientd.api.telemetry_values import NodeTelemetry, SeriesLine
from ambientd.codec.canonical import encode
from ambientd.errors import StoreError, UsageError
from ambientd.model.base import Digest, NodeId
from ambientd.model.telemetry import Observation, TelemetryBatch
from ambientd.ports.tables import Column, Kind
from tests.missing import missing

NODE = "a1" * 32


class Far:
    """A daemon that has many tasks and two nodes, and says them page by page."""

    def __init__(self, tasks: int) -> None:
        self.tasks = tasks

    def call(self, operation: operations.Operation[Any, Any], request: Any) -> Any:
        if operation is operations.TASK_LIST:
            start = int(request.after or 0)
            end = min(self.tasks, start + request.limit)
            following = str(end) if end < self.tasks else None
            lines = tuple(line(number) for number in range(start, end))
            return replies.Tasks(tasks=lines, total=self.tasks, next=following)
        if operation is operations.NODES:
            return replies.Nodes(self_id=NODE, nodes=(node("attic"), node("=cellar")))
        values = (None, 1.5, 2.0)
        lines = (SeriesLine(name="power_watt", unit="W", source="rapl", values=values),)
        return NodeTelemetry(
            node=request.node,
            name="attic",
            span=request.span,
            from_ms=1_000,
            step_ms=10,
            kept=True,
            safe_mode=False,
            causes=(),
            energy_wh=None,
            lines=lines,
        )


def line(number: int) -> replies.TaskLine:
    return replies.TaskLine(
        task_id=f"{number:064x}",
        state="final",
        outcome="completed",
        verdict="agreed",
        gas=None if number % 2 else number,
        replicas=2,
        submitter=NODE,
        submitted_ms=number,
    )


def node(name: str) -> replies.NodeInfo:
    return replies.NodeInfo(
        id=NODE,
        name=name,
        region="local",
        kind="compute",
        committee=True,
        connected=True,
        health_percent=None,
        reputation=1,
        safe_mode=False,
        engine="wasmtime",
        balance_msat=2**53 - 1,
        bond_msat=0,
        tombstoned=False,
        accepting=True,
        labels=("gpu=yes", "rack=3"),
    )


def far(tasks: int = 1_203) -> Client:
    return cast("Client", Far(tasks))


@pytest.fixture
def arrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        missing("pyarrow is not installed: make setup")
    return pyarrow.parquet


def test_every_task_is_a_row_once_and_empty_where_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    assert export_tasks(far(), path, Format.CSV, "") == 1_203
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task_id"] for row in rows] == [f"{number:064x}" for number in range(1_203)]
    assert [row["gas"] for row in rows[:4]] == ["0", "", "2", ""]
    assert list(tmp_path.iterdir()) == [path]


def test_lines_of_json_say_what_the_daemon_said(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    assert export_nodes(far(), path, Format.JSONL) == 2
    rows = [msgspec.json.decode(each) for each in path.read_bytes().splitlines()]
    assert rows[0]["balance_msat"] == 2**53 - 1
    assert rows[0]["health_percent"] is None
    assert msgspec.json.decode(rows[0]["labels"]) == ["gpu=yes", "rack=3"]


def test_a_name_is_no_formula_in_a_spreadsheet(tmp_path: Path) -> None:
    export_nodes(far(), tmp_path / "n.csv", Format.CSV)
    with (tmp_path / "n.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["attic", "'=cellar"]


def test_parquet_reads_back_with_its_types(tmp_path: Path, arrow: Any) -> None:
    path = tmp_path / "n.parquet"
    assert export_nodes(far(), path, Format.PARQUET) == 2
    table = arrow.read_table(path)
    types = {field.name: str(field.type) for field in table.schema}
    assert [types[name] for name in ("name", "balance_msat", "reputation", "committee")] == [
        "string",
        "int64",
        "double",
        "bool",
    ]
    first = table.to_pylist()[0]
    assert (first["name"], first["health_percent"], first["reputation"]) == ("attic", None, 1.0)
    assert first["balance_msat"] == 2**53 - 1


def test_telemetry_is_a_row_for_each_value_that_is_known(tmp_path: Path, arrow: Any) -> None:
    path = tmp_path / "t.parquet"
    assert export_telemetry(far(), path, Format.PARQUET, "hour") == 4
    rows = arrow.read_table(path).to_pylist()
    assert [(row["measure"], row["time_ms"], row["value"]) for row in rows[:2]] == [
        ("power_watt", 1_010, 1.5),
        ("power_watt", 1_020, 2.0),
    ]


def test_a_parquet_file_is_written_in_groups_and_memory_is_bounded(
    tmp_path: Path, arrow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_table, "GROUP_ROWS", 1_000)
    path = tmp_path / "t.parquet"

    def peak_of(tasks: int) -> int:
        tracemalloc.start()
        try:
            assert export_tasks(far(tasks), path, Format.PARQUET, "") == tasks
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak_of(100)
    few, many = peak_of(3_000), peak_of(15_250)
    assert many < few + 500_000
    found = arrow.ParquetFile(path)
    assert found.metadata.num_row_groups == 16
    assert found.metadata.num_rows == 15_250


def test_an_export_that_breaks_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")

    class Gone(Far):
        def call(self, operation: operations.Operation[Any, Any], request: Any) -> Any:
            if request.after:
                raise OSError("the daemon went away")
            return super().call(operation, request)

    with pytest.raises(OSError, match="went away"):
        export_tasks(cast("Client", Gone(1_203)), path, Format.CSV, "")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_pyarrow_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"pip install 'pyarrow>=22'"):
        export_nodes(far(), tmp_path / "n.parquet", Format.PARQUET)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        CsvTable(tmp_path / "no" / "t.csv", [Column("a", Kind.TEXT)])


def test_columns_have_the_kinds_of_their_fields() -> None:
    kinds = {each.name: each.kind for each in columns_of(replies.TaskLine)}
    assert (kinds["gas"], kinds["state"], kinds["audits"]) == (Kind.WHOLE, Kind.TEXT, Kind.TEXT)
    assert {each.kind for each in columns_of(Reading)} == {Kind.TEXT, Kind.WHOLE, Kind.REAL}
    assert next(each.kind for each in columns_of(replies.NodeInfo) if each.name == "labels") is (
        Kind.TEXT
    )


def journal_in(folder: Path, count: int) -> None:
    journal = BatchJournal(folder, bytes_max=1 << 20)
    for seq in range(count):
        observations = (
            Observation(name="power_watt", value=1_500 + seq, source="rapl"),
            Observation(name="safe_mode_flag", value=None, source="=node"),
        )
        batch = TelemetryBatch(
            node=NodeId(bytes.fromhex(NODE)),
            epoch=3,
            seq=seq,
            observations=observations,
            prev_hash=Digest(bytes(32)),
            signature=bytes(64),
        )
        journal.append(1_000 + seq, encode(batch))
    journal.close()


@pytest.mark.parametrize("form", [Format.CSV, Format.JSONL])
def test_what_nodes_signed_is_a_row_for_each_value_and_a_torn_end_is_passed_by(
    tmp_path: Path, form: Format
) -> None:
    folder, path = tmp_path / "telemetry", tmp_path / "o"
    journal_in(folder, 3)
    (file,) = folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert export_observations(folder, path, form) == 4
    rows: list[dict[str, Any]]
    if form is Format.CSV:
        with path.open(newline="") as text:
            rows = list(csv.DictReader(text))
        assert rows[1]["source"] == "'=node"
    else:
        rows = [msgspec.json.decode(each) for each in path.read_bytes().splitlines()]
    assert [(row["node"], int(row["epoch"]), int(row["seq"])) for row in rows] == [
        (NODE, 3, seq) for seq in (0, 0, 1, 1)
    ]
    assert [float(row["value"]) if row["value"] else None for row in rows] == [
        1.5,
        None,
        1.501,
        None,
    ]
    assert [int(row["time_ms"]) for row in rows] == [1_000, 1_000, 1_001, 1_001]


def test_what_nodes_signed_is_in_parquet_what_it_was(tmp_path: Path, arrow: Any) -> None:
    journal_in(tmp_path / "telemetry", 2)
    path = tmp_path / "o.parquet"
    assert export_observations(tmp_path / "telemetry", path, Format.PARQUET) == 4
    assert arrow.read_table(path).column("value").to_pylist() == [1.5, None, 1.501, None]


def test_where_nothing_is_kept_the_option_that_keeps_it_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="journal_bytes_max"):
        export_observations(tmp_path / "telemetry", tmp_path / "o.csv", Format.CSV)
    assert not (tmp_path / "o.csv").exists()
