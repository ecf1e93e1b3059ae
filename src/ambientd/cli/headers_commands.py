"""ambientctl headers: chains of Bitcoin headers in files."""

from typing import Protocol

from ambientd.cli.console import CommonArguments, print_json, print_line, read_file
from ambientd.cli.exit_codes import ExitCode


class CheckArguments(CommonArguments, Protocol):
    """Options of `headers check`."""

    file: str


def check(arguments: CheckArguments) -> ExitCode:
    """Check a file of headers, and show what other people's tip is to be compared with."""
    from ambientd.api.offline import HEADERS_BYTES_MAX, read_headers, tip_of

    chain = read_headers(read_file(arguments.file, "header file", HEADERS_BYTES_MAX))
    tip = tip_of(chain)
    if arguments.as_json:
        print_json(
            {
                "network": chain.network.name,
                "base_height": chain.base_height,
                "height": chain.height,
                "tip": tip.hash,
                "time": tip.time,
            }
        )
    else:
        span = f"{chain.base_height} to {chain.height}"
        print_line(f"{chain.network.name}: every header from {span} is right")
        print_line(f"tip {tip.hash}, {tip.time}: compare it with what others see")
    return ExitCode.DONE
