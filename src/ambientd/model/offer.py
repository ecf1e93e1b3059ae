"""What the owner of a node lets it do: its offer to the mesh, as the log has it."""

from enum import IntEnum

from ambientd.model.base import TaskId, Value


class Closed(IntEnum):
    """Why a node takes no work, by its owner's will or, `HOT`, to spare its device.

    Any other number is a reason of its own.
    """

    OPEN = 0
    PAUSED = 1
    HOURS = 2
    BATTERY = 3
    METERED = 4
    HOT = 5


class SlotName(Value, frozen=True):
    """One attempt at a slot of a task."""

    task: TaskId
    slot: int
    attempt: int


class Wish(Value, frozen=True):
    """What its owner wants of a node from now on.

    `refuses` are the classes it takes none of; None leaves what it joined with. A node that
    `stops` hands its slots back instead of finishing them. No `capacity` leaves the device's own.
    `memory_bytes_max` is what one task may need there, 0 where the owner does not say.
    """

    closed: int = Closed.OPEN
    refuses: tuple[str, ...] | None = None
    stops: bool = False
    capacity: int | None = None
    memory_bytes_max: int = 0


NOTHING_SAID = Wish()
