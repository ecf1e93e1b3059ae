"""The commands about tokens of the HTTP front end, their options and help texts."""

import argparse

from ambientd.cli.owner_parsers import span
from ambientd.cli.parsing import command, group, seconds

_YEAR_S = 31_536_000


def add_token(commands: object) -> None:
    """Add `token`."""
    token = group(commands, "token", "who may ask this node over HTTP; no daemon is needed")
    create = command(token, "create", "token_commands:create", "make a token; it is shown once")
    create.add_argument("name", metavar="NAME", help="whom it is for, in a word")
    create.add_argument(
        "--scope",
        choices=("read", "submit", "admin"),
        default="read",
        help="what it allows, with what stands before it: read, submit, admin (default: read)",
    )
    create.add_argument(
        "--expires-in",
        type=_life,
        default=30 * 86_400,
        metavar="TIME",
        help="how long it is valid: 90s, 30m, 12h, 90d, or seconds; 365d at most (default: 30d)",
    )
    create.add_argument(
        "--certificate",
        metavar="CN",
        help="show none: let in whoever shows a TLS certificate of this common name, from an "
        "authority in [http] tls_client_ca",
    )
    command(token, "list", "token_commands:show", "the tokens there are, without their secrets")
    revoke = command(token, "revoke", "token_commands:revoke", "end a token at once")
    revoke.add_argument("id", metavar="ID", help="its id, from `ambientctl token list`")


def _life(text: str) -> float:
    """Read how long a token is valid; give seconds."""
    try:
        value = span(text) / 1000 if text[-1:].isalpha() else seconds(text)
    except argparse.ArgumentTypeError:
        value = 0
    if not 0 < value <= _YEAR_S:
        msg = f"{text!r} is no time from a second to a year, such as 3600, 12h or 90d"
        raise argparse.ArgumentTypeError(msg)
    return value
