"""Getting records to the coordinator, and noticing when it leaves them out (section 7)."""

from collections.abc import Container
from itertools import islice

from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.messages import Forward
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.record_pool import Pending, RecordPool

RELAYED_MS_MAX = 60_000
FORWARD_BYTES_MAX = 1024 * 1024
FORWARD_RECORDS_MAX = 1024
OLDEST_WATCHED = 64


def forward_fault(forward: Forward) -> str | None:
    """Give what is wrong with a message of records before any of them is looked at."""
    count = len(forward.records)
    if count > FORWARD_RECORDS_MAX:
        return f"{count} records are forwarded at once; {FORWARD_RECORDS_MAX} are allowed"
    size = sum(map(len, forward.records))
    if count > 1 and size > FORWARD_BYTES_MAX:  # one record has its own limit
        return f"{size} bytes are forwarded at once; {FORWARD_BYTES_MAX} are allowed"
    return None


class Forwarding:
    """Sends pending records at once in each term, again every 2 T0, and to all when ignored."""

    def __init__(self, options: ConsensusOptions, pool: RecordPool) -> None:
        self._options = options
        self._pool = pool
        self._roomy_at = 0
        self._due_at: int | None = None
        self._fresh: list[bytes] = []

    @property
    def deadline(self) -> int | None:
        """Give when records are forwarded again; None while nothing waits."""
        return self._due_at if len(self._pool) else None

    @property
    def looks_at(self) -> int | None:
        """Give when `step` looks again at all that waits, be it nothing."""
        return self._due_at

    def changed(self) -> None:
        """Note a new coordinator: forward everything at once."""
        self._due_at = 0

    def added(self, hash_: bytes) -> None:
        """Note a new record: forward it at once, without a look at all the others."""
        self._fresh.append(hash_)
        if self._due_at is None:
            self._due_at = 0

    def saw_block(self, size_bytes: int, records: int, now: int) -> None:
        """Note whether the coordinator's block had room."""
        options = self._options
        if size_bytes * 2 <= options.block_bytes_max and records * 2 <= options.records_max:
            self._roomy_at = now

    def is_due(self, now: int) -> bool:
        """Tell whether `step` has anything to look at."""
        return bool(self._fresh) or (self._due_at is not None and now >= self._due_at)

    def step(
        self, term: int, coordinator: bytes, excluded: Container[bytes], now: int
    ) -> list[Send | Broadcast]:
        """Forward what is due; `excluded` are the records of blocks under way."""
        retry_ms = 2 * self._options.t0_ms
        fresh, self._fresh = self._fresh, []
        if self._due_at is not None and now >= self._due_at:
            self._pool.expire_relayed(now - RELAYED_MS_MAX)
            self._due_at = now + retry_ms // 2
            looked_at = self._pool.items()
        elif fresh:
            looked_at = self._pool.items_of(fresh)
        else:
            return []
        to_coordinator: list[bytes] = []
        to_all: list[bytes] = []
        for hash_, entry in looked_at:
            if entry.forwarded_term != term:
                entry.forwarded_term, entry.first_forwarded_ms = term, now
                entry.is_broadcast = False
            elif now < entry.forwarded_ms + retry_ms:
                continue
            entry.forwarded_ms = now
            if hash_ in excluded:
                continue
            if self._is_ignored(entry, now):
                entry.is_broadcast = True
                to_all.append(entry.record)
            else:
                to_coordinator.append(entry.record)
        if coordinator == self._options.self_id:
            return []
        direct = [Send(coordinator, message) for message in _packed(to_coordinator)]
        return [*direct, *(Broadcast(message) for message in _packed(to_all))]

    def _is_ignored(self, entry: Pending, now: int) -> bool:
        """Tell whether it is time to show the own record to all members."""
        waited = now - entry.first_forwarded_ms
        return (
            entry.origin is None
            and not entry.is_broadcast
            and waited * 2 > self._options.include_ms
        )

    def is_censored(self, term: int, excluded: Container[bytes], now: int) -> bool:
        """Tell whether a record stayed out for T_include although blocks had room."""
        if not len(self._pool):
            return False
        patience = self._options.include_ms
        return any(
            entry.forwarded_term == term
            and now - entry.first_forwarded_ms >= patience
            and self._roomy_at - entry.first_forwarded_ms >= patience // 2
            and hash_ not in excluded
            for hash_, entry in islice(self._pool.items(), OLDEST_WATCHED)
        )


def _packed(records: list[bytes]) -> list[Forward]:
    """Split records into messages of bounded size."""
    messages: list[Forward] = []
    current: list[bytes] = []
    size = 0
    for record in records:
        is_full = size + len(record) > FORWARD_BYTES_MAX or len(current) >= FORWARD_RECORDS_MAX
        if current and is_full:
            messages.append(Forward(tuple(current)))
            current, size = [], 0
        current.append(record)
        size += len(record)
    return [*messages, Forward(tuple(current))] if current else messages
