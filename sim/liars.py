"""Committee members that lie: every signature they can make, to whomever it may hurt."""

import random
from collections.abc import Sequence
from enum import Enum

from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.certificates import Verifier
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.judging import root_due
from ambientd.consensus.messages import (
    Append,
    Blocks,
    Header,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    append_payload,
    block_hash,
    decode_message,
    records_root,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions
from sim.machine import Effect
from sim.replica import RECORD_PREFIX, Replica

REMEMBERED = 24
STALE_CHOICES = 4


class Lie(Enum):
    """What a liar may do, each by chance."""

    EQUIVOCATE = "proposes several blocks at one position"
    STALE = "proposes on old certificates"
    VOTE_ANYTHING = "votes for whatever it sees"
    HIDE = "times out admitting only an old certificate"
    SELECTIVE = "sends to some and not to others"


class Liar(Replica):
    """Follows the log with an honest machine, and lies beside it."""

    def __init__(
        self, options: ConsensusOptions, signer: Signer, seed: int, lies: frozenset[Lie]
    ) -> None:
        super().__init__(options, signer, seed)
        self.is_honest = False
        self.lies = lies
        self._dice = random.Random(seed + 1)
        self._number = options.members.index(options.self_id)
        self._headers: dict[bytes, Header] = {}
        self._qcs: dict[QuorumCertificate, None] = {}
        self._tcs: dict[int, TimeoutCertificate] = {}
        self._ballots: dict[bytes, tuple[Append, dict[int, bytes]]] = {}
        self._serial = 0

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect]:
        """Learn from a message, answer it honestly, and lie on top."""
        message = decode_message(data)
        lies: list[Effect] = []
        match message:
            case Append():
                self._learn(message)
                if Lie.VOTE_ANYTHING in self.lies:
                    lies.append(Send(message.header.proposer, self._vote(message)))
            case Blocks():
                for block in message.blocks:
                    self._learn(block)
            case QcNotice():
                self._learn_certificates(message.qc, message.tc)
            case Timeout():
                self._learn_certificates(message.high_qc, message.tc)
            case Vote():
                lies += self._count(message)
            case _:
                pass
        effects = [*self.receive_message(sender, message, now), *lies]
        return self._twist(effects)

    def tick(self, now: int) -> Sequence[Effect]:
        """Let time pass, and sometimes propose out of turn with the rules, in turn with none."""
        effects = list(super().tick(now))
        if self._is_its_turn() and Lie.STALE in self.lies and self._dice.randrange(3) == 0:
            effects += self._forge()
        return self._twist(effects)

    def _is_its_turn(self) -> bool:
        return self.machine is not None and self.machine.is_coordinator

    def _twist(self, effects: Sequence[Effect]) -> list[Effect]:
        """Turn honest effects into lies."""
        twisted: list[Effect] = []
        for effect in effects:
            twisted.append(effect)
            if not isinstance(effect, Broadcast):
                continue
            message = effect.message
            if isinstance(message, Append):
                self._learn(message)
                is_first = message.qc.position.term != message.header.term
                if is_first and Lie.STALE in self.lies and self._dice.randrange(2):
                    twisted[-1:] = self._forge()  # before anyone has voted in the term
                elif Lie.EQUIVOCATE in self.lies and self._dice.randrange(3) == 0:
                    twin = self._propose(message.qc, message.tc, message.header.term)
                    if twin is not None:
                        twisted[-1:] = self._split(message, twin)
            elif isinstance(message, Timeout) and Lie.HIDE in self.lies:
                twisted[-1] = Broadcast(self._hiding(message))
        return [effect for effect in twisted if not self._withholds(effect)]

    def _withholds(self, effect: Effect) -> bool:
        return (
            Lie.SELECTIVE in self.lies
            and isinstance(effect, Broadcast | Send)
            and self._dice.randrange(4) == 0
        )

    def _others(self) -> list[bytes]:
        return [key for key in self.options.members if key != self.key]

    def _split(self, first: Append, second: Append) -> list[Effect]:
        """Show one block to some and its twin to others, or both to all in any order."""
        if self._dice.randrange(2):
            both: list[Effect] = [Broadcast(first), Broadcast(second)]
            return both if self._dice.randrange(2) else both[::-1]
        return [Send(k, first if self._dice.randrange(2) else second) for k in self._others()]

    def _learn(self, append: Append) -> None:
        self._headers[block_hash(append.header)] = append.header
        self._learn_certificates(append.qc, append.tc)

    def _learn_certificates(self, qc: QuorumCertificate, tc: TimeoutCertificate | None) -> None:
        self._qcs[qc] = None
        while len(self._qcs) > REMEMBERED:
            del self._qcs[next(iter(self._qcs))]
        if tc is not None:
            self._tcs[tc.term] = tc
            self._learn_certificates(tc.max_qc, None)

    def _vote(self, append: Append) -> Vote:
        header, hash_, parent_term = (
            append.header,
            block_hash(append.header),
            append.qc.position.term,
        )
        payload = vote_payload(self.options.epoch, header.position, parent_term, hash_)
        signature = self._signer.sign("vote", payload)
        return Vote(header.position, parent_term, hash_, self._number, signature)

    def _hiding(self, honest: Timeout) -> Timeout:
        """Admit less than is known; the term must still look begun."""
        lower = [qc for qc in self._qcs if qc.position < honest.high_position]
        if not lower or honest.tc is None:
            return honest
        qc = lower[self._dice.randrange(len(lower))]
        payload = timeout_payload(self.options.epoch, honest.term, qc.position)
        signature = self._signer.sign("timeout", payload)
        return Timeout(honest.term, qc.position, self._number, signature, qc, honest.tc)

    def _forge(self) -> list[Effect]:
        """Propose in its own term on some old certificate, with or without its excuse."""
        assert self.machine is not None
        term = self.machine.term
        qcs = sorted(self._qcs, key=lambda qc: qc.position)[-STALE_CHOICES:-1]
        if not qcs:
            return []
        tc = self._tcs.get(term - 1) if self._dice.randrange(2) else None
        append = self._propose(qcs[self._dice.randrange(len(qcs))], tc, term)
        return [] if append is None else [Broadcast(append)]

    def _propose(
        self, qc: QuorumCertificate, tc: TimeoutCertificate | None, term: int
    ) -> Append | None:
        """Sign a block of its own making and open a ballot for it."""
        due = root_due(qc)
        root = b"" if due is None else self.store.state_root(due)
        parent = self._headers.get(qc.hash)
        revealed = self._revealed(qc.hash)
        if root is None or revealed is None:
            return None
        self._serial += 1
        records = (RECORD_PREFIX + b"forged %d" % self._serial,)
        header = Header(
            term,
            qc.position.index + 1,
            qc.hash,
            1_700_000_000_000 if parent is None else parent.time_ms + 1,
            records_root(records),
            beacon.reveal(self.options.beacon_secret, revealed),
            root,
            self.key,
        )
        hash_ = block_hash(header)
        signature = self._signer.sign("append", append_payload(self.options.epoch, hash_))
        append = Append(header, qc, tc, records, signature)
        self._headers[hash_] = header
        vote = self._vote(append)
        self._ballots[hash_] = (append, {self._number: vote.signature})
        return append

    def _revealed(self, hash_: bytes) -> int | None:
        """Count its own blocks below a hash; None when a header on the way is unknown."""
        count = 0
        while (header := self._headers.get(hash_)) is not None:
            count += header.proposer == self.key
            if header.index == 1:
                return count
            hash_ = header.parent_hash
        return 0 if not self._headers or hash_ == self._genesis() else None

    def _genesis(self) -> bytes:
        assert self.machine is not None
        return Verifier(self.options, self.machine.committee).genesis.hash

    def _count(self, vote: Vote) -> list[Effect]:
        """Collect votes for forged blocks; a certificate goes to all, and is built upon."""
        ballot = self._ballots.get(vote.hash)
        if ballot is None or self.machine is None:
            return []
        append, votes = ballot
        votes[vote.member] = vote.signature
        if len(votes) < self.machine.committee.quorum:
            return []
        del self._ballots[vote.hash]
        parent_term = append.qc.position.term
        qc = QuorumCertificate(
            append.header.position, parent_term, vote.hash, tuple(sorted(votes.items()))
        )
        self._learn_certificates(qc, None)
        child = self._propose(qc, None, append.header.term)
        return [Broadcast(QcNotice(qc, None)), *([] if child is None else [Broadcast(child)])]
