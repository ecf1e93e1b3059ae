"""Exit codes, a contract with scripts."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What ambientctl ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_VERIFIED = 4
