"""What a node said of itself over time: the question and the answer."""

from typing import Annotated

from msgspec import Meta

from ambientd.api.replies import Reply
from ambientd.api.requests import NodeName, Request

UNITS = {
    "percent": "%",
    "celsius": "°C",
    "watt": "W",
    "ms": "ms",
    "mib": "MiB",
    "mbit_per_s": "Mbit/s",
    "kbit_per_s": "kbit/s",
    "g_per_kwh": "g/kWh",
    "slots": "slots",
    "count": "at once",
    "flag": "0 or 1",
}
"""What stands at the end of a measure's name, and how it is written."""


class ShowTelemetry(Request, frozen=True):
    """What did a node say of itself over the last hour, or the last day?"""

    node: NodeName
    span: Annotated[str, Meta(pattern="^(hour|day)$")] = "hour"


class SeriesLine(Reply, frozen=True):
    """One measure over time; `source` is what measured it last, null is not known."""

    name: str
    unit: str
    source: str
    values: tuple[float | None, ...]


class NodeTelemetry(Reply, frozen=True):
    """The means of equal steps, the present one last; the first begins at `from_ms`.

    Not `kept` is a node for which this one has no room. All is lost when the daemon stops.
    """

    node: str
    name: str
    span: str
    from_ms: int
    step_ms: int
    kept: bool
    safe_mode: bool
    causes: tuple[str, ...]
    """The breakers that hold it in safe mode, as it says itself."""
    energy_wh: float | None
    """What its power adds up to over the steps in which that is known."""
    lines: tuple[SeriesLine, ...]
