"""How much of what stands behind fit nodes has room, so that no block walks them all (03 §6)."""

from ambientd.ledger.entries import NodeEntry
from ambientd.rules.scheduling import ROOM_SHARE, backing, has_room


class RoomIndex:
    """Derived from the nodes' entries and kept in step with them."""

    def __init__(self) -> None:
        self._whole = 0
        self._free = 0

    def see(self, before: NodeEntry | None, entry: NodeEntry) -> None:
        """Take note of a node that has changed; None before it is there."""
        if before is not None:
            self._add(before, -1)
        self._add(entry, +1)

    @property
    def is_enough(self) -> bool:
        """Tell whether those with room are half of all that are fit, by what stands behind them."""
        return ROOM_SHARE * self._free >= self._whole

    def _add(self, entry: NodeEntry, sign: int) -> None:
        if entry.is_fit:
            own = sign * backing(entry.bond_msat)
            self._whole += own
            self._free += own if has_room(entry.open_slots, entry.capacity) else 0
