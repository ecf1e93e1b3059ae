"""How often a caller may ask: token buckets in a table of bounded size."""

from collections import OrderedDict

ENTRIES_MAX = 4096


class Rates:
    """One bucket a key; each fills at `per_s` up to `most`, and every request takes one."""

    def __init__(self, per_s: float, most: float, entries_max: int = ENTRIES_MAX) -> None:
        self._per_s = per_s
        self._most = most
        self._entries_max = entries_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Take one; give 0, or in how many seconds there is one again.

        When the table is full, the key that was quiet longest is forgotten: its bucket is full,
        or nearly so.
        """
        left, since_s = self._buckets.pop(key, (self._most, now_s))
        left = min(self._most, left + (now_s - since_s) * self._per_s)
        is_enough = left >= 1
        self._buckets[key] = (left - 1 if is_enough else left, now_s)
        while len(self._buckets) > self._entries_max:
            self._buckets.popitem(last=False)
        return 0.0 if is_enough else (1 - left) / self._per_s
