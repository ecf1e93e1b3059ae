"""The rules that no failure may bend: votes, time-outs, commits (protocols/05-log.md section 4).

`SafetyRules` holds no state. What it judges by is `SafetyState`, which the host has on disk
before any signature leaves the node.
"""

from enum import Enum

from msgspec import Struct

from ambientd.consensus.messages import (
    GENESIS,
    Header,
    Position,
    QuorumCertificate,
    TimeoutCertificate,
    Vote,
)


class SafetyState(Struct, frozen=True, array_like=True):
    """What a member must never forget."""

    high_qc: QuorumCertificate
    last_vote: Vote | None = None
    max_timed_out: int = 0
    last_proposed: Position = GENESIS
    tc: TimeoutCertificate | None = None

    @property
    def last_voted(self) -> Position:
        """Give the highest position voted for."""
        return self.last_vote.position if self.last_vote is not None else GENESIS

    @property
    def term(self) -> int:
        """Give the highest term that this state proves to have begun."""
        after_tc = self.tc.term + 1 if self.tc is not None else 1
        return max(after_tc, self.high_qc.position.term)


class Refusal(Enum):
    """Why a vote is not cast."""

    POSITION_NOT_NEW = "the position is not above the last one voted for"
    TERM_GIVEN_UP = "this member has timed out in the term"
    INDEX_GAP = "the index does not follow the certified parent's"
    TERM_NOT_JUSTIFIED = "the parent is of another term and no time-out certificate covers it"
    VOTED_IN_TERM = "a term's first block comes after a vote in that term"


class SafetyRules:
    """The vote rule, clause by clause, and the commit rule."""

    def position_is_new(self, state: SafetyState, header: Header) -> bool:
        """Tell whether the position is above the last vote's (clause 2)."""
        return header.position > state.last_voted

    def term_is_open(self, state: SafetyState, header: Header) -> bool:
        """Tell whether this member has not given the term up (clause 2)."""
        return header.term > state.max_timed_out

    def index_follows(self, header: Header, parent: QuorumCertificate) -> bool:
        """Tell whether the block stands on the certified parent (clause 3)."""
        return (
            header.index == parent.position.index + 1
            and header.parent_hash == parent.hash
            and header.term >= parent.position.term
        )

    def term_is_justified(
        self, header: Header, parent: QuorumCertificate, tc: TimeoutCertificate | None
    ) -> bool:
        """Tell whether the term may build on this parent (clause 4); certificates are verified."""
        if header.term in (parent.position.term, 1):
            return True
        if tc is None or tc.term != header.term - 1:
            return False
        return parent.position >= max(high for _, high, _ in tc.entries)

    def first_vote_in_term(
        self, state: SafetyState, header: Header, parent: QuorumCertificate
    ) -> bool:
        """Tell whether a term's first block comes before any vote in that term (clause 4)."""
        return parent.position.term == header.term or state.last_voted.term < header.term

    def refusal(
        self,
        state: SafetyState,
        header: Header,
        parent: QuorumCertificate,
        tc: TimeoutCertificate | None,
    ) -> Refusal | None:
        """Give the first clause that forbids a vote, or None when all allow it."""
        if not self.position_is_new(state, header):
            return Refusal.POSITION_NOT_NEW
        if not self.term_is_open(state, header):
            return Refusal.TERM_GIVEN_UP
        if not self.index_follows(header, parent):
            return Refusal.INDEX_GAP
        if not self.term_is_justified(header, parent, tc):
            return Refusal.TERM_NOT_JUSTIFIED
        if not self.first_vote_in_term(state, header, parent):
            return Refusal.VOTED_IN_TERM
        return None

    def admitted_qc(self, state: SafetyState, genesis: QuorumCertificate) -> QuorumCertificate:  # noqa: ARG002
        """Give the certificate that a time-out must show: the highest one known."""
        return state.high_qc

    def commits_parent(self, child: QuorumCertificate) -> bool:
        """Tell whether certifying this block commits its parent: both in the same term."""
        return child.parent_term == child.position.term
