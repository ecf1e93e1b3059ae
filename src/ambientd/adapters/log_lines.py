"""The daemon's log on standard error: lines for people, or one JSON object a line for programs."""

import copy
import json
import logging
import re
import sys
from contextlib import suppress
from time import gmtime, strftime
from typing import Any, TextIO, cast

import structlog

from ambientd.config.log_form import LogForm

_OURS = r"\x1b\[(?:[0-2]|3[1-6]|41)m"
_STEERS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
_UNPRINTABLE = re.compile(f"(?!{_OURS}){_STEERS}")
"""What steers a terminal, or turns text around, but for the colours of this log's own lines."""


class _Losing:
    """A stream that loses what nobody takes, as neither a full disk nor its reader ends a node.

    What a peer has made us log says nothing to the terminal that it is read at.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text if it can be written."""
        with suppress(OSError):
            self._stream.write(_UNPRINTABLE.sub("\ufffd", text))
        return len(text)

    def flush(self) -> None:
        """Hand on what is written, if that can be."""
        with suppress(OSError):
            self._stream.flush()


class _JsonFormatter(logging.Formatter):
    """What adapters log by the standard library, in the shape of the rest."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(record.created)),
            "logger": record.name,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _LineFormatter(logging.Formatter):
    """What adapters log by the standard library, each in one line, whatever a peer has sent."""

    def format(self, record: logging.LogRecord) -> str:
        line = copy.copy(record)
        line.msg, line.args = record.getMessage().replace("\n", "\ufffd"), None
        return super().format(line)


def configure_logging(form: LogForm, *, verbose: bool, stream: TextIO | None = None) -> None:
    """Let all that is logged from now on go to standard error, in one form."""
    stream = cast("TextIO", _Losing(sys.stderr if stream is None else stream))
    level = logging.DEBUG if verbose else logging.INFO
    wrapper = structlog.make_filtering_bound_logger(level)
    factory = structlog.PrintLoggerFactory(stream)
    handler = logging.StreamHandler(stream)
    if form is LogForm.JSON:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper("iso", utc=True),
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=wrapper,
            logger_factory=factory,
        )
        handler.setFormatter(_JsonFormatter())
    else:
        structlog.configure(wrapper_class=wrapper, logger_factory=factory)
        line = "%(asctime)s [%(levelname)s] %(message)s"
        handler.setFormatter(_LineFormatter(line, "%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(handlers=[handler], force=True)
