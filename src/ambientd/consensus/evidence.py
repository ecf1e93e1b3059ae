"""Remembers recent signatures and finds the pairs that convict (protocols/05-log.md section 9).

Recent is what a signature says, not when it came: whoever shows old certificates again pushes
nothing newer out.
"""

from typing import Any

from ambientd.consensus.messages import (
    GENESIS,
    EquivocalBlocks,
    EquivocalVotes,
    Evidence,
    Header,
    HiddenCertificate,
    Position,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
)

BLOCKS_MAX = 256
VOTES_PER_MEMBER_MAX = 64
TIMEOUTS_PER_MEMBER_MAX = 16
SPARE_PART = 4  # this part more is kept until the lowest go at once: to find them takes long
_NO_VOTES: dict[Position, Vote] = {}


class EvidenceWatch:
    """Takes in verified signatures; gives evidence the moment a second one contradicts."""

    def __init__(self) -> None:
        self._blocks: dict[Position, tuple[Header, bytes]] = {}
        self._votes: dict[int, dict[Position, Vote]] = {}
        self._highest_parents: dict[int, Position] = {}
        self._timeouts: dict[int, dict[int, Timeout]] = {}

    def has_signed(self, member: int) -> bool:
        """Tell whether any vote or time-out of a member came."""
        return member in self._votes or member in self._timeouts

    def saw_block(self, header: Header, signature: bytes) -> Evidence | None:
        """Take in a proposal."""
        first = self._blocks.setdefault(header.position, (header, signature))
        if first[0] != header and first[0].proposer == header.proposer:
            return EquivocalBlocks(first[0], first[1], header, signature)
        _forget_lowest(self._blocks, BLOCKS_MAX)
        return None

    def saw_vote(self, vote: Vote) -> Evidence | None:
        """Take in a vote."""
        votes = self._votes.get(vote.member)
        if votes is None:
            votes = self._votes[vote.member] = {}
        first = votes.setdefault(vote.position, vote)
        if first.parent_term < vote.parent_term:
            # Whoever first names a lower parent than the block's would hide nothing by a time-out.
            votes[vote.position] = vote
        _forget_lowest(votes, VOTES_PER_MEMBER_MAX)
        highest = self._highest_parents.get(vote.member, GENESIS)
        self._highest_parents[vote.member] = max(highest, vote.parent_position)
        if first.hash != vote.hash:
            return EquivocalVotes(first, vote)
        timeouts = self._timeouts.get(vote.member)
        if not timeouts or max(timeouts) < vote.position.term:
            return None
        for timeout in timeouts.values():
            if _hides(vote, timeout):
                return _hidden(vote, timeout)
        return None

    def saw_qc(self, qc: QuorumCertificate) -> list[Evidence]:
        """Take in the votes inside a certificate."""
        found: list[Evidence] = []
        for member, signature in qc.signatures:
            known = self._votes.get(member, _NO_VOTES).get(qc.position)
            if known is not None and (known.hash, known.parent_term) == (qc.hash, qc.parent_term):
                continue  # this very vote, held against all that its member said when it came
            evidence = self.saw_vote(Vote(qc.position, qc.parent_term, qc.hash, member, signature))
            if evidence is not None:
                found.append(evidence)
        return found

    def saw_tc(self, tc: TimeoutCertificate) -> list[Evidence]:
        """Take in the time-outs inside a certificate, which may have come in no other way."""
        found: list[Evidence] = []
        for member, high, signature in tc.entries:
            timeout = Timeout(tc.term, high, member, signature, tc.max_qc, None)
            evidence = self.saw_timeout(timeout)
            if evidence is not None:
                found.append(evidence)
        return found

    def saw_timeout(self, timeout: Timeout) -> Evidence | None:
        """Take in a time-out; of those that convict for the same votes, one is kept."""
        timeouts = self._timeouts.setdefault(timeout.member, {})
        if not any(_covers(known, timeout) for known in timeouts.values()):
            for term in [term for term, known in timeouts.items() if _covers(timeout, known)]:
                del timeouts[term]
            timeouts[timeout.term] = timeout
            _forget_lowest(timeouts, TIMEOUTS_PER_MEMBER_MAX)
        if timeout.high_position >= self._highest_parents.get(timeout.member, GENESIS):
            return None  # it hides none of the parents that its member voted on
        for vote in self._votes.get(timeout.member, _NO_VOTES).values():
            if _hides(vote, timeout):
                return _hidden(vote, timeout)
        return None


def _forget_lowest(kept: dict[Any, Any], most: int) -> None:
    """Keep at least the `most` of the highest positions or terms, in whatever order they came."""
    if len(kept) > most + most // SPARE_PART:
        for lowest in sorted(kept)[:-most]:
            del kept[lowest]


def _covers(timeout: Timeout, other: Timeout) -> bool:
    """Tell whether each vote that another time-out convicts for is one for this one as well."""
    return timeout.term >= other.term and timeout.high_position <= other.high_position


def _hides(vote: Vote, timeout: Timeout) -> bool:
    return vote.position.term <= timeout.term and timeout.high_position < vote.parent_position


def _hidden(vote: Vote, timeout: Timeout) -> Evidence:
    return HiddenCertificate(vote, timeout.term, timeout.high_position, timeout.signature)
