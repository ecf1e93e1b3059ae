"""Who a fork convicts: more than f members, and nobody honest, by what they have signed alone."""

from collections import defaultdict

from ambientd.consensus.effects import Committed
from ambientd.consensus.messages import (
    Append,
    Blocks,
    Message,
    Position,
    QcNotice,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
)
from ambientd.consensus.options import ConsensusOptions
from sim.checkers import Checker, InvariantViolation, Kinds, certificates_in
from sim.judge import Judge, tolerated
from sim.machine import Effect, Host

Ballot = tuple[Position, int, bytes]


def parent_of(ballot: Ballot) -> Position:
    """Give the position of the parent that a vote names."""
    position, parent_term, _ = ballot
    return Position(parent_term, max(position.index - 1, 0))


def convicts(votes: set[Ballot], timeouts: dict[int, Position]) -> bool:
    """Tell whether a member's votes and lowest time-outs hold a pair that nobody honest signs."""
    hashes: dict[Position, bytes] = {}
    for position, _, hash_ in votes:
        if hashes.setdefault(position, hash_) != hash_:
            return True
    return any(
        term >= ballot[0].term and high < parent_of(ballot)
        for ballot in votes
        for term, high in timeouts.items()
    )


class Accountability(Checker):
    """Keeps every signature that was shown to anybody, and every commit of an honest member."""

    effects: Kinds = (Committed,)
    messages: Kinds = (Append, Blocks, QcNotice, Timeout, Vote)

    def __init__(self, options: ConsensusOptions, honest: frozenset[bytes]) -> None:
        self._judge = Judge(options)
        self._honest = honest
        self._votes: dict[int, set[Ballot]] = defaultdict(set)
        self._timeouts: dict[int, dict[int, Position]] = defaultdict(dict)
        self._committed: dict[int, bytes] = {}
        self._known: set[QuorumCertificate | TimeoutCertificate] = set()
        self.has_forked = False

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Compare what honest nodes commit at each height."""
        del now
        if node.is_honest and isinstance(effect, Committed):
            for block in effect.blocks:
                first = self._committed.setdefault(block.index, block.hash)
                self.has_forked = self.has_forked or first != block.hash

    def saw_message(self, node: Host, message: Message, now: int) -> None:
        """Collect votes and time-outs, those in certificates as well, whoever shows them."""
        del node, now
        match message:
            case Vote() as vote if self._judge.is_cast(vote):
                self._votes[vote.member].add((vote.position, vote.parent_term, vote.hash))
            case Timeout() as timeout if self._judge.gave_up(
                timeout.member, timeout.term, timeout.high_position, timeout.signature
            ):
                self._gave_up(timeout.member, timeout.term, timeout.high_position)
            case _:
                pass
        for qc in certificates_in(message):
            self._saw_qc(qc)
        blocks = message.blocks if isinstance(message, Blocks) else (message,)
        for each in blocks:
            if isinstance(each, Append | QcNotice | Timeout) and each.tc is not None:
                self._saw_tc(each.tc)

    def _saw_qc(self, qc: QuorumCertificate) -> None:
        if qc not in self._known and self._judge.qc_holds(qc):
            self._known.add(qc)
            for member, _ in qc.signatures:
                self._votes[member].add((qc.position, qc.parent_term, qc.hash))

    def _saw_tc(self, tc: TimeoutCertificate) -> None:
        if tc not in self._known and self._judge.tc_holds(tc):
            self._known.add(tc)
            for member, high, _ in tc.entries:
                self._gave_up(member, tc.term, high)

    def _gave_up(self, member: int, term: int, high: Position) -> None:
        known = self._timeouts[member]
        known[term] = min(high, known.get(term, high))

    @property
    def culprits(self) -> set[bytes]:
        """Give who has signed what nobody honest signs together."""
        members = self._judge.members
        numbers = self._votes.keys() | self._timeouts.keys()
        return {
            members[number]
            for number in numbers
            if convicts(self._votes[number], self._timeouts[number])
        }

    def check(self) -> None:
        """Judge the world at its end."""
        culprits, size = self.culprits, len(self._judge.members)
        if culprits & self._honest:
            text = f"{len(culprits & self._honest)} of {size} members are"
            raise InvariantViolation("nobody honest is named", text)
        if self.has_forked and len(culprits) <= tolerated(size):
            text = f"of {size} members it names {len(culprits)}"
            raise InvariantViolation("a fork names more than f", text)
