"""The commands with which an owner rules a node, their options and help texts."""

import argparse

from ambientd.cli.parsing import WHERE_TO, command, count, group, limit, size, word

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_MEMORY_BYTES_MIN = 1 << 20
_YES = {"yes": True, "no": False}


def add_owner(commands: object) -> None:
    """Add `pause`, `resume` and `owner`."""
    pause = command(commands, "pause", "owner_commands:pause", "take no more work on this device")
    how = pause.add_mutually_exclusive_group()
    how.add_argument(
        "--drain",
        action="store_true",
        help="let what runs end first, as it does unless --now is given",
    )
    how.add_argument(
        "--now", action="store_true", help="stop what runs: other nodes get it, nobody is blamed"
    )
    pause.add_argument(
        "--for",
        dest="for_ms",
        type=span,
        default=0,
        metavar="TIME",
        help="take work again after so long: 90s, 30m, 2h, 1d (default: until `resume`)",
    )
    command(commands, "resume", "owner_commands:resume", "take work again after a pause")
    owner = group(commands, "owner", "what you let this node do: caps, hours, battery, network")
    command(owner, "show", "owner_commands:show", "the rules, and what they mean now")
    _add_set(owner)


def add_doctor(commands: object) -> None:
    """Add `doctor`."""
    command(
        commands,
        "doctor",
        "doctor_command:doctor",
        "what is wrong with this device, and what to do about it",
    )


def add_trail(commands: object) -> None:
    """Add `trail`, and `audit`, by which others know it."""
    text = "the audit trail: who asked this node to change something"
    _add_trail(group(commands, "trail", text))
    _add_trail(
        group(commands, "audit", "the same as `trail`; what a peg holds is told by `peg audit`")
    )


def _add_trail(trail: object) -> None:
    tail = command(trail, "tail", "trail_commands:tail", "the newest entries")
    tail.add_argument("--limit", type=limit, default=20, metavar="N", help="how many (default: 20)")
    verify = command(trail, "verify", "trail_commands:verify", "whether any entry was changed")
    verify.add_argument(
        "--head",
        type=_head,
        metavar="NUMBER:HASH",
        help="what `verify` said earlier: it must still be there",
    )
    export = command(trail, "export", "trail_commands:export", "all entries, in one file")
    export.add_argument("file", metavar="FILE", help=WHERE_TO)
    export.add_argument("--force", action="store_true", help="replace a file that is there")


def _head(text: str) -> tuple[int, str]:
    number, _, digest = text.partition(":")
    if len(digest) != 64 or digest.strip("0123456789abcdef"):
        msg = f"{text!r} is not of the form NUMBER:HASH, as `ambientctl trail verify` shows it"
        raise argparse.ArgumentTypeError(msg)
    return count(number), digest


def _add_set(owner: object) -> None:
    chosen = command(
        owner, "set", "owner_commands:change", "change rules at once; what is not named stays"
    )
    chosen.add_argument(
        "--cpu", type=percent, metavar="PERCENT", help="of all cores together, at most: 50%%"
    )
    chosen.add_argument(
        "--memory",
        type=_memory,
        metavar="SIZE",
        help="of all executions together: 2GiB; 0: as before",
    )
    chosen.add_argument(
        "--hours",
        action="append",
        type=word,
        metavar="WHEN",
        help='when it works: "Mon-Fri 18:00-08:00"; again for more; "always"',
    )
    chosen.add_argument(
        "--time-zone",
        type=word,
        metavar="ZONE",
        help='of the hours: "Europe/Berlin"; "device" for its own',
    )
    chosen.add_argument("--battery", type=_yes, metavar="yes|no", help="whether to work on battery")
    chosen.add_argument(
        "--metered", type=_yes, metavar="yes|no", help="whether to work on a metered network"
    )
    chosen.add_argument(
        "--metered-link",
        action="append",
        type=word,
        metavar="CARD",
        help="a network card that is metered, besides mobile ones; again for more; none",
    )
    chosen.add_argument(
        "--refuse",
        action="append",
        type=word,
        metavar="CLASS",
        help="take no tasks of this class; again for more; none",
    )


def span(text: str) -> int:
    """Read a span of time with its unit; give milliseconds."""
    unit = _UNITS_MS.get(text[-1:])
    number = text[:-1]
    is_number = number.isascii() and number.isdigit() and len(number) < 9
    if unit is None or not is_number or not 0 < int(number) * unit <= 366 * _UNITS_MS["d"]:
        msg = f"{text!r} is no span of time up to a year, such as 90s, 30m, 2h or 1d"
        raise argparse.ArgumentTypeError(msg)
    return int(number) * unit


def percent(text: str) -> int:
    """Read a share from 1 to 100, with a percent sign or without."""
    value = count(text.removesuffix("%"))
    if not 1 <= value <= 100:
        msg = f"{text!r} is no share from 1% to 100%; `ambientctl pause` lets nothing run"
        raise argparse.ArgumentTypeError(msg)
    return value


def _memory(text: str) -> int:
    """Read memory for executions: 0, or enough that a forgotten unit is no limit."""
    if text == "none":
        raise argparse.ArgumentTypeError("'none' is not a size; 0 takes the limit back")
    value = size(text)
    if 0 < value < _MEMORY_BYTES_MIN:
        hint = f"; did you mean {value}{'GiB' if value < 128 else 'MiB'}?" * text.isdigit()
        msg = f"{text} is too little, below 1MiB{hint or '; 0 takes the limit back'}"
        raise argparse.ArgumentTypeError(msg)
    return value


def _yes(text: str) -> bool:
    if text not in _YES:
        msg = f"{text!r} is neither yes nor no"
        raise argparse.ArgumentTypeError(msg)
    return _YES[text]
