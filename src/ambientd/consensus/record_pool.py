"""Records that wait to be in the log, within bounds (protocols/05-log.md section 7)."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass

from ambientd.codec import merkle
from ambientd.consensus.options import ConsensusOptions

SETTLED_MAX = 8192


@dataclass(slots=True)
class Pending:
    """One record on its way; `origin` is None when this node submitted it itself."""

    record: bytes
    origin: bytes | None
    since_ms: int
    forwarded_ms: int = 0
    forwarded_term: int = 0
    first_forwarded_ms: int = 0
    is_broadcast: bool = False


class RecordPool:
    """Pending records in order of arrival; knows the recently committed ones."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._options = options
        self._pending: dict[bytes, Pending] = {}
        self._settled: dict[bytes, None] = {}
        self._per_peer: dict[bytes, int] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._pending)

    def items(self) -> Iterator[tuple[bytes, Pending]]:
        """Give hash and entry, oldest first."""
        return iter(self._pending.items())

    def items_of(self, hashes: Iterable[bytes]) -> Iterator[tuple[bytes, Pending]]:
        """Give those of these records that wait here."""
        return ((hash_, self._pending[hash_]) for hash_ in hashes if hash_ in self._pending)

    def knows(self, record: bytes) -> bool:
        """Tell whether the record waits here, or was committed lately."""
        hash_ = merkle.leaf_hash(record)
        return hash_ in self._pending or hash_ in self._settled

    def holds(self, hash_: bytes) -> bool:
        """Tell whether a record waits here."""
        return hash_ in self._pending

    def adopt(self, record: bytes) -> None:
        """Make a record that a peer sent this node's own as well."""
        entry = self._pending.get(merkle.leaf_hash(record))
        if entry is not None and entry.origin is not None:
            self._count(entry.origin, -1)
            entry.origin = None

    def has_room_for(self, origin: bytes) -> bool:
        """Tell whether one more record of this peer could be kept."""
        options = self._options
        of_peer = self._per_peer.get(origin, 0)
        is_full = len(self._pending) >= options.pending_records_max
        return of_peer < options.pending_per_peer_max and not is_full

    def refusal(self, record: bytes, origin: bytes | None) -> str | None:
        """Give why a new record would not be kept, whatever it says; None when it would be."""
        options = self._options
        if not 0 < len(record) <= options.record_bytes_max:
            return f"the record has {len(record)} bytes, 1 to {options.record_bytes_max} are taken"
        is_full = len(self._pending) >= options.pending_records_max
        if is_full or self._bytes + len(record) > options.pending_bytes_max:
            return f"{len(self._pending)} records are waiting already; try again later"
        if origin is not None and not self.has_room_for(origin):
            return "too many records of this peer are waiting already"
        return None

    def add(self, record: bytes, origin: bytes | None, now: int) -> str | None:
        """Keep a new record; give the reason when it is not kept."""
        reason = self.refusal(record, origin)
        if reason is not None:
            return reason
        if origin is not None:
            self._count(origin, 1)
        self._pending[merkle.leaf_hash(record)] = Pending(record, origin, now)
        self._bytes += len(record)
        return None

    def _count(self, origin: bytes, change: int) -> None:
        count = self._per_peer.get(origin, 0) + change
        if count:
            self._per_peer[origin] = count
        else:
            del self._per_peer[origin]

    def drop(self, hash_: bytes) -> None:
        """Forget a record that nobody here wants any longer."""
        entry = self._pending.pop(hash_, None)
        if entry is not None:
            self._bytes -= len(entry.record)
            if entry.origin is not None:
                self._count(entry.origin, -1)

    def settle(self, hash_: bytes) -> None:
        """Take out a committed record and remember it, so that a late copy is not proposed."""
        self.drop(hash_)
        self._settled[hash_] = None
        while len(self._settled) > SETTLED_MAX:
            del self._settled[next(iter(self._settled))]

    def forget_terms(self) -> None:
        """Begin an epoch: its terms count anew, and nothing was forwarded in them."""
        for entry in self._pending.values():
            entry.forwarded_term = 0

    def expire_relayed(self, since_ms: int) -> None:
        """Forget other nodes' records that arrived before `since_ms`; their owners retry."""
        old = [
            h for h, p in self._pending.items() if p.origin is not None and p.since_ms < since_ms
        ]
        for hash_ in old:
            self.drop(hash_)

    def batch(self, excluded: Container[bytes]) -> tuple[bytes, ...]:
        """Choose the next block's records: in order, up to one block's size."""
        chosen: list[bytes] = []
        size = 0
        for hash_, entry in self._pending.items():
            if hash_ in excluded:
                continue
            size += len(entry.record)
            if chosen and size > self._options.block_bytes_max:
                break
            chosen.append(entry.record)
            if len(chosen) >= self._options.records_max:
                break
        return tuple(chosen)

    def waiting(self, excluded: Container[bytes]) -> tuple[int, int] | None:
        """Give since when the oldest eligible record waits, and how many bytes do; else None."""
        since: int | None = None
        size = 0
        for hash_, entry in self._pending.items():
            if hash_ in excluded:
                continue
            since = entry.since_ms if since is None else since
            size += len(entry.record)
            if size >= self._options.block_bytes_max:
                break
        return None if since is None else (since, size)
