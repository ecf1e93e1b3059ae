"""What nodes said of themselves over time."""

from collections.abc import Iterable

from ambientd.api.operations import OperationError
from ambientd.api.telemetry_values import UNITS, NodeTelemetry, SeriesLine, ShowTelemetry
from ambientd.api.views import causes, find_node
from ambientd.model.telemetry import Measure
from ambientd.runtime.service import Parts
from ambientd.telemetry.series import RESOLUTIONS, Line

_MS_PER_HOUR = 3_600_000
_DIGITS = 3


class Charting:
    """Answers what is asked about the last hour and the last day."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = parts.node.ledger

    async def telemetry(self, request: ShowTelemetry) -> NodeTelemetry:
        """Give what is kept of one node."""
        node, now = find_node(self._state, request.node), self._parts.now()
        entry, resolution = self._state.node(node), RESOLUTIONS[request.span]
        if entry is None:
            raise OperationError("not_found", f"no node {request.node!r} is known here")
        found = self._parts.series.of(node, request.span, now)
        said = causes(self._parts.node.telemetry.condition(node, now))
        return NodeTelemetry(
            node=node.hex(),
            name=entry.profile.name,
            span=request.span,
            from_ms=(now // resolution.step_ms - resolution.steps + 1) * resolution.step_ms,
            step_ms=resolution.step_ms,
            kept=self._parts.series.follows(node),
            safe_mode=entry.safe_mode or bool(said),
            causes=said,
            energy_wh=_energy_wh(found, resolution.step_ms),
            lines=tuple(map(_line, found)),
        )


def _line(line: Line) -> SeriesLine:
    return SeriesLine(
        name=line.name,
        unit=next(unit for ending, unit in UNITS.items() if line.name.endswith(f"_{ending}")),
        source=line.source,
        values=tuple(each if each is None else round(each / 1000, _DIGITS) for each in line.values),
    )


def _energy_wh(lines: Iterable[Line], step_ms: int) -> float | None:
    known = [each for line in lines if line.name == Measure.POWER for each in line.values]
    milliwatts = [each for each in known if each is not None]
    return round(sum(milliwatts) / 1000 * step_ms / _MS_PER_HOUR, _DIGITS) if milliwatts else None
