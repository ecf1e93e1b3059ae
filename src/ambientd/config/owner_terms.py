"""What the owner lets a node do while it runs: kept in owner.json, changed by `ambientctl owner`.

It can only take away: the most that a node does is what config.toml says.
"""

from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from ambientd.config.node_options import Options
from ambientd.errors import ConfigError
from ambientd.rules.hours import Hours, read_hours
from ambientd.rules.labels import refusals_fault


class OwnerTerms(Options, frozen=True):
    """The owner's word; without any a node works whenever it runs."""

    cpu_percent: Annotated[int, Meta(ge=1, le=100)] = 100
    """What executions may use of all cores together."""

    memory_bytes_max: Annotated[int, Meta(ge=0, le=2**50)] = 0
    """What executions may use of the memory together; 0 for what config.toml says."""

    hours: Annotated[tuple[Annotated[str, Meta(max_length=32)], ...], Meta(max_length=16)] = ()
    """When it works, such as "Mon-Fri 18:00-08:00"; none for always."""

    time_zone: Annotated[str, Meta(max_length=64)] = ""
    """The hours' zone, such as "Europe/Berlin"; empty for the device's own."""

    on_battery: bool = True
    on_metered: bool = True
    metered_links: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=15)], ...], Meta(max_length=16)
    ] = ()
    """Network cards that are metered, besides those of mobile networks."""

    refuses: Annotated[tuple[str, ...], Meta(max_length=16)] | None = None
    """Classes of tasks that it takes none of; None for those it joined with."""

    paused: bool = False
    paused_until_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0
    """When a pause ends by itself; 0 for never."""

    stops: bool = False
    """Whether a pause hands back what runs, instead of finishing it."""

    def windows(self) -> tuple[Hours, ...]:
        """Give the hours, which were checked."""
        return tuple(each for each in map(read_hours, self.hours) if each is not None)


def check_terms(terms: OwnerTerms) -> None:
    """Raise ConfigError for what no node can heed, with what to write instead."""
    for text in terms.hours:
        if read_hours(text) is None:
            msg = f'hours {text!r}: write "18:00-08:00", "Sat 00:00-24:00" or "Mon-Fri 18:00-08:00"'
            raise ConfigError(msg)
    if terms.time_zone:
        try:
            ZoneInfo(terms.time_zone)
        except (ValueError, KeyError, OSError) as error:
            msg = (
                f"time zone {terms.time_zone!r} is not known on this device: name one as "
                '"Europe/Berlin", or none for the device\'s own'
            )
            raise ConfigError(msg) from error
    fault = refusals_fault(terms.refuses or ())
    if fault is not None:
        raise ConfigError(f"{fault}: a class is named in small letters, as `general`")


def decode_terms(data: bytes, where: str) -> OwnerTerms:
    """Read owner.json; raise ConfigError, as a pause must not be forgotten."""
    try:
        terms = msgspec.json.decode(data, type=OwnerTerms)
        check_terms(terms)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ConfigError) as error:
        msg = (
            f"{where}: cannot be read: {error}; mend it, or delete it to let the node work without "
            "limits of its owner"
        )
        raise ConfigError(msg) from error
    return terms


def encode_terms(terms: OwnerTerms) -> bytes:
    """Write owner.json."""
    return msgspec.json.format(msgspec.json.encode(terms), indent=2) + b"\n"
