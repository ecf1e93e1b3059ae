"""How a daemon writes its log."""

from enum import StrEnum


class LogForm(StrEnum):
    """How a line of the log looks."""

    CONSOLE = "console"
    JSON = "json"
