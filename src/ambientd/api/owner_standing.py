"""Whether a node's owner lets it take work now, as `status` and `owner show` tell it."""

import msgspec


class OwnerCaps(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner lets a node do, as far as it is less than all: without any it is all.

    `capacity` is how many executions at once the mesh is told; 0 bytes mean as config.toml says.
    """

    cpu_percent: int = 100
    capacity: int = 0
    memory_bytes_max: int = 0
    hours: tuple[str, ...] = ()
    time_zone: str = ""
    on_battery: bool = True
    on_metered: bool = True
    refuses: tuple[str, ...] = ()
    paused: bool = False


class OwnerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the node takes work, in words, and for programs why not: `open` when it does."""

    closed: str = "open"
    text: str = "takes work"
    until_ms: int | None = None
    told: bool = True
    """Whether the log has it, so that the scheduler heeds it."""
    caps: OwnerCaps = OwnerCaps()
