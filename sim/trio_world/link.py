"""One peer as a transport in memory sees it: a wire, what waits for it, what was counted."""

from collections import deque
from dataclasses import dataclass, field

from ambientd.ports.transport import NodeId, Traffic, TransportOptions

WINDOW = 16
SMOOTHING = 0.2


@dataclass(slots=True)
class Meter:
    """What has passed between two nodes."""

    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    frames_dropped: int = 0

    def traffic(self) -> Traffic:
        """Give it as the port has it."""
        return Traffic(
            self.bytes_sent,
            self.bytes_received,
            self.frames_sent,
            self.frames_received,
            self.frames_dropped,
        )


@dataclass(slots=True)
class Link:
    """A wire that both ends know by one name; it is up once both have heard of it."""

    peer: NodeId
    wire: tuple[NodeId, int]
    heard_s: float
    is_up: bool = False
    under_way: int = 0  # frames that the peer has not taken in yet
    waiting: deque[bytes] = field(default_factory=deque)
    waiting_bytes: int = 0
    full_since_s: float | None = None
    round_trip_s: float | None = None

    @property
    def round_trip_ms(self) -> float | None:
        """Give the smoothed round trip; None before the first."""
        return None if self.round_trip_s is None else self.round_trip_s * 1000

    def has_room(self, frame: bytes, options: TransportOptions) -> bool:
        """Tell whether the queue takes one more frame."""
        fits = self.waiting_bytes + len(frame) <= options.queue_bytes_max
        return fits and len(self.waiting) < options.queue_frames_max

    def push(self, frame: bytes) -> None:
        """Let a frame wait."""
        self.waiting.append(frame)
        self.waiting_bytes += len(frame)

    def pop(self) -> bytes | None:
        """Give the next frame that may leave."""
        if not self.waiting or self.under_way >= WINDOW:
            return None
        frame = self.waiting.popleft()
        self.waiting_bytes -= len(frame)
        self.full_since_s = None
        return frame

    def measured(self, round_trip_s: float) -> None:
        """Take in a round trip of the own heartbeat."""
        before = self.round_trip_s
        share = 1.0 if before is None else SMOOTHING
        self.round_trip_s = round_trip_s * share + (before or 0.0) * (1 - share)
