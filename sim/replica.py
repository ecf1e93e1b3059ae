"""The smallest host of the log: a store that survives, a ledger that is a hash chain of records."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from ambientd.codec import merkle
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
)
from ambientd.consensus.events import (
    Applied,
    Event,
    MessageReceived,
    RecordSubmitted,
    Started,
    Tick,
)
from ambientd.consensus.messages import Append, Message, decode_message, encode_message
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.restored import Restored
from ambientd.consensus.safety import SafetyRules, SafetyState
from sim.machine import Delivery, Effect

RECORD_PREFIX = b"record "


def is_valid(record: bytes) -> bool:
    """Judge a record's form as the simulator's trivial ledger does."""
    return record.startswith(RECORD_PREFIX)


@dataclass(slots=True)
class Store:
    """What a crash leaves: each effect is carried out whole or not at all."""

    safety: SafetyState | None = None
    tail: dict[bytes, Append] = field(default_factory=dict)
    log: list[CommittedBlock] = field(default_factory=list)
    beacons: tuple[BeaconLink, ...] = ()
    roots: list[bytes] = field(default_factory=lambda: [b"\0" * 32])
    wanted: dict[bytes, bytes] = field(default_factory=dict)

    def apply(self, committed: Committed) -> None:
        """Append blocks to the log and their records to the ledger."""
        for block in committed.blocks:
            assert block.index == len(self.log) + 1, "the log is committed in order, once"
            self.log.append(block)
            self.tail.pop(block.hash, None)
            leaves = [merkle.leaf_hash(record) for record in block.block.records]
            self.roots.append(self.state_root_after(leaves))
            for leaf in leaves:
                self.wanted.pop(leaf, None)
        for hash_ in committed.dropped:
            del self.tail[hash_]
        self.beacons = committed.beacons
        head = len(self.log)
        lost = [block for block in self.tail.values() if block.header.index <= head]
        assert not lost, "a block that can never be committed any more is dropped"

    def state_root_after(self, leaves: Sequence[bytes]) -> bytes:
        """Give the root that a block of these records leads to."""
        return tagged("sim/state/1", self.roots[-1], *leaves)

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
        return Restored(self.safety, head, self.beacons, tuple(self.tail.values()))


class Replica:
    """Hosts one Consensus in the simulator's world."""

    def __init__(
        self,
        options: ConsensusOptions,
        signer: Signer,
        seed: int,
        rules: SafetyRules | None = None,
    ) -> None:
        self.key = options.self_id
        self.is_honest = True
        self.store = Store()
        self.options = options
        self._signer = signer
        self._rules = rules
        self._random = random.Random(seed)
        self._must_apply = False
        self.machine: Consensus | None = None

    @property
    def next_deadline(self) -> int | None:
        """Give when the machine wants its next tick."""
        return None if self.machine is None else self.machine.next_deadline

    def boot(self, now: int) -> Sequence[Effect]:
        """Build the machine from the store and start it; own open records are wanted again."""
        self._must_apply = False
        self.machine = Consensus(
            self.options,
            self._signer,
            self.store.restored(),
            self._random,
            is_valid=is_valid,
            state_root=self.store.state_root,
            blocks=self.store,
            rules=self._rules,
        )
        effects = self._handle(Started(), now)
        for record in self.store.wanted.values():
            effects += self._handle(RecordSubmitted(record), now)
        return effects

    def crash(self) -> None:
        """Lose the machine."""
        self.machine = None

    def _handle(self, event: Event, now: int) -> list[Effect]:
        assert self.machine is not None
        return list(self.machine.handle(event, now=now))

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
            case PersistBlock():
                self.store.tail[effect.hash] = effect.block
            case PersistSafety():
                self.store.safety = effect.state
            case Committed():
                self.store.apply(effect)
                self._must_apply = True
            case Send():
                return Delivery(effect.to, encode_message(effect.message))
            case Broadcast():
                return Delivery(None, encode_message(effect.message))
            case _:
                pass
        return None

    def settle(self, now: int) -> Sequence[Effect]:
        """Say Applied after commits."""
        if not self._must_apply:
            return []
        self._must_apply = False
        return self._handle(Applied(), now)
