"""How long a term may go without progress (protocols/05-log.md section 6)."""

from ambientd.consensus.options import ConsensusOptions

BACKOFF_MAX = 16
WINDOW = 64


class Pacemaker:
    """The current term's patience: T = T0, doubled by each failed term, reset by a commit."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._options = options
        self._failures = 0
        self._round_trips: list[int] = []
        self._smoothed_p99_ms = 0
        self.entered_at = 0
        self.progressed_at = 0

    @property
    def t0_ms(self) -> int:
        """Give T0: the floor, or four times the smoothed p99 round trip."""
        ceiling = self._options.t0_ms * BACKOFF_MAX
        return min(max(self._options.t0_ms, 4 * self._smoothed_p99_ms), ceiling)

    @property
    def patience_ms(self) -> int:
        """Give T of the current term."""
        return self.t0_ms * min(1 << min(self._failures, 4), BACKOFF_MAX)

    @property
    def heartbeat_ms(self) -> int:
        """Give the longest pause between two proposals."""
        return self.t0_ms // 4

    @property
    def deadline(self) -> int:
        """Give when the term is given up unless something is certified before."""
        tenure_ends = self.entered_at + self._options.tenure_ms
        return min(self.progressed_at + self.patience_ms, tenure_ends)

    def entered(self, now: int, *, failed: bool) -> None:
        """Begin a term; `failed` when a time-out certificate ended the one before."""
        self._failures = min(self._failures + 1, 4) if failed else self._failures
        self.entered_at = self.progressed_at = now

    def progressed(self, now: int) -> None:
        """Note that the current term certified something new."""
        self.progressed_at = now

    def committed(self) -> None:
        """Note a commit: the next term starts with T0 again."""
        self._failures = 0

    def measured(self, round_trip_ms: int) -> None:
        """Take in a round trip; each full window moves the smoothed p99 half way."""
        self._round_trips.append(min(max(round_trip_ms, 0), self._options.t0_ms * BACKOFF_MAX))
        if len(self._round_trips) >= WINDOW:
            p99 = sorted(self._round_trips)[WINDOW * 99 // 100]
            self._smoothed_p99_ms = (self._smoothed_p99_ms + p99) // 2
            self._round_trips = []
