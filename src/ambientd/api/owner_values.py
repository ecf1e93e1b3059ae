"""What an owner lets a node do: requests and replies of `owner`, `pause` and `resume`."""

from typing import Annotated

from msgspec import Meta

from ambientd.api.owner_standing import OwnerStanding
from ambientd.api.replies import Reply
from ambientd.api.requests import Request

PAUSE_MS_MAX = 366 * 24 * 3_600_000
Texts = Annotated[tuple[Annotated[str, Meta(max_length=64)], ...], Meta(max_length=16)]


class ShowOwner(Request, frozen=True):
    """What does the owner let this node do?"""


class SetOwner(Request, frozen=True):
    """Let the node do this from now on; what is not named stays as it is.

    `refuses` replaces the classes of tasks that the node takes none of.
    """

    cpu_percent: Annotated[int, Meta(ge=1, le=100)] | None = None
    memory_bytes_max: Annotated[int, Meta(ge=0, le=2**50)] | None = None
    hours: Texts | None = None
    time_zone: Annotated[str, Meta(max_length=64)] | None = None
    on_battery: bool | None = None
    on_metered: bool | None = None
    metered_links: Texts | None = None
    refuses: Texts | None = None


class Pause(Request, frozen=True):
    """Take no more work, for a while or until `resume`; `stops` hands back what runs."""

    stops: bool = False
    for_ms: Annotated[int, Meta(ge=0, le=PAUSE_MS_MAX)] = 0


class Resume(Request, frozen=True):
    """Take work again, as far as hours, battery and network let it."""


class OwnerReply(Reply, frozen=True):
    """What the owner lets this node do, and what that means now."""

    standing: OwnerStanding
    running: int
    """Slots in hand: with a pause that does not stop, they are finished first."""

    cpu_percent: int
    memory_bytes_max: int
    hours: tuple[str, ...]
    time_zone: str
    """The zone of the hours, with what it is ahead of UTC now."""

    on_battery: bool
    on_metered: bool
    metered_links: tuple[str, ...]
    refuses: tuple[str, ...]
    paused: bool
    paused_until_ms: int
    capacity: int
    """Executions at once that the mesh is told."""

    inputs_kept_ms: int
    outputs_kept_ms: int
    """How long modules and inputs, and outputs, stay after the last task that used them."""

    notes: tuple[str, ...] = ()
    """What follows from the rules and is easily overlooked, each with what to do."""
