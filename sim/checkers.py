"""What must hold in every world, judged from outside: by what is sent, persisted and committed.

Of the protocol's code these checkers hold its messages and how those are decoded and hashed;
signatures, quorums and turns are judged apart (`sim.judge`). No checker knows which scenario runs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ambientd.consensus.effects import Committed, CommittedBlock, EvidenceFound
from ambientd.consensus.messages import (
    GENESIS,
    Append,
    Blocks,
    Header,
    Message,
    Position,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    block_hash,
    decode_message,
)
from ambientd.consensus.options import ConsensusOptions
from sim.disk import DiskLost
from sim.judge import Judge
from sim.machine import Delivery, Effect, Host
from sim.replica import Replica

Kinds: TypeAlias = tuple[type, ...] | None


class InvariantViolation(AssertionError):  # noqa: N818  # a finding, not a fault of the code
    """A world broke a promise; carries the promise's name."""

    def __init__(self, invariant: str, text: str) -> None:
        super().__init__(f"{invariant}: {text}")
        self.invariant = invariant


class Checker:
    """Sees everything; judges nothing by itself.

    `effects` names the kinds of effects that it judges, `messages` those of messages; None is all
    of them.
    """

    effects: Kinds = None
    messages: Kinds = None

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Decode what a node sends and pass it on."""
        self.saw_message(node, decode_message(delivery.data), now)

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Look at a message once, however many receive it."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look at an effect before it is carried out."""


class Together(Checker):
    """Shows a log to several checkers, each message decoded once, to each only what it judges."""

    def __init__(self, checkers: Sequence[Checker]) -> None:
        blind = Checker.saw_effect
        talk = [each for each in checkers if type(each).saw_message is not Checker.saw_message]
        self._hears = talk
        self._hears_kind: dict[type, list[Callable[[Host, Message, int], None]]] = {}
        self._sees = [each for each in checkers if type(each).saw_effect is not blind]
        self._by_kind: dict[type, list[Callable[[Host, Effect, int], None]]] = {}

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Pass a message on."""
        kind = type(message)
        hearing = self._hears_kind.get(kind)
        if hearing is None:
            hearing = [
                each.saw_message
                for each in self._hears
                if each.messages is None or issubclass(kind, each.messages)
            ]
            self._hears_kind[kind] = hearing
        for hear in hearing:
            hear(node, message, now)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Pass an effect on to who judges its kind."""
        kind = type(effect)
        watching = self._by_kind.get(kind)
        if watching is None:
            watching = [
                each.saw_effect
                for each in self._sees
                if each.effects is None or issubclass(kind, each.effects)
            ]
            self._by_kind[kind] = watching
        for see in watching:
            see(node, effect, now)


@dataclass(slots=True)
class _Voter:
    last_vote: Vote | None = None
    timed_out: int = 0


class VoteDiscipline(Checker):
    """No vote after a time-out, none at or below an earlier one, also across crashes."""

    messages: Kinds = (Vote, Timeout)

    def __init__(self) -> None:
        self._voters: dict[bytes, _Voter] = {}

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Judge votes and time-outs of honest nodes."""
        if not node.is_honest:
            return
        voter = self._voters.setdefault(node.key, _Voter())
        if isinstance(message, Timeout):
            voter.timed_out = max(voter.timed_out, message.term)
        elif isinstance(message, Vote):
            last = voter.last_vote
            if message.position.term <= voter.timed_out:
                text = f"at {now} ms, {message.position} after timing out in {voter.timed_out}"
                raise InvariantViolation("no vote after a time-out", text)
            if last is not None and message.position <= last.position and message != last:
                text = f"at {now} ms, {message.position} after {last.position}"
                raise InvariantViolation("votes only climb", text)
            voter.last_vote = message


class OneProposal(Checker):
    """An honest coordinator never proposes two blocks at one position, crashes or not."""

    messages: Kinds = (Append,)

    def __init__(self) -> None:
        self._proposed: dict[Position, bytes] = {}

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Judge the proposals that honest nodes sign."""
        if node.is_honest and isinstance(message, Append) and message.header.proposer == node.key:
            hash_ = block_hash(message.header)
            position = message.header.position
            if self._proposed.setdefault(position, hash_) != hash_:
                text = f"two blocks at {position}, the second at {now} ms"
                raise InvariantViolation("one proposal a position", text)


class JustifiedVotes(Checker):
    """An honest vote for a term's first block has a time-out certificate that allows the parent."""

    messages: Kinds = (Append, Blocks, Vote)

    def __init__(self, options: ConsensusOptions) -> None:
        self._judge = Judge(options)
        self._justified: set[bytes] = set()

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Judge votes by the proposals seen before."""
        for append in blocks_in(message):
            header, parent, tc = append.header, append.qc.position, append.tc
            allowed = header.term in (1, parent.term)
            if tc is not None and tc.term + 1 == header.term and self._judge.tc_holds(tc):
                allowed = allowed or parent >= max(entry[1] for entry in tc.entries)
            if allowed:
                self._justified.add(block_hash(header))
        if node.is_honest and isinstance(message, Vote) and message.hash not in self._justified:
            text = f"a vote at {message.position}, {now} ms"
            raise InvariantViolation("votes in a new term are justified", text)


class Leapt(Committed, frozen=True):
    """A node went over to the state after a block, without those before it."""


class Agreement(Checker):
    """All commit the same blocks in the same order, once, and with equal state roots."""

    effects: Kinds = (Committed, DiskLost)

    def __init__(self) -> None:
        self._committed: dict[int, bytes] = {}
        self._heads: dict[bytes, int] = {}
        self._roots: dict[int, bytes] = {}

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge commits of honest nodes."""
        if isinstance(effect, DiskLost):
            self._heads[node.key] = 0
        if not node.is_honest or not isinstance(effect, Committed):
            return
        if isinstance(effect, Leapt):
            self._saw_leap(node, effect.blocks[0], now)
            return
        for block in effect.blocks:
            self._saw_block(node, block, now)

    def _saw_leap(self, node: Host, block: CommittedBlock, now: int) -> None:
        """Judge a snapshot: ahead of the node, and of a block that is on the one log there is."""
        if block.index <= self._heads.get(node.key, 0):
            text = f"a leap back to index {block.index} at {now} ms"
            raise InvariantViolation("a committed prefix is durable", text)
        self._heads[node.key] = block.index
        if self._committed.setdefault(block.index, block.hash) != block.hash:
            text = f"a snapshot after another block at index {block.index} by {now} ms"
            raise InvariantViolation("agreement", text)

    def _saw_block(self, node: Host, block: CommittedBlock, now: int) -> None:
        expected = self._heads.get(node.key, 0) + 1
        if block.index != expected:
            text = f"index {block.index} instead of {expected} at {now} ms"
            raise InvariantViolation("a committed prefix is durable", text)
        self._heads[node.key] = block.index
        if self._committed.setdefault(block.index, block.hash) != block.hash:
            text = f"two blocks committed at index {block.index} by {now} ms"
            raise InvariantViolation("agreement", text)

    def check_roots(self, replica: Replica) -> None:
        """Compare a node's ledger with everyone's."""
        for index, root in enumerate(replica.store.roots):
            if self._roots.setdefault(index, root) != root:
                text = f"two state roots at index {index}"
                raise InvariantViolation("equal state roots", text)


class CommitProofs(Checker):
    """A commit carries what proves it: two certified blocks in a row, of one term."""

    effects: Kinds = (Committed,)

    def __init__(self, options: ConsensusOptions) -> None:
        self._judge = Judge(options)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge the proofs that honest nodes hand to their hosts."""
        if not node.is_honest or not isinstance(effect, Committed):
            return
        child = None
        for block in reversed(effect.blocks):
            linked = block.child.parent_hash == block.hash == block.qc.hash
            linked = linked and block.child_qc.hash == block_hash(block.child)
            signed = self._judge.qc_holds(block.qc) and self._judge.qc_holds(block.child_qc)
            direct = block.block.header.term == block.child.term
            if not (linked and signed and (direct or child is not None)):
                raise InvariantViolation("a commit is proven", f"index {block.index}, {now} ms")
            child = block


class Certificates(Checker):
    """One certificate a position; whatever is certified later contains what is committed."""

    effects: Kinds = (Committed,)
    messages: Kinds = (Append, Blocks, QcNotice, Timeout)

    def __init__(self, options: ConsensusOptions) -> None:
        self._judge = Judge(options)
        self._headers: dict[bytes, Header] = {}
        self._certified: dict[Position, bytes] = {GENESIS: self._judge.genesis.hash}
        self._open: set[Position] = set()  # certified above the highest commit
        self._top: tuple[Position, bytes] = (GENESIS, self._judge.genesis.hash)

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Collect headers and certificates from whoever sends them."""
        del node
        for append in blocks_in(message):
            self._headers[block_hash(append.header)] = append.header
        for qc in certificates_in(message):
            known = self._certified.get(qc.position)
            if known == qc.hash or not self._judge.qc_holds(qc):
                continue
            if known is not None:
                text = f"two blocks certified at {qc.position} by {now} ms"
                raise InvariantViolation("one certificate a position", text)
            self._certified[qc.position] = qc.hash
            self._open.add(qc.position)
            self._check_complete(qc.position, qc.hash, now)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Remember the highest commit and hold it against higher certificates."""
        if not node.is_honest or not isinstance(effect, Committed):
            return
        for block in effect.blocks:
            self._headers[block.hash] = block.block.header
        for header, qc in () if effect.end is None else effect.end.links:
            self._headers[qc.hash] = header
        top = self._committing(effect)
        position = top[0]
        if position <= self._top[0]:
            return
        self._top = top
        for certified in sorted(each for each in self._open if each > position):
            self._check_complete(certified, self._certified[certified], now)
        self._open = {each for each in self._open if each > position}

    @staticmethod
    def _committing(effect: Committed) -> tuple[Position, bytes]:
        """Give the block that two certificates in a row commit, and with it its ancestors.

        A stop may be such an ancestor: terms failed behind it, and what was certified in one of
        them need not contain it.
        """
        if effect.end is None:
            return effect.blocks[-1].block.header.position, effect.blocks[-1].hash
        _, qc = effect.end.links[-2]
        return qc.position, qc.hash

    def _check_complete(self, position: Position, hash_: bytes, now: int) -> None:
        top, top_hash = self._top
        if position <= top:
            return
        while (header := self._headers.get(hash_)) is not None and header.index > top.index:
            hash_ = header.parent_hash
        if header is not None and hash_ != top_hash:
            text = f"the block certified at {position} lacks the commit at {top}, {now} ms"
            raise InvariantViolation("coordinator completeness", text)


def blocks_in(message: Message) -> Iterator[Append]:
    """Give the blocks that a message carries."""
    match message:
        case Append():
            yield message
        case Blocks():
            yield from message.blocks
        case _:
            pass


def certificates_in(message: Message) -> Iterator[QuorumCertificate]:
    """Give the certificates of votes that a message carries."""
    tc: TimeoutCertificate | None = None
    match message:
        case Append() | QcNotice():
            yield message.qc
            tc = message.tc
        case Timeout():
            yield message.high_qc
            tc = message.tc
        case Blocks():
            yield message.qc
            for block in message.blocks:
                yield block.qc
        case _:
            pass
    if tc is not None:
        yield tc.max_qc


class HonestAreInnocent(Checker):
    """No evidence ever convicts an honest key."""

    effects: Kinds = (EvidenceFound,)

    def __init__(self, honest: frozenset[bytes]) -> None:
        self._honest = honest
        self.convicted: set[bytes] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge who is convicted."""
        del node
        if isinstance(effect, EvidenceFound):
            self.convicted.add(effect.culprit)
            if effect.culprit in self._honest:
                kind = type(effect.evidence).__name__
                raise InvariantViolation("honest nodes are never convicted", f"{kind} at {now} ms")


def check_progress(replicas: list[Replica], heads_at_heal: dict[bytes, int]) -> None:
    """Soon after healing, every honest node commits on."""
    for replica in replicas:
        before = heads_at_heal[replica.key]
        if len(replica.store.log) < before + 5:
            text = f"a node went from {before} to {len(replica.store.log)} blocks"
            raise InvariantViolation("after healing, commits resume", text)


def check_nothing_lost(replicas: list[Replica]) -> None:
    """In the end, all that honest nodes wanted is in the log."""
    for replica in replicas:
        if replica.store.wanted:
            text = f"{len(replica.store.wanted)} records of a node never committed"
            raise InvariantViolation("a wanted record is committed", text)
