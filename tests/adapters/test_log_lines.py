"""The daemon's log is lines for people, or an object a line for programs."""

import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from ambientd.adapters.log_lines import LogForm, configure_logging


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give what stands for standard error, and put the logging of the tests back afterwards."""
    root = logging.getLogger()
    handlers, before = list(root.handlers), structlog.get_config()
    yield io.StringIO()
    root.handlers[:] = handlers
    structlog.configure(**before)


def say() -> None:
    log = structlog.get_logger("ambientd.test")
    log.debug("only developers want this")
    log.info("ready", port=4400, peers=("a", "b"), key=b"x")
    try:
        raise ValueError("a\nb")
    except ValueError:
        log.exception("failed")
    logging.getLogger("foreign").warning("by the standard library: %s", "x")


def test_as_json_each_line_is_an_object_with_what_happened_and_when(stream: io.StringIO) -> None:
    configure_logging(LogForm.JSON, verbose=False, stream=stream)
    say()
    ready, failed, foreign = map(json.loads, stream.getvalue().splitlines())
    assert (ready["event"], ready["level"], ready["port"]) == ("ready", "info", 4400)
    assert ready["peers"] == ["a", "b"]
    assert ready["timestamp"].endswith("Z")
    assert "ValueError: a\nb" in failed["exception"]
    assert (foreign["event"], foreign["level"]) == ("by the standard library: x", "warning")
    assert foreign["logger"] == "foreign"


def test_for_people_it_is_lines_and_developers_want_more(stream: io.StringIO) -> None:
    configure_logging(LogForm.CONSOLE, verbose=True, stream=stream)
    say()
    text = stream.getvalue()
    assert "only developers want this" in text
    assert "port" in text
    assert "[WARNING] by the standard library: x" in text
    with pytest.raises(json.JSONDecodeError):
        json.loads(text.splitlines()[0])


@pytest.mark.parametrize("form", LogForm)
def test_what_a_peer_says_steers_no_terminal_and_forges_no_line(
    form: LogForm, stream: io.StringIO
) -> None:
    configure_logging(form, verbose=False, stream=stream)
    evil = "\x1b[2J\x1b]0;title\x07\x1b[8m\x9b31m\r\u202e"
    log = structlog.get_logger("ambientd.test")
    log.warning("refused", reason=evil, name=f"{evil}\n2026-01-01 [info] all is well")
    try:
        raise ValueError(evil)
    except ValueError:
        log.exception("failed")
    logging.getLogger("foreign").warning("%s", f"{evil}\n2026-01-01 [INFO] all is well")
    lines = stream.getvalue().split("\n")
    assert all(char.isprintable() for line in lines for char in line.replace("\t", " "))
    assert not any(line.startswith("2026-01-01") for line in lines)


def test_the_colours_of_the_lines_themselves_stay(stream: io.StringIO) -> None:
    configure_logging(LogForm.CONSOLE, verbose=False, stream=stream)
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(colors=True)])
    structlog.get_logger("ambientd.test").info("ready", port=1, level="info")
    assert "\x1b[" in stream.getvalue()
    assert "\ufffd" not in stream.getvalue()


@pytest.mark.parametrize("form", LogForm)
@pytest.mark.usefixtures("stream")
def test_a_disk_that_is_full_loses_lines_and_ends_nothing(
    form: LogForm, capfd: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        configure_logging(form, verbose=False, stream=full)
        for _ in range(100):
            say()
        with suppress(OSError):
            full.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("stream")
def test_a_log_whose_reader_has_left_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as pipe:
        configure_logging(LogForm.CONSOLE, verbose=False, stream=pipe)
        say()
        with suppress(OSError):
            pipe.close()
