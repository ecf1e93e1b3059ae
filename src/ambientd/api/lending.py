"""What an owner's word means that its words do not say: to be told at once, and by `doctor`."""

from ambientd.api.terms import OUTPUT_BYTES_BY_DEFAULT
from ambientd.config.options import Config
from ambientd.config.owner_terms import OwnerTerms
from ambientd.model.execution import ExecutionLimits
from ambientd.rules.executions import memory_need_bytes
from ambientd.rules.hours import DAY_MINUTES

MIB = 1 << 20


def notes_on(
    terms: OwnerTerms, config: Config, absent_links: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Give what the owner should know about the rules, each with what to do."""
    links = (
        f"this device has no network card {card!r} now and takes what it has for not metered; "
        "`ip link` lists its cards"
        for card in absent_links
    )
    return (*_memory(terms, config), *_hours(terms), *links)


def _memory(terms: OwnerTerms, config: Config) -> tuple[str, ...]:
    limits = ExecutionLimits(
        memory_bytes_max=config.execution.memory_bytes_max,
        output_bytes_max=min(config.limits.output_bytes_max, OUTPUT_BYTES_BY_DEFAULT),
    )
    needed = memory_need_bytes(limits, 0)
    if not 0 < terms.memory_bytes_max < needed:
        return ()
    text = (
        f"{terms.memory_bytes_max // MIB:,} MiB are too few for a task that asks for no less than "
        f"usual, which needs {-(-needed // MIB):,} MiB: this node is given none of those; "
        f"`ambientctl owner set --memory {-(-needed // MIB)}MiB` takes them"
    )
    return (text,)


def _hours(terms: OwnerTerms) -> tuple[str, ...]:
    whole = [
        text
        for text, each in zip(terms.hours, terms.windows(), strict=True)
        if each.length == DAY_MINUTES and each.from_minute
    ]
    return tuple(
        f"hours {text!r} end when they begin, on the next day: that is all day; for no hours at "
        "all say `ambientctl pause`"
        for text in whole
    )
