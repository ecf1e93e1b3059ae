"""ambientctl pause, resume, owner show, owner set: what the owner lets a node do."""

from collections.abc import Sequence
from typing import Protocol

from ambientd.api import operations
from ambientd.api.owner_values import OwnerReply, Pause, Resume, SetOwner, ShowOwner
from ambientd.cli.console import (
    CommonArguments,
    connect,
    in_words,
    print_fields,
    print_json,
    print_line,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode

_NOT_TOLD = (
    "the log does not have it yet, so the mesh may still give this node work, which it hands back; "
    "`ambientctl status` tells when it does"
)
MIB = 1024 * 1024


class PauseArguments(CommonArguments, Protocol):
    """Options of `pause`."""

    now: bool
    for_ms: int


class SetArguments(CommonArguments, Protocol):
    """Options of `owner set`."""

    cpu: int | None
    memory: int | None
    hours: list[str] | None
    time_zone: str | None
    battery: bool | None
    metered: bool | None
    metered_link: list[str] | None
    refuse: list[str] | None


def pause(arguments: PauseArguments) -> ExitCode:
    """Let the node take no more work."""
    with connect(arguments) as client:
        request = Pause(stops=arguments.now, for_ms=arguments.for_ms)
        answer = client.call(operations.PAUSE, request)
    return _said(arguments, answer)


def resume(arguments: CommonArguments) -> ExitCode:
    """Let the node take work again."""
    with connect(arguments) as client:
        answer = client.call(operations.RESUME, Resume())
    return _said(arguments, answer)


def show(arguments: CommonArguments) -> ExitCode:
    """Show the rules."""
    with connect(arguments) as client:
        answer = client.call(operations.OWNER_SHOW, ShowOwner())
    return _shown(arguments, answer)


def change(arguments: SetArguments) -> ExitCode:
    """Change rules."""
    zone = arguments.time_zone
    request = SetOwner(
        cpu_percent=arguments.cpu,
        memory_bytes_max=arguments.memory,
        hours=_listed(arguments.hours, "always"),
        time_zone="" if zone == "device" else zone,
        on_battery=arguments.battery,
        on_metered=arguments.metered,
        metered_links=_listed(arguments.metered_link, "none"),
        refuses=_listed(arguments.refuse, "none"),
    )
    with connect(arguments) as client:
        answer = client.call(operations.OWNER_SET, request)
    return _shown(arguments, answer)


def _listed(words: Sequence[str] | None, nothing: str) -> tuple[str, ...] | None:
    """Give what was listed; the word for nothing empties the list."""
    return None if words is None else tuple(word for word in words if word != nothing)


def _said(arguments: CommonArguments, answer: OwnerReply) -> ExitCode:
    """Tell in a line what a pause or its end means."""
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    is_ending = answer.standing.closed != "open" and answer.running > 0
    running = f"; {in_words(answer.running, 'slot')} still in hand" if is_ending else ""
    print_line(f"{answer.standing.text}{running}")
    _warn(answer)
    return ExitCode.DONE


def _shown(arguments: CommonArguments, answer: OwnerReply) -> ExitCode:
    """Show all rules."""
    if arguments.as_json:
        print_json(answer)
    else:
        print_fields(_fields(answer))
        _warn(answer)
    return ExitCode.DONE


def _warn(answer: OwnerReply) -> None:
    if not answer.standing.told:
        tell(_NOT_TOLD)
    for note in answer.notes:
        warn(note)


def _fields(answer: OwnerReply) -> list[tuple[str, str]]:
    memory = f"{answer.memory_bytes_max // MIB:,} MiB" if answer.memory_bytes_max else "as set up"
    links = f"; metered: {', '.join(answer.metered_links)}" if answer.metered_links else ""
    hours = "; ".join(answer.hours) or "always"
    return [
        ("now", answer.standing.text),
        ("processor", f"{answer.cpu_percent} % of all cores, {answer.capacity} at once"),
        ("memory", f"{memory}, for all executions together"),
        ("hours", f"{hours}; the clock is {answer.time_zone}"),
        ("on battery", _allowed(is_allowed=answer.on_battery)),
        ("metered", _allowed(is_allowed=answer.on_metered) + links),
        ("refuses", ", ".join(answer.refuses) or "no class of tasks"),
        (
            "keeps",
            f"{_days(answer.inputs_kept_ms)} inputs, {_days(answer.outputs_kept_ms)} outputs",
        ),
        ("in hand", in_words(answer.running, "slot")),
    ]


def _days(time_ms: int) -> str:
    """Write how long something stays, as [retention] in config.toml says it."""
    days, hours = divmod(time_ms // 3_600_000, 24)
    return in_words(days, "day") if days and not hours else in_words(24 * days + hours, "hour")


def _allowed(*, is_allowed: bool) -> str:
    return "works" if is_allowed else "takes no work"
