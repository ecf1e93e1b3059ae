"""`python -m ambientd.adapters.regtest`: run the embedded regtest chain."""

import argparse
import errno
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ambientd.adapters.regtest.files import PROCESS_LOG_FILE, lack_of_room
from ambientd.errors import AmbientError

_LOG_SIZE_MAX = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the process; 2 when another one holds the data directory, 1 when it fails."""
    options = _parser().parse_args(arguments)
    data_dir: Path = options.data_dir
    try:
        return _start(options, data_dir)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        advice = lack_of_room(data_dir) or "make room"
        sys.stderr.write(f"{data_dir}: cannot be written: {error.strerror}; {advice}\n")
        return 1


def _start(options: argparse.Namespace, data_dir: Path) -> int:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)

    def run(on_ready: Callable[[int], None]) -> int:
        return _run(options, on_ready)

    if not options.detach:
        return run(_announce)
    from ambientd.adapters.regtest.process import detach

    log_path = data_dir / PROCESS_LOG_FILE
    if log_path.exists() and log_path.stat().st_size > _LOG_SIZE_MAX:
        log_path.unlink()
    return detach(log_path, run)


def _run(options: argparse.Namespace, on_ready: Callable[[int], None]) -> int:
    try:
        from ambientd.adapters.regtest.process import InUseError, Options, exclusive, serve
    except ModuleNotFoundError as error:
        sys.stderr.write(f"{error}: install it with pip install 'ambientd[regtest]'\n")
        return 1
    try:
        with exclusive(options.data_dir):
            serve(
                Options(
                    data_dir=options.data_dir,
                    port=options.port,
                    block_interval_ms=options.block_interval_ms,
                    idle_exit_s=options.idle_exit_s,
                ),
                on_ready,
            )
    except AmbientError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, InUseError) else 1
    return 0


def _announce(port: int) -> None:
    sys.stdout.write(f"listening on 127.0.0.1:{port}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ambientd.adapters.regtest",
        description="A Bitcoin regtest chain of one node, with JSON-RPC on 127.0.0.1, and "
        "below /esplora a server of Esplora's shape for tests and development.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="where the chain lives")
    parser.add_argument("--port", type=_count, default=0, help="port to listen on; 0 picks one")
    parser.add_argument(
        "--block-interval-ms",
        type=_count,
        default=500,
        help="mine a block this often while something waits or has under 6 confirmations; 0: never",
    )
    parser.add_argument(
        "--idle-exit-s", type=_count, default=0, help="end after so long without a call; 0: never"
    )
    parser.add_argument(
        "--detach", action="store_true", help="go to the background once it answers"
    )
    return parser


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value


if __name__ == "__main__":
    sys.exit(main())
