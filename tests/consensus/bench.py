"""A committee on a bench: every message waits until the test delivers it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.core import Consensus
from ambientd.consensus.effects import Broadcast, CommittedBlock, Effect, Send
from ambientd.consensus.messages import (
    Append,
    Header,
    Message,
    Position,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    append_payload,
    block_hash,
    records_root,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.safety import SafetyRules
from sim.replica import Replica

CLUSTER = b"c" * 32
START_MS = 1_000_000


def record(name: object) -> bytes:
    return b"record " + str(name).encode()


def keys(count: int, prefix: bytes = b"member") -> list[Signer]:
    signers = [Signer(tagged("test/key/1", prefix, bytes([n])), CLUSTER) for n in range(count)]
    return sorted(signers, key=lambda signer: signer.public_key)


def secret(key: bytes) -> bytes:
    return tagged("test/beacon/1", key)


def options(count: int, signer: Signer | None = None, **changes: Any) -> ConsensusOptions:
    members = tuple(s.public_key for s in keys(count))
    self_id = signer.public_key if signer is not None else members[0]
    tips = tuple(beacon.tip(secret(key)) for key in members)
    base = ConsensusOptions(CLUSTER, 0, members, b"seed", self_id, tips, secret(self_id))
    return replace(base, **changes)


@dataclass
class Bench:
    """Members in the order in which they coordinate: `members[0]` has term 1."""

    count: int
    observers: int = 0
    rules: Callable[[], SafetyRules] = SafetyRules
    changes: dict[str, Any] = field(default_factory=dict)
    now: int = START_MS
    awaited_ms: int | None = 0  # then blocks come all the time

    def __post_init__(self) -> None:
        signers = {signer.public_key: signer for signer in keys(self.count)}
        self.options = options(self.count)
        self.committee = Committee(self.options.members, self.options.seed)
        self.verifier = Verifier(self.options, self.committee)
        order = [self.committee.coordinator(term) for term in range(1, self.count + 1)]
        self.signers = [signers[key] for key in order]
        self.signers += keys(self.observers, b"observer")
        self.nodes = [
            Replica(options(self.count, s, **self.changes), s, 1, self.rules())
            for s in self.signers
        ]
        for node in self.nodes:
            node.awaited_ms = self.awaited_ms
        self.queue: list[tuple[bytes, bytes, Message]] = []
        self.effects: dict[bytes, list[Effect]] = {node.key: [] for node in self.nodes}
        self.down: set[bytes] = set()

    def key(self, who: int) -> bytes:
        return self.signers[who].public_key

    def machine(self, who: int) -> Consensus:
        machine = self.nodes[who].machine
        assert machine is not None
        return machine

    def log(self, who: int) -> list[CommittedBlock]:
        return self.nodes[who].store.log

    def records(self, who: int) -> list[bytes]:
        return [r for block in self.log(who) for r in block.block.records]

    def start(self, *who: int) -> None:
        for number in who or range(len(self.nodes)):
            self.carry_out(number, self.nodes[number].boot(self.now))

    def restart(self, who: int) -> list[Effect]:
        self.nodes[who].crash()
        before = len(self.effects[self.key(who)])
        self.start(who)
        return self.effects[self.key(who)][before:]

    def carry_out(self, who: int, effects: Sequence[object]) -> list[Effect]:
        node = self.nodes[who]
        done: list[Effect] = []
        while effects:
            for effect in effects:
                done.append(effect)  # type: ignore[arg-type]
                node.execute(effect)
                if isinstance(effect, Send):
                    self.queue.append((node.key, effect.to, effect.message))
                elif isinstance(effect, Broadcast):
                    others = [n.key for n in self.nodes if n.key != node.key]
                    self.queue += [(node.key, to, effect.message) for to in others]
            effects = node.settle(self.now)
        self.effects[node.key] += done
        return done

    def receive(self, who: int, sender: int, message: Message) -> list[Effect]:
        """Deliver one message at once; give the effects."""
        node = self.nodes[who]
        return self.carry_out(who, node.receive_message(self.key(sender), message, self.now))

    def submit(self, who: int, data: bytes) -> list[Effect]:
        return self.carry_out(who, self.nodes[who].submit(data, self.now))

    def tick(self, who: int, after_ms: int = 0) -> list[Effect]:
        self.now += after_ms
        return self.carry_out(who, self.nodes[who].tick(self.now))

    def hop(self, keep: Callable[[bytes, bytes, Message], bool] | None = None) -> int:
        """Deliver what is on the way now, not what it causes; give how many arrived."""
        batch, self.queue = self.queue, []
        arrived = 0
        for sender, to, message in batch:
            if to in self.down or sender in self.down:
                continue
            if keep is not None and not keep(sender, to, message):
                continue
            who = [node.key for node in self.nodes].index(to)
            node = self.nodes[who]
            if node.machine is not None:
                arrived += 1
                self.carry_out(who, node.receive_message(sender, message, self.now))
        return arrived

    def settle(self, keep: Callable[[bytes, bytes, Message], bool] | None = None) -> None:
        """Deliver until nothing is on the way."""
        for _ in range(200):
            if not self.queue:
                return
            self.hop(keep)
        raise AssertionError("the committee never comes to rest")

    def run(self, for_ms: int, step_ms: int = 5) -> None:
        """Let time pass for all, with instant delivery."""
        for _ in range(0, for_ms, step_ms):
            self.now += step_ms
            for who, node in enumerate(self.nodes):
                due = node.next_deadline
                up = node.machine is not None and node.key not in self.down
                if up and due is not None and due <= self.now:
                    self.tick(who)
            self.settle()

    # Signatures that an attacker can make with its own key.

    def number(self, who: int) -> int:
        found = self.committee.number(self.key(who))
        assert found is not None
        return found

    def block(
        self,
        who: int,
        term: int,
        qc: QuorumCertificate,
        *records: bytes,
        tc: TimeoutCertificate | None = None,
        revealed: int = 0,
        **changes: Any,
    ) -> Append:
        fields: dict[str, Any] = {
            "term": term,
            "index": qc.position.index + 1,
            "parent_hash": qc.hash,
            "time_ms": self.now,
            "records_root": records_root(records),
            "beacon": beacon.reveal(secret(self.key(who)), revealed),
            "state_root": b"",
            "proposer": self.key(who),
        }
        header = Header(**{**fields, **changes})
        payload = append_payload(0, block_hash(header))
        return Append(header, qc, tc, records, self.signers[who].sign("append", payload))

    def vote(self, who: int, append: Append) -> Vote:
        header, parent_term = append.header, append.qc.position.term
        hash_ = block_hash(header)
        payload = vote_payload(0, header.position, parent_term, hash_)
        signature = self.signers[who].sign("vote", payload)
        return Vote(header.position, parent_term, hash_, self.number(who), signature)

    def qc(self, append: Append, *voters: int) -> QuorumCertificate:
        votes = [self.vote(who, append) for who in voters]
        signatures = sorted((vote.member, vote.signature) for vote in votes)
        first = votes[0]
        return QuorumCertificate(first.position, first.parent_term, first.hash, tuple(signatures))

    def timeout(
        self,
        who: int,
        term: int,
        qc: QuorumCertificate,
        tc: TimeoutCertificate | None = None,
    ) -> Timeout:
        signature = self.signers[who].sign("timeout", timeout_payload(0, term, qc.position))
        return Timeout(term, qc.position, self.number(who), signature, qc, tc)

    def tc(self, term: int, *timeouts: Timeout) -> TimeoutCertificate:
        ordered = sorted(timeouts, key=lambda timeout: timeout.member)
        entries = tuple((t.member, t.high_position, t.signature) for t in ordered)
        highest = max(timeouts, key=lambda timeout: timeout.high_position).high_qc
        return TimeoutCertificate(term, entries, highest)

    @property
    def genesis(self) -> QuorumCertificate:
        return self.verifier.genesis


def sent(effects: Sequence[Effect], kind: type[Any]) -> list[Any]:
    """Give the messages of one kind among effects."""
    carried = [e.message for e in effects if isinstance(e, Send | Broadcast)]
    return [message for message in carried if isinstance(message, kind)]


def of(effects: Sequence[Effect], kind: type[Any]) -> list[Any]:
    """Give the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def at(term: int, index: int) -> Position:
    return Position(term, index)
