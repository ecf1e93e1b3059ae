"""Latency and bandwidth as measured against peers; only recent measurements count."""

from collections import deque

from ambientd.model.base import NodeId

SAMPLES_MAX = 9
AGE_MS_MAX = 60_000
BANDWIDTH_SAMPLES_MAX = 16
BANDWIDTH_AGE_MS_MAX = 600_000
PEERS_MAX = 4096
_MICROSECONDS_MAX = 3_600_000_000


def median(values: list[int]) -> int | None:
    """Give the lower median, or None of nothing."""
    return sorted(values)[(len(values) - 1) // 2] if values else None


class RoundTrips:
    """The last round trips to each peer, halved: one way."""

    def __init__(self) -> None:
        self._samples: dict[NodeId, deque[tuple[int, int]]] = {}

    def add(self, peer: NodeId, round_trip_us: int, now: int) -> None:
        """Note one round trip; an impossible one is ignored."""
        if not 0 <= round_trip_us <= _MICROSECONDS_MAX:
            return
        samples = self._samples.pop(peer, None)
        if samples is None:
            samples = deque(maxlen=SAMPLES_MAX)
            if len(self._samples) >= PEERS_MAX:
                # The first is the one not measured for the longest time.
                del self._samples[next(iter(self._samples))]
        samples.append((now, round_trip_us // 2))
        self._samples[peer] = samples

    def latency_us(self, peer: NodeId, now: int) -> int | None:
        """Give the median one-way latency to a peer, or None when not measured lately."""
        samples = self._samples.get(peer, ())
        return median([value for at, value in samples if now - at <= AGE_MS_MAX])

    def latency_us_of_all(self, now: int) -> int | None:
        """Give the median over peers; a peer that fell silent no longer counts."""
        while self._samples:
            oldest = next(iter(self._samples))
            if now - self._samples[oldest][-1][0] <= AGE_MS_MAX:
                break
            del self._samples[oldest]
        if not self._samples:
            return None
        each = (self.latency_us(peer, now) for peer in self._samples)
        return median([value for value in each if value is not None])


class Transfers:
    """The speed of the last transfers; the fastest tells what the link can do."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=BANDWIDTH_SAMPLES_MAX)

    def add(self, kbit_per_s: int, now: int) -> None:
        """Note one transfer's speed."""
        if kbit_per_s >= 0:
            self._samples.append((now, kbit_per_s))

    def bandwidth_kbit_per_s(self, now: int) -> int | None:
        """Give the fastest recent transfer, or None without any."""
        if not self._samples:
            return None
        recent = [value for at, value in self._samples if now - at <= BANDWIDTH_AGE_MS_MAX]
        return max(recent, default=None)
