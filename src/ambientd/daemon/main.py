"""What a person starts: reads the arguments, and imports what the config of the node asks for."""

import argparse
import faulthandler
import os
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ambientd import __version__
from ambientd.config.load import load_config
from ambientd.config.log_form import LogForm
from ambientd.config.places import Places, default_data_dir
from ambientd.daemon.open_files import raise_open_files
from ambientd.errors import AmbientError, ConfigError, UsageError

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
FLEET = "fleet"


def main(arguments: list[str] | None = None) -> int:
    """Run one node, or a fleet, until told to stop."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == [FLEET]:
        from ambientd.adapters.slim_standard import openssl_later

        with openssl_later(with_hashes=True):
            from ambientd.daemon.fleet import run_fleet  # its price is for those who have one

        return ended(partial(run_fleet, given[1:]))
    chosen = _parser().parse_args(given)
    return ended(partial(_run_one, chosen))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "ambientd",
        description="Run one node of an Ambient mesh.",
        epilog="`ambientd fleet --help` tells how to run many nodes on one machine.",
    )
    parser.add_argument("--data-dir", type=Path, help="the node's folder (key, config, genesis)")
    parser.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="what opens sealed key files"
    )
    parser.add_argument(
        "--with-stdin", action="store_true", help="end when standard input does, as on SIGTERM"
    )
    add_log_arguments(parser)
    parser.add_argument("--version", action="version", version=f"ambientd {__version__}")
    return parser


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Let a person choose how the log is written."""
    parser.add_argument("--verbose", action="store_true", help="log what only developers want")
    parser.add_argument(
        "--log-format",
        type=LogForm,
        choices=list(LogForm),
        default=os.environ.get("AMBIENT_LOG_FORMAT", LogForm.CONSOLE),
        help="lines for people, or one JSON object a line (default: $AMBIENT_LOG_FORMAT, else "
        "console)",
    )


def guard_memory() -> None:
    """Let a crash leave its place in the log, and no memory on disk."""
    faulthandler.enable()  # a crash in foreign code leaves its place in the log
    # Its memory holds keys that may lie sealed on disk: no crash writes them there.
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _run_one(chosen: argparse.Namespace) -> int:
    guard_memory()
    raise_open_files()
    data_dir: Path = chosen.data_dir or default_data_dir()
    # Read twice: what is imported depends on it, and nothing that reads it whole is there yet.
    is_slim = load_config(data_dir).is_slim
    from ambientd.adapters.slim_standard import keep_one_arena, openssl_later

    if is_slim:
        keep_one_arena()
    with openssl_later(with_hashes=not is_slim):
        import trio

        from ambientd.adapters.leash import end_with_standard_input
        from ambientd.adapters.log_lines import configure_logging
        from ambientd.adapters.passphrases import find_passphrase
        from ambientd.api.identity import sealed_keys
        from ambientd.daemon.composition import run_daemon

    configure_logging(chosen.log_format, verbose=chosen.verbose)
    passphrase = find_passphrase(chosen.passphrase_file, sealed_keys(Places(data_dir)))
    if chosen.with_stdin:
        end_with_standard_input()
    trio.run(run_daemon, data_dir, passphrase)
    return EXIT_DONE


def ended(run: Callable[[], int]) -> int:
    """Give how it ended, as an exit status; what a person can mend is said in a line."""
    try:
        return run()
    except AmbientError as error:
        return _complain(error)
    except BaseExceptionGroup as group:
        expected, unexpected = group.split(AmbientError)
        if unexpected is not None:
            raise
        return _complain(_first(expected))


def _first(error: BaseException | None) -> BaseException | None:
    """Give the first leaf of nested groups: one cause is what a person can act on."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _complain(error: BaseException | None) -> int:
    print(f"ambientd: {error}", file=sys.stderr)  # noqa: T201 - the last word to a person
    return EXIT_USAGE if isinstance(error, ConfigError | UsageError) else EXIT_FAILED
