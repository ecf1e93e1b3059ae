"""Counting: votes towards a quorum certificate, time-outs towards an election."""

from ambientd.consensus.block_tree import Block
from ambientd.consensus.certificates import Committee
from ambientd.consensus.messages import QuorumCertificate, Timeout, TimeoutCertificate, Vote


class Ballot:
    """The votes for the one block that this coordinator has under way."""

    def __init__(self, committee: Committee, block: Block, now: int) -> None:
        self._committee = committee
        self._votes: dict[int, bytes] = {}
        self.block = block
        self.opened_at = now

    def is_for(self, vote: Vote) -> bool:
        """Tell whether a vote names this very block and its parent."""
        block = self.block
        parent_term = block.append.qc.position.term
        return (vote.position, vote.hash, vote.parent_term) == (
            block.position,
            block.hash,
            parent_term,
        )

    def has(self, member: int) -> bool:
        """Tell whether this member's vote is counted."""
        return member in self._votes

    def count(self, vote: Vote) -> QuorumCertificate | None:
        """Count a verified vote; give the certificate once q are in."""
        self._votes[vote.member] = vote.signature
        if len(self._votes) < self._committee.quorum:
            return None
        signatures = tuple(sorted(self._votes.items()))
        return QuorumCertificate(vote.position, vote.parent_term, vote.hash, signatures)


class TimeoutTally:
    """The time-outs of one term, the first of each member."""

    def __init__(self, committee: Committee, term: int) -> None:
        self._committee = committee
        self._timeouts: dict[int, Timeout] = {}
        self.term = term

    def has(self, member: int) -> bool:
        """Tell whether this member's time-out is counted."""
        return member in self._timeouts

    def count(self, timeout: Timeout) -> None:
        """Count a verified time-out of this term."""
        self._timeouts.setdefault(timeout.member, timeout)

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody has given the term up."""
        return not self._timeouts

    @property
    def is_joined(self) -> bool:
        """Tell whether so many have given up that every member should."""
        return len(self._timeouts) >= self._committee.joining

    def certificate(self) -> TimeoutCertificate | None:
        """Give the election certificate once q are in."""
        if len(self._timeouts) < self._committee.quorum:
            return None
        timeouts = [self._timeouts[member] for member in sorted(self._timeouts)]
        entries = tuple((t.member, t.high_position, t.signature) for t in timeouts)
        highest = max(timeouts, key=lambda timeout: timeout.high_position)
        return TimeoutCertificate(self.term, entries, highest.high_qc)
