"""What a command line may say: each argument read, or refused in one line that says what to do."""

import argparse
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn

import msgspec

from sim.faults import ALL_FAULTS, BY_LABEL, labels
from sim.plans import SEED_MAX, Plan, from_json, refusal

SEEDS_AT_ONCE_MAX = 1_000_000


class Parser(argparse.ArgumentParser):
    """Refuses in one line; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where; end with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def faults(text: str) -> tuple[str, ...]:
    """Read names of faults."""
    if text == "all":
        return labels(ALL_FAULTS)
    if text == "none":
        return ()
    unknown = [name for name in text.split(",") if name not in BY_LABEL]
    if unknown:
        msg = f"no fault {unknown[0]!r}; name some of {','.join(BY_LABEL)}, or all, or none"
        raise argparse.ArgumentTypeError(msg)
    return tuple(text.split(","))


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(text.split(","))


def seeds(text: str) -> range:
    """Read one seed, or the first and the last of many."""
    first, dots, last = text.partition("..")
    try:
        lowest, highest = int(first), int(last if dots else first)
    except ValueError as error:
        msg = f"seeds look like 1..200, not {text!r}"
        raise argparse.ArgumentTypeError(msg) from error
    if lowest < 0 or highest > SEED_MAX:
        msg = f"{text!r} leaves the seeds that there are, 0 to {SEED_MAX}"
        raise argparse.ArgumentTypeError(msg)
    if not lowest <= highest < lowest + SEEDS_AT_ONCE_MAX:
        count = max(0, highest - lowest + 1)
        msg = f"{text!r} holds {count} seeds; a sweep takes 1 to {SEEDS_AT_ONCE_MAX}"
        raise argparse.ArgumentTypeError(msg)
    return range(lowest, highest + 1)


def at_least(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Give what reads a whole number within bounds."""

    def number(text: str) -> int:
        said = int(text) if text.removeprefix("-").isdecimal() else None
        if said is None or said < lowest or (highest is not None and said > highest):
            bounds = f"from {lowest} up" if highest is None else f"from {lowest} to {highest}"
            msg = f"{text!r} is no number {bounds}"
            raise argparse.ArgumentTypeError(msg)
        return said

    return number


def sizes(highest: int) -> Callable[[str], tuple[int, ...]]:
    """Give what reads the sizes of committees."""

    def several(text: str) -> tuple[int, ...]:
        parts = text.split(",")
        if not all(part.isdecimal() and 0 < int(part) <= highest for part in parts):
            msg = f"sizes look like 4,7,10, each from 1 to {highest}, not {text!r}"
            raise argparse.ArgumentTypeError(msg)
        return tuple(int(part) for part in parts)

    return several


def minutes(text: str) -> float:
    """Read for how long to go on."""
    try:
        said = float(text)
    except ValueError:
        said = -1.0
    if not 0 < said < math.inf:
        msg = f"{text!r} is no number of minutes above 0"
        raise argparse.ArgumentTypeError(msg)
    return said


def writable(text: str) -> Path:
    """Refuse before the work what could not be written after it."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        msg = f"{text} cannot be written; name a file in a folder that exists"
        raise argparse.ArgumentTypeError(msg)
    return path


def one_of(known: Collection[str]) -> Callable[[str], str]:
    """Give what reads one of the names that there are."""

    def name(text: str) -> str:
        if text not in known:
            msg = f"there is no {text!r}; there are {', '.join(sorted(known))}"
            raise argparse.ArgumentTypeError(msg)
        return text

    return name


def plan_file(text: str) -> tuple[Plan, str]:
    """Read a plan; give it with the command that replays it."""
    try:
        plan = from_json(Path(text).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        msg = f"{text} is no plan: {error}"
        raise argparse.ArgumentTypeError(msg) from error
    refused = refusal(plan)
    if refused is not None:
        msg = f"{text} cannot be run: {refused}"
        raise argparse.ArgumentTypeError(msg)
    return plan, f"python -m sim replay {text}"
