"""How long a term may go without progress, and its coordinator rest (protocols/05-log.md 6)."""

from ambientd.consensus.options import ConsensusOptions

BACKOFF_MAX = 16
WINDOW = 64
REST_MS_MAX = 6_400  # less than a block's time may be above its parent's
NAP_MS_MAX = 1_600  # less than what the ledger takes for an outage (03, section 2)


class Pacemaker:
    """The current term's patience: T = T0, doubled by each failed term, reset by a commit.

    While nobody waits for a block the term rests: proposals come ever more slowly, and may.
    """

    def __init__(self, options: ConsensusOptions) -> None:
        self._options = options
        self._failures = 0
        self._round_trips: list[int] = []
        self._smoothed_p99_ms = 0
        self.t0_ms = options.t0_ms
        """T0: the floor, or four times the smoothed p99 round trip."""
        self._rest_ms = 0  # the longest pause of the present rest
        self._roused_at = 0
        self._rests = 0
        self.entered_at = 0
        self.progressed_at = 0

    @property
    def patience_ms(self) -> int:
        """Give T of the current term; at rest one proposal may be lost on top of that.

        One bound for what was measured and what failed: who measured a storm waits no longer
        for a term than the others after it.
        """
        longest_ms = self._options.t0_ms * BACKOFF_MAX
        return min(self.t0_ms << self._failures, longest_ms) + 2 * self._rest_ms

    @property
    def heartbeat_ms(self) -> int:
        """Give the longest pause between two proposals while somebody waits for something."""
        return self.t0_ms // 4

    @property
    def pause_ms(self) -> int:
        """Give the present pause between two proposals: at rest each is twice the one before."""
        return max(self.heartbeat_ms, min(self.heartbeat_ms << self._rests, self._rest_ms))

    @property
    def deadline(self) -> int:
        """Give when the term is given up unless something is certified before."""
        tenure_ends = self.entered_at + self._options.tenure_ms
        return min(max(self.progressed_at, self._roused_at) + self.patience_ms, tenure_ends)

    def entered(self, now: int, *, failed: bool) -> None:
        """Begin a term; `failed` when a time-out certificate ended the one before."""
        self._failures = min(self._failures + 1, 4) if failed else self._failures
        self.entered_at = self.progressed_at = now

    def progressed(self, now: int) -> None:
        """Note that the current term certified something new."""
        self.progressed_at = now

    def rest(self, now: int, rest_ms: int) -> None:
        """Note how long a pause may be; patience runs from when somebody began to wait (0)."""
        if self._rest_ms and not rest_ms:
            self._roused_at = now
        self._rest_ms = rest_ms
        self._rests = self._rests if rest_ms else 0

    def proposed(self) -> None:
        """Note an own proposal: the next one at rest may take longer."""
        if self.heartbeat_ms << self._rests < self._rest_ms:
            self._rests += 1

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
            floor_ms = self._options.t0_ms
            self.t0_ms = min(max(floor_ms, 4 * self._smoothed_p99_ms), floor_ms * BACKOFF_MAX)
