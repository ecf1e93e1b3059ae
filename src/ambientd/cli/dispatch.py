"""Parse, run one command, turn errors into one line and an exit code."""

import os
import sys
from importlib import import_module

from ambientd.api.operation import OperationError
from ambientd.cli.console import be_quiet, printable
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.parser import build_parser
from ambientd.errors import AmbientError, DamagedError, UnreachableError

_CODES_OF_NODE_FAULTS = frozenset({"unavailable", "timeout", "busy", "forbidden", "unready"})
_BROKEN_PIPE = 141
COMPLETE = "__complete"
"""What the shells' scripts run; no command for people."""


def dispatch(argv: list[str] | None) -> int:
    """Run one command; give its exit code. An interrupt is the caller's affair."""
    words = sys.argv[1:] if argv is None else argv
    try:
        if words[:1] == [COMPLETE]:
            from ambientd.cli.completing import complete

            return complete(words[1:])
        arguments = build_parser(words).parse_args(words)
        be_quiet(is_quiet=arguments.quiet)
        module, function = arguments.run.split(":")
        command = getattr(import_module(f"ambientd.cli.{module}"), function)
        code = int(command(arguments))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has left; Python must not complain again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    except (AmbientError, OSError) as error:
        sys.stderr.write(f"ambientctl: {_one_line(error)}\n")
        return _exit_code(error)
    return code


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}; see that it is there, yours, and has room"
    return printable(" ".join(str(error).split()))


def _exit_code(error: Exception) -> int:
    if isinstance(error, UnreachableError):
        return ExitCode.UNREACHABLE
    if isinstance(error, DamagedError):
        return ExitCode.NOT_VERIFIED
    if isinstance(error, OperationError):
        if error.code in _CODES_OF_NODE_FAULTS:
            return ExitCode.UNREACHABLE
        failed = error.code in ("cancelled", "internal", "store")
        return ExitCode.FAILED if failed else ExitCode.USAGE
    return ExitCode.USAGE
