"""What the commands' parsers are made of: one line for every mistake, and kinds of values."""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

NODE = "its name, or its id or the start of it, if no other node is meant by that"
"""How a node is named, wherever one is."""


WHERE_TO = "where to; - is standard output"
LINES_MAX = 1_000_000
"""How many lines of a list a node gives at once."""


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error of ambientctl."""

    if_too_many = ""
    """What a command says to one word too many, where people often give two."""

    def __init__(self, **options: object) -> None:
        options.setdefault("allow_abbrev", False)
        options.setdefault("formatter_class", _Help)
        super().__init__(**options)  # type: ignore[arg-type]
        # No option begins with a digit: -1h is a value, and its own fault is told.
        self._negative_number_matcher = re.compile(r"-\.?[0-9]")

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with the code for wrong usage."""
        first = message[:1].lower() + message[1:]
        sys.stderr.write(f"ambientctl: {first}; see `{self.prog} --help`\n")
        sys.exit(2)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse words that no option takes where the command is known that lacks them."""
        chosen, left = super().parse_known_args(args, namespace)
        if left:
            name, _, _ = left[0].partition("=")
            if name.startswith("-"):
                self.error(f"there is no option {name}{meant(name, self._option_string_actions)}")
            self.error(f"{left[0]!r} is one word too many{self.if_too_many}")
        return chosen, left

    def _check_value(self, action: argparse.Action, value: object) -> None:
        known = tuple(map(str, action.choices or ()))
        if known and value not in (action.choices or ()):
            is_command = isinstance(action, argparse._SubParsersAction)
            what = "is no command" if is_command else f"is none of {', '.join(known)}"
            word = str(value)
            hint = meant_elsewhere(self.prog, word) if is_command else ""
            if is_command and not hint:
                hint = meant_below(word, action.choices or ())
            hint = hint or meant(word, known)
            if is_command and not hint:
                hint = f"; there are {', '.join(known)}"
            place = "" if is_command else f"{_named(action)}: "
            self.error(f"{place}{value!r} {what}{hint}")


OTHER_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "ambientctl balance": "`account show`",
        "ambientctl logs": "`task logs`, or the daemon's own: `journalctl -u ambientd`",
        "ambientctl members": "`member list`",
        "ambientctl submit": "`run`",
        "ambientctl cluster join": "`join`",
        "ambientctl task submit": "`run`",
    }
)
"""What people may call a command by that has another name here."""


def meant_elsewhere(prog: str, word: str) -> str:
    """Say which command has this name among people, or nothing."""
    found = OTHER_WORDS.get(f"{prog} {word}")
    return f"; did you mean {found}?" if found else ""


def meant(word: str, known: Iterable[str]) -> str:
    """Say which known word may be meant, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, tuple(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def meant_below(word: str, parsers: object) -> str:
    """Say in which of these commands there is one of that name, as `cancel` is in `task`."""
    found = [
        f"`{name} {word}`"
        for name, parser in dict(parsers).items()  # type: ignore[call-overload]
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction) and word in action.choices
    ]
    return f"; did you mean {' or '.join(found)}?" if found else ""


def _named(action: argparse.Action) -> str:
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help of one width everywhere, so that it can be compared."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=96)


def add_common(parser: argparse.ArgumentParser, **defaults: object) -> None:
    """Add the options that every command has."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        default=defaults.get("data_dir", argparse.SUPPRESS),
        help="the node's folder (default: $AMBIENT_DATA_DIR, else ~/.local/share/ambient)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        dest="as_json",
        default=defaults.get("as_json", argparse.SUPPRESS),
        help="print JSON, for programs",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        default=defaults.get("quiet", argparse.SUPPRESS),
        help="say nothing but the answer and errors",
    )


def command(commands: object, name: str, run: str, text: str) -> Parser:
    """Add a command; `run` names the function behind it."""
    parser: Parser = commands.add_parser(  # type: ignore[attr-defined]
        name, help=text, description=f"{text[:1].upper()}{text[1:]}."
    )
    add_common(parser)
    parser.set_defaults(run=run)
    return parser


def group(commands: object, name: str, text: str) -> object:
    """Add a command that has commands of its own."""
    parser: Parser = commands.add_parser(  # type: ignore[attr-defined]
        name, help=text, description=f"{text[:1].upper()}{text[1:]}."
    )
    add_common(parser)
    return parser.add_subparsers(metavar="COMMAND", required=True, dest="subcommand")


def assurance(text: str) -> tuple[str, int]:
    """Read how a task is verified: a level's name, and a quorum's size or 0."""
    level, _, size_text = text.partition(":")
    if level not in {"none", "audited", "replicated", "quorum", "proven"} or (
        size_text and level != "quorum"
    ):
        msg = f"{text!r} is none of none, audited, replicated, quorum, quorum:K and proven"
        raise argparse.ArgumentTypeError(msg)
    return level, positive(size_text) if ":" in text else 0


def count(text: str) -> int:
    """Read a whole number."""
    if not (text.isascii() and text.isdigit()) or len(text) > 19:
        msg = f"{text!r} is not a number from 0 to {10**19 - 1}"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def positive(text: str) -> int:
    """Read a whole number above 0."""
    value = count(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 is too few: 1 or more")
    return value


def seconds(text: str) -> float:
    """Read a span of seconds, of a year at most."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 31_536_000:
        msg = f"{text!r} is not a number of seconds up to 31536000, a year"
        raise argparse.ArgumentTypeError(msg)
    return value


def span(text: str) -> float:
    """Read a span of seconds that is not over at once."""
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError("0 seconds are over at once: more than 0")
    return value


def word(text: str) -> str:
    """Read a name that is not empty; who wants the default leaves the option away."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty: name one, or leave the option away")
    return text


def limit(text: str) -> int:
    """Read how many lines to show."""
    value = positive(text)
    if value > LINES_MAX:
        msg = f"{text} is too many: {LINES_MAX:,} or fewer"
        raise argparse.ArgumentTypeError(msg)
    return value


def size(text: str) -> int:
    """Read a number of bytes, with a unit or without."""
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    unit = text[-3:] if text[-3:] in units else ""
    number = text.removesuffix(unit)
    if not (number.isascii() and number.isdigit()) or len(number) > 15:
        msg = f"{text!r} is not a size; write bytes, or a number with KiB, MiB or GiB: 512MiB"
        raise argparse.ArgumentTypeError(msg)
    return int(number) * units.get(unit, 1)


_DECIMALS = {"msat": 0, "sat": 3, "btc": 11}
"""How many decimals of each unit a millisatoshi is away."""


def amount(text: str) -> int:
    """Read an amount of credits: in millisatoshi or, with the unit, in satoshi or bitcoin."""
    unit = next((each for each in _DECIMALS if text.lower().endswith(each)), "")
    whole, _, decimals = text[: len(text) - len(unit)].partition(".")
    places = _DECIMALS.get(unit, 0)
    digits = f"{whole}{decimals:0<{places}}"
    is_number = digits.isascii() and digits.isdigit() and len(decimals) <= places
    if is_number and int(digits) >= 2**53:
        msg = f"{text!r} is a larger amount than any account holds: at most {2**53 - 1}msat"
        raise argparse.ArgumentTypeError(msg)
    if not is_number or int(digits) == 0:
        msg = f"{text!r} is not an amount above 0, such as 1500, 1500msat, 1.5sat or 0.0001btc"
        raise argparse.ArgumentTypeError(msg)
    return int(digits)


def whole_sat(text: str) -> int:
    """Read an amount of bitcoin, in satoshi; the unit is said, as elsewhere none is msat."""
    amount_msat = amount(text)
    if text[-1].isdigit():
        msg = f"{text!r} has no unit: write {text}sat, or say it in btc or msat"
        raise argparse.ArgumentTypeError(msg)
    if amount_msat % 1_000:
        msg = f"{text!r} is no whole number of satoshi, of which bitcoin has no parts"
        raise argparse.ArgumentTypeError(msg)
    return amount_msat // 1_000


def outpoint(text: str) -> str:
    """Read the name of a transaction's output, as lists of them write it."""
    txid, _, index = text.strip().rpartition(":")
    txid = txid.lower()
    is_txid = len(txid) == 64 and set(txid) <= set("0123456789abcdef")
    if not is_txid or not index.isascii() or not index.isdigit() or len(index) > 9:
        msg = (
            f"{text[:100]!r} is no output of a transaction: write the 64 hex digits of its id, a "
            "colon and the output's number, as `peg deposits` does"
        )
        raise argparse.ArgumentTypeError(msg)
    return f"{txid}:{int(index)}"


def rate(text: str) -> int:
    """Read a fee rate in sat/vB with up to three decimals; give millisatoshi a virtual byte."""
    whole, _, decimals = text.partition(".")
    digits = f"{whole}{decimals:0<3}"
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= 9 and len(decimals) <= 3
    if not is_number or not 0 < int(digits) <= 100_000_000:
        msg = f"{text!r} is not a fee rate in sat/vB, such as 2 or 1.5"
        raise argparse.ArgumentTypeError(msg)
    return int(digits)


def add_engine(parser: Parser) -> None:
    """Add what a task is executed with here, and how well shut in."""
    parser.add_argument(
        "--engine", default="wasmtime", metavar="NAME", help="what executes it (default: wasmtime)"
    )
    parser.add_argument(
        "--sandbox",
        choices=("required", "best-effort"),
        default="required",
        help="whether a platform may lack a protection of worker processes (default: required)",
    )
