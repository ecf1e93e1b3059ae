"""ambientctl telemetry: what a node said of itself over the last hour or day."""

from collections.abc import Sequence
from typing import Protocol

from ambientd.api import operations, requests
from ambientd.api.telemetry_values import NodeTelemetry, SeriesLine, ShowTelemetry
from ambientd.cli.console import CommonArguments, connect, print_json, print_line, print_table
from ambientd.cli.exit_codes import ExitCode

COLUMNS = 36
_BARS = "▁▂▃▄▅▆▇█"


class TelemetryArguments(CommonArguments, Protocol):
    """Options of `telemetry`."""

    node: str | None
    span: str


def telemetry(arguments: TelemetryArguments) -> ExitCode:
    """Show each measure of a node as a line of bars, with the last value and the extremes."""
    with connect(arguments) as client:
        node = arguments.node or client.call(operations.STATUS, requests.GetStatus()).node
        asked = ShowTelemetry(node=node, span=arguments.span)
        answer = client.call(operations.TELEMETRY_SHOW, asked)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    print_line(_heading(answer))
    if answer.lines:
        columns = ("MEASURE", "UNIT", "LAST", "LEAST", "MOST", f"THE LAST {answer.span.upper()}")
        print_table(columns, [row(line) for line in answer.lines])
    return ExitCode.DONE


def _heading(answer: NodeTelemetry) -> str:
    name = f"{answer.name} {answer.node[:12]}"
    if not answer.kept:
        return f"{name}: nothing is kept of it here; ask at the node itself"
    if not answer.lines:
        return f"{name}: nothing was heard of it in the last {answer.span}"
    safe = f"; safe mode: {', '.join(answer.causes) or 'yes'}" if answer.safe_mode else ""
    energy = "" if answer.energy_wh is None else f"; {answer.energy_wh:.1f} Wh"
    return f"{name}, steps of {answer.step_ms // 1000} s{energy}{safe}"


def row(line: SeriesLine) -> tuple[str, ...]:
    """Give a measure's row."""
    known = [value for value in line.values if value is not None]
    last = next((value for value in reversed(line.values) if value is not None), None)
    figures = ("-" if each is None else f"{each:,.1f}" for each in (last, min(known), max(known)))
    return line.name, line.unit, *figures, bars(line.values)


def bars(values: Sequence[float | None], columns: int = COLUMNS) -> str:
    """Draw means of equal parts from the least to the most; a blank is not known."""
    size = -(-len(values) // columns)
    parts = (values[start : start + size] for start in range(0, len(values), size))
    means = [_mean([value for value in part if value is not None]) for part in parts]
    there = [mean for mean in means if mean is not None]
    if not there:
        return ""
    least, span = min(there), max(there) - min(there)
    steps = len(_BARS) - 1
    return "".join(
        " " if mean is None else _BARS[round((mean - least) / span * steps) if span else 0]
        for mean in means
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
