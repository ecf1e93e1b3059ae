"""The smallest host of the log: a store that survives, a ledger that is a hash chain of records.

Of a record the ledger understands one thing: a wish to give a seat of the committee to another.
"""

import random
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from msgspec import Struct

from ambientd.codec import canonical, merkle
from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus.beacon import BeaconLink
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import (
    Broadcast,
    Committed,
    CommittedBlock,
    PersistBlock,
    PersistSafety,
    Send,
    VoteDecided,
)
from ambientd.consensus.epochs import Epoch, epoch_of, succession_fault
from ambientd.consensus.events import (
    Applied,
    Event,
    MessageReceived,
    RecordSubmitted,
    Started,
    Tick,
)
from ambientd.consensus.log import Log
from ambientd.consensus.messages import (
    Append,
    EpochEnd,
    EpochMessage,
    Epochs,
    Forward,
    InEpoch,
    Message,
    Offer,
    Pages,
    Snapshot,
    WantPages,
    decode_message,
    encode_message,
)
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules, SafetyState
from ambientd.errors import RemoteProtocolError
from sim.disk import LogDisk
from sim.machine import Delivery, Effect

RECORD_PREFIX = b"record "
SEATS_PREFIX = b"record of seats "
STOP_PREFIX = b"epoch "


class SeatsWanted(Struct, frozen=True, array_like=True):
    """A wish in one epoch: `leaving` loses a seat, `joining` gets one; empty stands for nobody.

    With nobody at all the same committee goes on in another order.
    """

    epoch: int
    leaving: bytes
    joining: bytes
    beacon_tip: bytes
    serial: int = 0


def is_valid(record: bytes) -> bool:
    """Judge a record's form as the simulator's trivial ledger does."""
    return record.startswith(RECORD_PREFIX) or read_stop(record) is not None


def read_stop(record: bytes) -> Epoch | None:
    """Give the epoch that a record begins."""
    if not record.startswith(STOP_PREFIX):
        return None
    try:
        return canonical.decode(record[len(STOP_PREFIX) :], Epoch)
    except RemoteProtocolError:
        return None


def seats_record(wanted: SeatsWanted) -> bytes:
    """Write a wish down."""
    return SEATS_PREFIX + canonical.encode(wanted)


def with_seats(present: Epoch, record: bytes, seed: bytes) -> bytes | None:
    """Give the stop that grants a wish; None for what is no wish, or one that cannot be granted."""
    if not record.startswith(SEATS_PREFIX):
        return None
    wanted: SeatsWanted = canonical.decode(record[len(SEATS_PREFIX) :], SeatsWanted)
    seats = list(zip(present.members, present.beacon_tips, strict=True))
    seats = [seat for seat in seats if seat[0] not in (wanted.leaving, wanted.joining)]
    if wanted.joining:
        insort(seats, (wanted.joining, wanted.beacon_tip))
    if wanted.epoch != present.number:
        return None
    members, tips = tuple(key for key, _ in seats), tuple(tip for _, tip in seats)
    proposed = Epoch(present.number + 1, members, seed, tips)
    if succession_fault(present, proposed) is not None:
        return None
    return STOP_PREFIX + canonical.encode(proposed)


def unlabelled(message: Message, first: int) -> tuple[int, EpochMessage] | None:
    """Give what a message says in which epoch; None when it speaks of none."""
    if isinstance(message, Forward | Epochs | Offer | WantPages | Pages):
        return None
    if isinstance(message, InEpoch):
        return message.epoch, message.message
    return first, message


@dataclass(slots=True)
class Store:
    """What a crash leaves: each effect is carried out whole or not at all."""

    epoch: Epoch | None = None
    ends_known: list[EpochEnd] = field(default_factory=list)
    dues: list[bytes | None] = field(default_factory=lambda: [None])
    safety: SafetyState | None = None
    safety_epoch: int = 0
    tail: dict[bytes, Append] = field(default_factory=dict)
    log: list[CommittedBlock] = field(default_factory=list)
    beacons: tuple[BeaconLink, ...] = ()
    roots: list[bytes] = field(default_factory=lambda: [b"\0" * 32])
    wanted: dict[bytes, bytes] = field(default_factory=dict)
    has_mark: bool = False  # that this key has voted, or never may

    def apply(self, committed: Committed) -> None:
        """Append blocks to the log and their records to the ledger."""
        for block in committed.blocks:
            assert block.index == len(self.log) + 1, "the log is committed in order, once"
            self.log.append(block)
            self.tail.pop(block.hash, None)
            leaves = [merkle.leaf_hash(record) for record in block.block.records]
            self.roots.append(self.state_root_after(leaves))
            self.dues.append(self._due_after(block.block.records))
            for leaf in leaves:
                self.wanted.pop(leaf, None)
        for hash_ in committed.dropped:
            del self.tail[hash_]
        self.beacons = committed.beacons
        if committed.end is not None:
            self.ends_known.append(committed.end)
            assert not self.tail, "nothing of an epoch that is over is kept"
        head = len(self.log)
        lost = [block for block in self.tail.values() if block.header.index <= head]
        assert not lost, "a block that can never be committed any more is dropped"

    def _due_after(self, records: Sequence[bytes]) -> bytes | None:
        """Run records through the part of the ledger that knows the committee."""
        due = self.dues[-1]
        for record in records:
            begun = read_stop(record)
            if begun is not None:
                self.epoch, due = begun, None
            elif due is None and self.epoch is not None:
                due = with_seats(self.epoch, record, self.roots[-1])
        return due

    def read(self, record: bytes) -> Epoch | None:
        """Give the epoch that a record begins."""
        return read_stop(record)

    def due(self, index: int) -> bytes | None:
        """Give the stop that the state after `index` wants."""
        return self.dues[index]

    def ends(self, first: int, count: int) -> Sequence[EpochEnd]:
        """Give how epochs ended."""
        assert self.epoch is not None
        start = first - (self.epoch.number - len(self.ends_known))
        return self.ends_known[start : start + count]

    def state_root_after(self, leaves: Sequence[bytes]) -> bytes:
        """Give the root that a block of these records leads to."""
        return tagged("sim/state/1", self.roots[-1], *leaves)

    def snapshot(self) -> Snapshot | None:
        """Offer none: this store keeps every block."""
        return None

    def page(self, digest: bytes) -> bytes | None:  # noqa: ARG002  # there are none
        """Have no pages."""
        return None

    def committed(self, first: int, count: int) -> Sequence[Append]:
        """Serve other nodes' fetches."""
        return [block.block for block in self.log[first - 1 : first - 1 + count]]

    def state_root(self, index: int) -> bytes | None:
        """Give the ledger's root after the block at `index`."""
        return self.roots[index] if index < len(self.roots) else None

    def restored(self) -> Restored | None:
        """Give what a fresh machine starts from; None for a node that never signed."""
        if self.safety is None and not self.log and not self.tail:
            return None
        head = self.log[-1] if self.log else None
        end = self.ends_known[-1] if self.ends_known else None
        is_current = self.epoch is None or self.safety_epoch == self.epoch.number
        safety = self.safety if is_current else None
        return Restored(safety, head, self.beacons, tuple(self.tail.values()), end)


class Replica:
    """Hosts one log in the simulator's world."""

    def __init__(
        self,
        options: ConsensusOptions,
        signer: Signer,
        seed: int,
        rules: SafetyRules | None = None,
    ) -> None:
        self.key = options.self_id
        self.is_honest = True
        self.is_first_start = False  # whether it asks others if its key is new, as daemons do
        self.awaited_ms: int | None = None  # this ledger waits for nothing but records
        self.store = Store()
        self.disk = LogDisk(self.key)
        self.options = options
        self._signer = signer
        self._rules = rules
        self._random = random.Random(seed)
        self._must_apply = False
        self.log: Log | None = None

    @property
    def machine(self) -> Consensus | None:
        """Give the present epoch's machine; None while this node is down."""
        return None if self.log is None else self.log.current

    @property
    def next_deadline(self) -> int | None:
        """Give when the machine wants its next tick."""
        return None if self.log is None else self.log.next_deadline

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the machine from the store and start it; own open records are wanted again."""
        self.disk.read()
        self._must_apply = False
        if self.store.epoch is None:
            self.store.epoch = epoch_of(self.options)
        is_known = not self.is_first_start or self.store.has_mark or self.store.safety is not None
        if self.store.has_mark and self.store.safety is None:
            self.options = replace(self.options, may_vote=False)
        self.log = Log(
            self.options,
            self._signer,
            self.store.restored(),
            self._random,
            is_valid=lambda record, _: is_valid(record),
            state_root=self.store.state_root,
            blocks=self.store,
            stops=self.store,
            rules=self._rules,
            past=None if is_known else self,
        )
        effects = self._handle(Started(self.awaited_ms), now)
        for record in self.store.wanted.values():
            effects += self._handle(RecordSubmitted(record), now)
        return effects

    @property
    def word(self) -> bytes:
        """Give the record by which a member's key is known to have been used."""
        return RECORD_PREFIX + b"word of " + self.key

    def is_in_state(self) -> bool:
        """Tell whether the log holds it."""
        return any(self.word in block.block.records for block in self.store.log)

    def is_own(self, record: bytes) -> bool:
        """Tell whether a record is that word: no other has an author here."""
        return record == self.word

    def crash(self) -> None:
        """Lose the machine."""
        self.log = None

    def lose_disk(self) -> None:
        """Get an empty disk; what its key signed is forgotten, so it must never vote again."""
        self.store, self.disk = Store(), LogDisk(self.key)
        self.options = replace(self.options, may_vote=False)

    def lose_safety(self) -> None:
        """Lose what was voted for, and nothing else."""
        self.store.safety = None
        self.options = replace(self.options, may_vote=False)

    def _handle(self, event: Event, now: int) -> list[Effect]:
        assert self.log is not None
        return list(self.log.handle(event, now=now))

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect]:
        """Decode and hand over a peer's message."""
        return self.receive_message(sender, decode_message(data), now)

    def receive_message(self, sender: bytes, message: Message, now: int) -> list[Effect]:
        """Hand over a peer's message."""
        return self._handle(MessageReceived(sender, message), now)

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass."""
        return self._handle(Tick(), now)

    def submit(self, record: bytes, now: int) -> Sequence[Effect]:
        """Want a record in the log, across crashes."""
        self.store.wanted[merkle.leaf_hash(record)] = record
        return self._handle(RecordSubmitted(record), now)

    def execute(self, effect: Effect) -> Delivery | None:
        """Carry out one effect on the store, or give what must be sent."""
        match effect:
            case PersistBlock() | PersistSafety() | Committed() | VoteDecided():
                self.disk.take(partial(self._keep, effect))
            case Send():
                return Delivery(effect.to, encode_message(effect.message))
            case Broadcast():
                return Delivery(None, encode_message(effect.message))
            case _:
                pass
        return None

    def _keep(self, effect: PersistBlock | PersistSafety | Committed | VoteDecided) -> None:
        match effect:
            case PersistBlock():
                self.store.tail[effect.hash] = effect.block
            case PersistSafety():
                self.store.safety, self.store.safety_epoch = effect.state, effect.epoch
            case Committed():
                self.store.apply(effect)
                self._must_apply = True
            case VoteDecided():
                self.store.has_mark = True

    def settle(self, now: int) -> Sequence[Effect]:
        """Say Applied after commits."""
        if not self._must_apply:
            return []
        self._must_apply = False
        return self._handle(Applied(self.awaited_ms), now)
