"""Carbon intensity: a server, a file, a table, a number; the first that is one counts."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ambientd.adapters.probes.carbon import (
    ANSWER_BYTES_MAX,
    ASK_MS,
    KEEP_MS,
    CarbonProbe,
    CarbonSources,
)
from ambientd.config.urls import parse_url
from tests.adapters.probes.fixtures import HandClock


def read(probe: CarbonProbe) -> tuple[int | None, str]:
    (found,) = probe.read()
    return found.value, found.source


@pytest.mark.parametrize(
    ("configured", "text", "value", "source"),
    [
        (300, None, 300_000, "config"),
        (None, None, None, "config"),
        (300, "412\n", 412_000, "file"),
        (None, "412.4", 412_000, "file"),
        (300, "many", 300_000, "config"),
        (300, "-1", 300_000, "config"),
        (300, "nan", 300_000, "config"),
        (300, "9" * 5000, 300_000, "config"),
        (None, "99999", None, "config"),
    ],
)
def test_carbon_comes_from_the_file_or_the_configuration(
    tmp_path: Path, configured: int | None, text: str | None, value: int | None, source: str
) -> None:
    path = tmp_path / "carbon"
    if text is not None:
        path.write_text(text)
    probe = CarbonProbe(CarbonSources(file=path, g_per_kwh=configured), HandClock())
    assert read(probe) == (value, source)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ch = 46\nde = 381", (381_000, "table:de")),
        ("ch = 46", (250_000, "config")),
        ("de = true", (250_000, "config")),
        ("de = nan", (250_000, "config")),
        ("[de]\na = 1", (250_000, "config")),
        ("de 381", (250_000, "config")),
        ("a = " + "[" * 50_000, (250_000, "config")),
    ],
)
def test_a_table_is_asked_for_the_nodes_region(
    tmp_path: Path, text: str, found: tuple[int, str]
) -> None:
    (tmp_path / "grid.toml").write_text(text)
    sources = CarbonSources(table=tmp_path / "grid.toml", region="de", g_per_kwh=250)
    assert read(CarbonProbe(sources, HandClock())) == found


class Grid:
    """A server that answers what it is told to."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[str] = []


@pytest.fixture
def grid() -> Iterator[tuple[Grid, str]]:
    told = Grid()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            status, body = told.answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told, f"http://127.0.0.1:{server.server_port}/v1/now"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.net
def test_a_server_is_asked_seldom_and_its_word_is_kept_for_a_while(
    grid: tuple[Grid, str],
) -> None:
    told, url = grid
    clock = HandClock()
    sources = CarbonSources(url=parse_url(url), field="data.0.actual", g_per_kwh=250)
    probe = CarbonProbe(sources, clock)
    told.answers = [(200, b'{"data": [{"actual": 181.6}]}')]
    assert read(probe) == read(probe) == (182_000, "http")
    assert told.asked == ["/v1/now"]
    told.answers = [(503, b"later")] * 20
    clock.now_ms = ASK_MS
    assert read(probe) == (182_000, "http")
    clock.now_ms = KEEP_MS + 1
    assert read(probe) == (250_000, "config")
    assert len(told.asked) == 3


@pytest.mark.net
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"data": []}',
        b'{"data": [{"actual": "181"}]}',
        b'{"data": [{"actual": -1}]}',
        b'{"data": [{"actual": 1e999}]}',
        b'{"data": [{"actual": true}]}',
        b"[" * 60_000,
        b" " * (ANSWER_BYTES_MAX + 1),
        b"\xff\xfe",
        b'{"data": {"0": 7}}',
    ],
)
def test_a_servers_nonsense_counts_for_nothing(grid: tuple[Grid, str], body: bytes) -> None:
    told, url = grid
    told.answers = [(200, body)]
    sources = CarbonSources(url=parse_url(url), field="data.0.actual", g_per_kwh=250)
    assert read(CarbonProbe(sources, HandClock())) == (250_000, "config")


@pytest.mark.net
def test_a_server_that_is_not_there_counts_for_nothing() -> None:
    sources = CarbonSources(url=parse_url("http://127.0.0.1:1/x"))
    assert read(CarbonProbe(sources, HandClock())) == (None, "config")
