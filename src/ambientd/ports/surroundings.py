"""What a device is connected to, and what its clock on the wall says."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Battery, network and local time now; what is not known counts as harmless.

    `week_minute` counts from Monday's midnight in the zone that `zone` names.
    """

    on_battery: bool
    metered_link: str
    week_minute: int
    zone: str
    absent_links: tuple[str, ...] = ()
    """Cards that were named as metered and are not there."""


class Device(Protocol):
    """What looks around."""

    def look(self, time_zone: str, metered_links: tuple[str, ...]) -> Surroundings:
        """Look now; `time_zone` is empty for the device's own, links are those named as metered."""
        ...
