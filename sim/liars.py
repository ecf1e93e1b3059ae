"""Committee members that lie: every signature they can make, to whomever it may hurt."""

import random
from collections.abc import Container, Sequence

from ambientd.codec.signing import Signer
from ambientd.consensus import beacon
from ambientd.consensus.certificates import Verifier
from ambientd.consensus.effects import Broadcast, Send
from ambientd.consensus.judging import root_due
from ambientd.consensus.messages import (
    Append,
    Blocks,
    Header,
    Message,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    block_hash,
    decode_message,
    records_root,
    timeout_payload,
)
from ambientd.consensus.options import ConsensusOptions
from ambientd.consensus.record_pool import RecordPool
from ambientd.rules.verdicts import quorum
from sim.crooked import crooked, signed_append, stall
from sim.forged import certified_alone, timeouts_of, vote_for
from sim.games import Games
from sim.lies import CROOKED, OUT_OF_TURN, Lie
from sim.machine import Effect
from sim.replica import RECORD_PREFIX, Replica

REMEMBERED = 24
STALE_CHOICES = 4


class _Ignored(RecordPool):
    """Keeps records and proposes none."""

    def __init__(self, options: ConsensusOptions, told: set[Lie]) -> None:
        super().__init__(options)
        self._told = told

    def batch(self, excluded: Container[bytes]) -> tuple[bytes, ...]:
        """Choose nothing."""
        if super().batch(excluded):
            self._told.add(Lie.CENSOR)
        return ()


class Liar(Replica):
    """Follows the log with an honest machine, and lies beside it."""

    def __init__(
        self, options: ConsensusOptions, signer: Signer, seed: int, lies: frozenset[Lie]
    ) -> None:
        super().__init__(options, signer, seed)
        self.is_honest = False
        self.lies = lies
        self.told: set[Lie] = set()  # those that it has told so far
        self._dice = random.Random(seed + 1)
        self._now = 0
        self._number = options.members.index(options.self_id)
        self._headers: dict[bytes, Header] = {}
        self._own_below: dict[bytes, int] = {}
        self._qcs: dict[QuorumCertificate, None] = {}
        self._tcs: dict[int, TimeoutCertificate] = {}
        self._ballots: dict[bytes, tuple[Append, dict[int, bytes]]] = {}
        self._serial = 0
        self._games = Games(self.key, lies, random.Random(seed + 2), self.told)

    def boot(self, now: int) -> Sequence[Effect]:
        """Start; who does nothing but censor coordinates as it should, with empty blocks."""
        effects = super().boot(now)
        self._corrupt()
        return self._held_back(effects, now)

    def _corrupt(self) -> None:
        """Let the machine itself do what no message of others is needed for."""
        if self.lies == {Lie.CENSOR} and self.machine is not None:
            self.machine._pool = _Ignored(self.options, self.told)
        if Lie.STALL in self.lies and self.machine is not None:
            stall(self.machine, self.told)

    def settle(self, now: int) -> Sequence[Effect]:
        """Go on after commits, with its games."""
        self._now = now
        return self._held_back(super().settle(now), now)

    def receive(self, sender: bytes, data: bytes, now: int) -> Sequence[Effect]:
        """Learn from a message, answer it honestly, and lie on top."""
        message = decode_message(data)
        self._now = now
        lies: list[Effect] = list(self._play(message))
        match message:
            case Append():
                self._learn(message)
                if Lie.VOTE_ANYTHING in self.lies:
                    self.told.add(Lie.VOTE_ANYTHING)
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
        self._now = now
        effects = list(super().tick(now))
        if self._is_its_turn() and Lie.STALE in self.lies and self._dice.randrange(3) == 0:
            effects += self._forge()
        elif not self._is_its_turn() and self.machine is not None:
            effects += self._meddle()
        due = self._labelled(self._games.due(now))
        return [*due, *self._twist(effects), *self._labelled(self._games.replayed())]

    def _labelled(self, effects: Sequence[Effect]) -> list[Effect]:
        """Give what is said as it travels; in the first epoch as it is."""
        return list(effects)

    def _held_back(self, effects: Sequence[Effect], now: int) -> list[Effect]:
        """Keep back what its games want kept back."""
        return self._games.held_back(effects, self._others(), self._quorum, now)

    @property
    def next_deadline(self) -> int | None:
        """Give when the machine wants its next tick, or something kept back is let go."""
        due = [at for at in (super().next_deadline, self._games.next_due) if at is not None]
        return min(due, default=None)

    def crash(self) -> None:
        """Lose the machine, and what was kept back."""
        super().crash()
        self._games.forget()

    def _play(self, message: Message) -> list[Effect]:
        """Make what can be made of the signatures of others."""
        if self.machine is None or self.machine.options.epoch != self.options.epoch:
            return []
        committee = self.machine.committee
        shown = self._games.heard(message, committee.quorum)
        tc = next((each.tc for each in shown if each.tc is not None), None)
        effects: list[Effect] = [Broadcast(each) for each in shown]
        if tc is not None and committee.coordinator(tc.term + 1) == self.key:
            self._learn_certificates(tc.max_qc, tc)
            append = self._propose(tc.max_qc, tc, tc.term + 1)
            effects += [] if append is None else [Broadcast(append)]
        return effects

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
                elif self.lies != {Lie.CENSOR} and (crook := self._draw(CROOKED, 4)) is not None:
                    self.told.add(crook)
                    twisted[-1] = Broadcast(self._bent(message, crook))
                elif self._draw((Lie.FORGE_CERTIFICATE,), 6) is not None:
                    self.told.add(Lie.FORGE_CERTIFICATE)
                    twisted += self._certify_alone(message)
                elif Lie.EQUIVOCATE in self.lies and self._dice.randrange(3) == 0:
                    twin = self._propose(message.qc, message.tc, message.header.term)
                    if twin is not None:
                        self.told.add(Lie.EQUIVOCATE)
                        twisted[-1:] = self._split(message, twin)
            elif isinstance(message, Timeout) and Lie.HIDE in self.lies:
                twisted[-1] = Broadcast(self._hiding(message))
        kept = [effect for effect in twisted if not self._withholds(effect)]
        return self._held_back(kept, self._now)

    @property
    def _quorum(self) -> int:
        return quorum(len(self.options.members))

    def _draw(self, lies: tuple[Lie, ...], one_in: int) -> Lie | None:
        """Give one of these lies if it is among its own, and only now and then."""
        own = [lie for lie in lies if lie in self.lies]
        return self._dice.choice(own) if own and self._dice.randrange(one_in) == 0 else None

    def _meddle(self) -> list[Effect]:
        """Now and then, act in the term of another."""
        machine = self.machine
        assert machine is not None
        lie, said = self._draw(OUT_OF_TURN, 10), list[Effect]()
        tc = self._tcs.get(machine.term - 1)
        if lie is Lie.FORGE_TIMEOUT and (machine.term == 1 or tc is not None):
            said += [Broadcast(each) for each in self._timeouts_of_others(tc)]
        elif lie in (Lie.USURP, Lie.IMPERSONATE):
            append = self._propose(
                machine.high_qc, tc, machine.term, is_impersonating=lie is Lie.IMPERSONATE
            )
            said += [] if append is None else [Broadcast(append)]
        if lie is not None and said:
            self.told.add(lie)
        return said

    def _timeouts_of_others(self, tc: TimeoutCertificate | None) -> list[Timeout]:
        assert self.machine is not None
        numbers = [n for n in range(len(self.options.members)) if n != self._number]
        high = self.machine.high_qc, tc
        return timeouts_of(numbers, self.machine.term, high, self._signer, self.options.epoch)

    def _certify_alone(self, append: Append) -> list[Effect]:
        """Certify the own block, and one on top of it, with nobody's votes but its own."""
        first = self._alone(append)
        child = self._propose(first, None, append.header.term)
        if child is None:
            return []
        return [Broadcast(child), Broadcast(QcNotice(self._alone(child), None))]

    def _alone(self, append: Append) -> QuorumCertificate:
        vote = self._vote(append)
        assert self.machine is not None
        quorum = self.machine.committee.quorum
        repeats = self._dice.randrange(2)
        return certified_alone(vote, [self._number] * quorum if repeats else range(quorum))

    def _withholds(self, effect: Effect) -> bool:
        does = (
            Lie.SELECTIVE in self.lies
            and isinstance(effect, Broadcast | Send)
            and self._dice.randrange(4) == 0
        )
        if does:
            self.told.add(Lie.SELECTIVE)
        return does

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
        return vote_for(append, self._number, self._signer, self.options.epoch)

    def _hiding(self, honest: Timeout) -> Timeout:
        """Admit less than is known; the term must still look begun."""
        lower = [qc for qc in self._qcs if qc.position < honest.high_position]
        if not lower or honest.tc is None:
            return honest
        qc = lower[self._dice.randrange(len(lower))]
        payload = timeout_payload(self.options.epoch, honest.term, qc.position)
        signature = self._signer.sign("timeout", payload)
        self.told.add(Lie.HIDE)
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
        if append is None:
            return []
        self.told.add(Lie.STALE)
        return [Broadcast(append)]

    def _propose(
        self,
        qc: QuorumCertificate,
        tc: TimeoutCertificate | None,
        term: int,
        *,
        is_impersonating: bool = False,
    ) -> Append | None:
        """Sign a block of its own making and open a ballot for it."""
        due = root_due(qc)
        root = b"" if due is None else self.store.state_root(due)
        parent = self._headers.get(qc.hash)
        revealed = self._revealed(qc.hash)
        if root is None or revealed is None:
            return None
        records = self._records(None)
        header = Header(
            term,
            qc.position.index + 1,
            qc.hash,
            1_700_000_000_000 if parent is None else parent.time_ms + 1,
            records_root(records),
            beacon.reveal(self.options.beacon_secret, revealed),
            root,
            self._coordinator(term) if is_impersonating else self.key,
        )
        return self._signed(Append(header, qc, tc, records, b""))

    def _bent(self, honest: Append, crook: Lie) -> Append:
        """Make an honest proposal crooked in one respect."""
        named = self._records(crook)
        body = self._records(None) if crook is Lie.SWAP_BODY else named
        return self._signed(crooked(honest, crook, named, body))

    def _signed(self, append: Append) -> Append:
        """Sign a proposal and open a ballot for it."""
        hash_ = block_hash(append.header)
        signed = signed_append(append, self._signer, self.options.epoch)
        self._headers[hash_] = append.header
        self._ballots[hash_] = (signed, {self._number: self._vote(signed).signature})
        return signed

    def _records(self, crook: Lie | None) -> tuple[bytes, ...]:
        self._serial += 1
        record = RECORD_PREFIX + b"forged %d" % self._serial
        match crook:
            case Lie.CENSOR:
                return ()
            case Lie.GARBAGE:
                return (b"garbage",)
            case Lie.REPEAT:
                return (record, record)
            case _:
                return (record,)

    def _coordinator(self, term: int) -> bytes:
        assert self.machine is not None
        return self.machine.committee.coordinator(term)

    def _revealed(self, hash_: bytes) -> int | None:
        """Count its own blocks below a hash; None when a header on the way is unknown."""
        way: list[bytes] = []
        while (header := self._headers.get(hash_)) is not None:
            way.append(hash_)
            if header.index == 1 or header.parent_hash in self._own_below:
                count = self._own_below.get(header.parent_hash, 0)
                for known in reversed(way):
                    count += self._headers[known].proposer == self.key
                    self._own_below[known] = count
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
