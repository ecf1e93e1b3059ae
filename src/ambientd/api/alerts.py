"""Troubles of a node as they begin and end, for owners who do not ask."""

from ambientd.api.replies import Event, EventKind, Status

BEGAN, ENDED = "trouble_began", "trouble_ended"
KINDS = frozenset(each.value for each in EventKind) | {BEGAN, ENDED}
GIB = 1 << 30
FREE_FEW_BYTES = GIB
FREE_AGAIN_BYTES = 2 * GIB
_SAFE_MODE, _DISK = "safe_mode", "disk_low"


class Watch:
    """Remembers the troubles there were, and tells of those that began or ended."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def look(self, status: Status, free_bytes: int, now: int) -> list[Event]:
        """Give what has changed since the last look."""
        found = {each.kind.value: (each.text, each.hint) for each in status.troubles}
        if status.safe_mode.active:
            reasons = ", ".join(status.safe_mode.reasons)
            found[_SAFE_MODE] = f"takes no work to protect itself: {reasons}", "it ends by itself"
        if free_bytes < (FREE_AGAIN_BYTES if _DISK in self._known else FREE_FEW_BYTES):
            hint = "free some space, or lower [limits] blob_store_bytes_max in config.toml"
            found[_DISK] = f"{free_bytes / GIB:.1f} GiB are free on its disk", hint
        before, self._known = self._known, found
        began = [_event(BEGAN, kind, *found[kind], now) for kind in sorted(found.keys() - before)]
        ended = [_event(ENDED, kind, *before[kind], now) for kind in sorted(before.keys() - found)]
        return [*began, *ended]


def _event(kind: str, trouble: str, text: str, hint: str, now: int) -> Event:
    return Event(time_ms=now, kind=kind, text=text, fields={"trouble": trouble, "hint": hint})
