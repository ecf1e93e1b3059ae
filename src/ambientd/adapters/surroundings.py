"""Battery, network card and local time of this device."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil

from ambientd.adapters.probes.sysfs import read_text
from ambientd.ports.clock import Clock
from ambientd.ports.surroundings import Surroundings

_MOBILE = "DEVTYPE=wwan"
_UP = 0x1


class DeviceSurroundings:
    """Looks at the operating system; `root` is where its files are."""

    def __init__(self, clock: Clock, root: Path = Path("/")) -> None:
        self._clock = clock
        self._root = root

    def look(self, time_zone: str, metered_links: tuple[str, ...]) -> Surroundings:
        """Look now."""
        now = datetime.fromtimestamp(self._clock.unix_ms() / 1000, UTC)
        local = now.astimezone(ZoneInfo(time_zone) if time_zone else None)
        offset = local.strftime("%z")
        name = time_zone or local.tzname() or "local"
        return Surroundings(
            on_battery=_on_battery(),
            metered_link=self._metered(metered_links),
            week_minute=local.weekday() * 1440 + local.hour * 60 + local.minute,
            zone=f"{name} (UTC{offset[:3]}:{offset[3:5]})",
            absent_links=self._absent(metered_links),
        )

    def _metered(self, named: tuple[str, ...]) -> str:
        """Give the metered card that packets for anywhere leave by; nothing if none is."""
        for card in self._ways_out():
            kind = read_text(self._root / "sys/class/net" / card / "uevent") or ""
            if card in named or _MOBILE in kind.splitlines():
                return card
        return ""

    def _absent(self, named: tuple[str, ...]) -> tuple[str, ...]:
        """Give the named cards that this device has not; none where nothing tells."""
        cards = self._root / "sys/class/net"
        return tuple(card for card in named if cards.is_dir() and not (cards / card).is_dir())

    def _ways_out(self) -> list[str]:
        """Give the cards that packets for anywhere leave by, of IPv4 and IPv6, where Linux tells.

        A default route of a higher metric only waits for the others to go.
        """
        four: list[tuple[int, str]] = []
        for line in (read_text(self._root / "proc/net/route") or "").splitlines()[1:]:
            fields = line.split()
            goes_anywhere = len(fields) > 7 and fields[1] == fields[7] == "00000000"
            if goes_anywhere and int(fields[3], 16) & _UP:
                four.append((int(fields[6]), fields[0]))
        six: list[tuple[int, str]] = []
        for line in (read_text(self._root / "proc/net/ipv6_route") or "").splitlines():
            fields = line.split()
            if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00":
                six.append((int(fields[5], 16), fields[9]))
        return [*_preferred(four), *_preferred(six)]


def _preferred(routes: list[tuple[int, str]]) -> list[str]:
    ways = [(metric, card) for metric, card in routes if card != "lo"]
    return [card for metric, card in ways if metric == min(ways)[0]]


def _on_battery() -> bool:
    # Systems without power supplies have no such function or fail in it.
    read = getattr(psutil, "sensors_battery", None)
    try:
        battery = read() if read is not None else None
    except (OSError, ValueError):
        battery = None
    return battery is not None and battery.power_plugged is False
