"""What a node knows, as rows: read from its daemon page by page, and written as they come."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from ambientd.adapters.batch_journal import read_journal
from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.telemetry_values import NodeTelemetry, ShowTelemetry
from ambientd.errors import UsageError
from ambientd.ports.tables import Cell, Column, Kind, Table
from ambientd.telemetry.batch import decode_batch

PAGE = 500
Rows = Sequence[Mapping[str, Cell]]


class Format(StrEnum):
    """How a table is written; a file's ending names it."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one node over one step of time."""

    node: str
    node_name: str
    measure: str
    unit: str
    source: str
    time_ms: int
    step_ms: int
    value: float


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """One value as a node signed it, and when it came here."""

    node: str
    epoch: int
    seq: int
    time_ms: int
    measure: str
    source: str
    value: float | None


def columns_of(kind: type[msgspec.Struct]) -> list[Column]:
    """Give a column for each field; what is no single value is written as JSON."""
    return [Column(name, _kind(hint)) for name, hint in get_type_hints(kind).items()]


def _kind(hint: Any) -> Kind:  # noqa: ANN401
    plain = [each for each in (get_args(hint) or (hint,)) if each is not type(None)]
    kinds = {kind.value: kind for kind in Kind}
    return kinds.get(plain[0], Kind.TEXT) if len(plain) == 1 else Kind.TEXT


def row_of(value: msgspec.Struct, columns: Sequence[Column]) -> dict[str, Cell]:
    """Give a value as a row."""
    return {each.name: _cell(getattr(value, each.name), each.kind) for each in columns}


def _cell(value: object, kind: Kind) -> Cell:
    if value is None:
        return None
    if kind is Kind.REAL and isinstance(value, int | float):
        return float(value)
    if isinstance(value, str | int | float | bool):
        return value
    return msgspec.json.encode(value).decode()


def _tasks(client: Client, state: str) -> Iterator[Sequence[msgspec.Struct]]:
    after: str | None = ""
    while after is not None:
        request = requests.ListTasks(limit=PAGE, state=state, after=after)
        answer = client.call(operations.TASK_LIST, request)
        yield answer.tasks
        after = answer.next


def _nodes(client: Client) -> Iterator[Sequence[replies.NodeInfo]]:
    after: str | None = ""
    while after is not None:
        answer = client.call(operations.NODES, requests.ListNodes(limit=PAGE, after=after))
        yield answer.nodes
        after = answer.next


def _telemetry(client: Client, span: str) -> Iterator[Sequence[msgspec.Struct]]:
    for nodes in _nodes(client):
        for node in nodes:
            request = ShowTelemetry(node=node.id, span=span)
            yield list(_readings(client.call(operations.TELEMETRY_SHOW, request)))


def _readings(said: NodeTelemetry) -> Iterator[Reading]:
    for line in said.lines:
        for step, value in enumerate(line.values):
            if value is not None:
                yield Reading(
                    node=said.node,
                    node_name=said.name,
                    measure=line.name,
                    unit=line.unit,
                    source=line.source,
                    time_ms=said.from_ms + step * said.step_ms,
                    step_ms=said.step_ms,
                    value=value,
                )


def export_tasks(client: Client, path: Path, form: Format, state: str) -> int:
    """Write the ledger's tasks, the newest first; give how many."""
    return _written(_tasks(client, state), replies.TaskLine, path, form)


def export_nodes(client: Client, path: Path, form: Format) -> int:
    """Write the cluster's nodes; give how many."""
    return _written(_nodes(client), replies.NodeInfo, path, form)


def export_telemetry(client: Client, path: Path, form: Format, span: str) -> int:
    """Write what nodes said of themselves; give how many values."""
    return _written(_telemetry(client, span), Reading, path, form)


def export_observations(folder: Path, path: Path, form: Format) -> int:
    """Write what nodes signed, as a node of this folder has kept it; give how many values."""
    if not folder.is_dir():
        msg = (
            f"{folder}: nothing is kept there; [telemetry] journal_bytes_max has this node keep it"
        )
        raise UsageError(msg)
    return _written(_observations(folder), Signed, path, form)


def _observations(folder: Path) -> Iterator[Sequence[Signed]]:
    for kept in read_journal(folder):
        batch = decode_batch(kept.data)
        yield [
            Signed(
                node=batch.node.hex(),
                epoch=batch.epoch,
                seq=batch.seq,
                time_ms=kept.time_ms,
                measure=each.name,
                source=each.source,
                value=None if each.value is None else each.value / 1000,
            )
            for each in batch.observations
        ]


def _written(
    pages: Iterator[Sequence[msgspec.Struct]], kind: type[msgspec.Struct], path: Path, form: Format
) -> int:
    columns = columns_of(kind)
    table, count = _opener(form)(path, columns), 0
    try:
        for page in pages:
            table.add([row_of(each, columns) for each in page])
            count += len(page)
        table.keep()
    finally:
        table.drop()
    return count


def _opener(form: Format) -> Callable[[Path, Sequence[Column]], Table]:
    match form:
        case Format.PARQUET:
            from ambientd.adapters.parquet_table import ParquetTable

            return ParquetTable
        case Format.CSV:
            from ambientd.adapters.table_files import CsvTable

            return CsvTable
        case Format.JSONL:
            from ambientd.adapters.table_files import JsonLinesTable

            return lambda path, _: JsonLinesTable(path)
