"""Carbon intensity of the grid: from a server, a file, a table by region, or as configured."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from ambientd.adapters.probes.sysfs import read_text
from ambientd.config.urls import Url
from ambientd.errors import RemoteProtocolError, UnreachableError
from ambientd.model.telemetry import Measure, Observation
from ambientd.ports.clock import Clock

G_PER_KWH_MAX = 5000
ANSWER_BYTES_MAX = 64 * 1024
TIMEOUT_S = 3.0
ASK_MS = 15 * 60 * 1000
KEEP_MS = 2 * 60 * 60 * 1000
"""How long an answer counts while the server gives no other."""

log = structlog.get_logger("ambientd.carbon")


@dataclass(frozen=True, slots=True)
class CarbonSources:
    """What the owner has configured; the first that gives a number counts, in this order."""

    url: Url | None = None
    field: str = ""
    file: Path | None = None
    table: Path | None = None
    region: str = ""
    g_per_kwh: int | None = None


class CarbonProbe:
    """Gives `carbon_g_per_kwh`."""

    def __init__(self, sources: CarbonSources, clock: Clock) -> None:
        self._sources = sources
        url = sources.url
        self._server = None if url is None else _Server(url, sources.field, clock)

    def read(self) -> Sequence[Observation]:
        """Read the files again; ask the server four times an hour."""
        value, source = self._find()
        thousandths = None if value is None else value * 1000
        return [Observation(name=Measure.CARBON, value=thousandths, source=source)]

    def _find(self) -> tuple[int | None, str]:
        sources = self._sources
        if self._server is not None and (value := self._server.read()) is not None:
            return value, "http"
        if sources.file is not None and (value := _number(read_text(sources.file))) is not None:
            return value, "file"
        if sources.table is not None:
            value = _plausible(_table(sources.table).get(sources.region))
            if value is not None:
                return value, f"table:{sources.region}"[:64]
        return sources.g_per_kwh, "config"


class _Server:
    """A server's number, asked for seldom and kept for a while."""

    def __init__(self, url: Url, field: str, clock: Clock) -> None:
        # The client's own path stays empty: a server may tell "/intensity" from "/intensity/".
        from ambientd.adapters.http_client import HttpClient  # its price is for those who ask

        self._client = HttpClient(Url(url.scheme, url.host, url.port, ""), TIMEOUT_S)
        self._path = url.path or "/"
        self._names = field.split(".") if field else []
        self._clock = clock
        self._asked_ms: int | None = None
        self._told: tuple[int, int] | None = None

    def read(self) -> int | None:
        """Give the number, None while there is none that is recent."""
        now_ms = self._clock.monotonic_ms()
        if self._asked_ms is None or now_ms - self._asked_ms >= ASK_MS:
            self._asked_ms = now_ms
            value = self._ask()
            if value is not None:
                self._told = value, now_ms
        if self._told is None or now_ms - self._told[1] > KEEP_MS:
            return None
        return self._told[0]

    def _ask(self) -> int | None:
        try:
            status, body = self._client.request("GET", self._path, ANSWER_BYTES_MAX)
            self._client.close()
        except (UnreachableError, RemoteProtocolError) as error:
            log.warning("carbon intensity is not known", reason=str(error))
            return None
        value = _picked(body, self._names) if status == 200 else None
        if value is None:
            what = f"status {status}" if status != 200 else "no number where carbon_field says"
            log.warning("carbon intensity is not known", reason=f"the server answered {what}")
        return value


def _picked(body: bytes, names: list[str]) -> int | None:
    """Find the number in a server's answer; a name of digits picks from a list."""
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    for name in names:
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and len(name) < 5:
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return _plausible(found)


def _plausible(number: object) -> int | None:
    if isinstance(number, bool) or not isinstance(number, int | float):
        return None
    return round(number) if 0 <= number <= G_PER_KWH_MAX else None  # not-a-number is not


def _number(text: str | None) -> int | None:
    try:
        return _plausible(float(text or "")) if len(text or "") < 32 else None
    except ValueError:
        return None


def _table(path: Path) -> dict[str, Any]:
    """Read lines of `region = number`."""
    try:
        return tomllib.loads(read_text(path) or "")
    except (ValueError, RecursionError):
        return {}
