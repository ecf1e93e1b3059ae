"""Whether a node's owner lets it take work now, as `status` and `owner show` tell it."""

import msgspec


class OwnerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the node takes work, in words, and for programs why not: `open` when it does."""

    closed: str = "open"
    text: str = "takes work"
    until_ms: int | None = None
    told: bool = True
    """Whether the log has it, so that the scheduler heeds it."""
