"""Who is in the committee, how many make a quorum, and whether a certificate holds (section 2)."""

import itertools

from ambientd.codec import signing
from ambientd.codec.digest import tagged
from ambientd.consensus.messages import (
    Append,
    EquivocalBlocks,
    EquivocalVotes,
    Evidence,
    Header,
    Position,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    append_payload,
    block_hash,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import ConsensusOptions
from ambientd.rules.verdicts import quorum, vouching

VERIFIED_MAX = 1024


def joining(size: int) -> int:
    """Give how many time-outs of others make a member give up the term too."""
    return vouching(size)


class Committee:
    """The members of one epoch by number, and the order in which they coordinate."""

    def __init__(self, members: tuple[bytes, ...], seed: bytes) -> None:
        self.members = members
        self.size = len(members)
        self.quorum = quorum(self.size)
        self.joining = joining(self.size)
        self._numbers = {key: number for number, key in enumerate(members)}
        self._order = sorted(members, key=lambda key: tagged("ambient/coordinator/1", seed, key))

    def number(self, key: bytes) -> int | None:
        """Give a member's number, or None for an outsider."""
        return self._numbers.get(key)

    def coordinator(self, term: int) -> bytes:
        """Give the one member that may propose in `term`."""
        return self._order[term % self.size]


def _key_of(number: int, members: tuple[bytes, ...]) -> bytes:
    """Give a member's key, or no key at all for a number outside the committee."""
    return members[number] if number < len(members) else b""


def votes_are_signed(
    qc: QuorumCertificate, cluster: bytes, epoch: int, members: tuple[bytes, ...]
) -> bool:
    """Tell whether each vote of a certificate is signed by the member that it names."""
    payload = vote_payload(epoch, qc.position, qc.parent_term, qc.hash)
    return all(
        signing.verify(_key_of(number, members), "vote", cluster, payload, signature)
        for number, signature in qc.signatures
    )


class Verifier:
    """Checks signatures against one committee; a certificate already seen costs nothing."""

    def __init__(self, options: ConsensusOptions, committee: Committee) -> None:
        self._cluster = options.cluster
        self._epoch = options.epoch
        self._committee = committee
        self.genesis = options.root
        self._verified: dict[QuorumCertificate | TimeoutCertificate, None] = {}

    def trust(self, certificate: QuorumCertificate | TimeoutCertificate) -> None:
        """Remember a certificate that was verified piece by piece."""
        self._verified[certificate] = None
        while len(self._verified) > VERIFIED_MAX:
            del self._verified[next(iter(self._verified))]

    def knows(self, certificate: QuorumCertificate | TimeoutCertificate) -> bool:
        """Tell whether this very certificate was verified before."""
        return certificate in self._verified

    def _key(self, number: int) -> bytes:
        return _key_of(number, self._committee.members)

    def _is_quorum(self, numbers: list[int]) -> bool:
        ascending = all(a < b for a, b in itertools.pairwise(numbers))
        return ascending and len(numbers) >= self._committee.quorum

    def block_is_signed(self, header: Header, signature: bytes, hash_: bytes) -> bool:
        """Tell whether the proposer named in the header signed it."""
        payload = append_payload(self._epoch, hash_)
        return signing.verify(header.proposer, "append", self._cluster, payload, signature)

    def append_is_signed(self, block: Append, hash_: bytes) -> bool:
        """Tell whether the proposer signed this block."""
        return self.block_is_signed(block.header, block.signature, hash_)

    def vote_is_signed(self, vote: Vote) -> bool:
        """Tell whether the named member cast this vote."""
        payload = vote_payload(self._epoch, vote.position, vote.parent_term, vote.hash)
        key = self._key(vote.member)
        return signing.verify(key, "vote", self._cluster, payload, vote.signature)

    def timeout_is_signed(
        self, term: int, high_position: Position, member: int, signature: bytes
    ) -> bool:
        """Tell whether the member gave up the term at this high position."""
        payload = timeout_payload(self._epoch, term, high_position)
        return signing.verify(self._key(member), "timeout", self._cluster, payload, signature)

    def qc_holds(self, qc: QuorumCertificate) -> bool:
        """Tell whether q distinct members voted for this block."""
        if qc == self.genesis or qc in self._verified:
            return True
        position = qc.position
        in_shape = 1 <= position.term >= qc.parent_term and position.index >= 1
        if not in_shape or not self._is_quorum([number for number, _ in qc.signatures]):
            return False
        if not votes_are_signed(qc, self._cluster, self._epoch, self._committee.members):
            return False
        self.trust(qc)
        return True

    def tc_holds(self, tc: TimeoutCertificate) -> bool:
        """Tell whether q distinct members gave up the term, none higher than `max_qc`."""
        if tc in self._verified:
            return True
        if tc.term < 1 or not self._is_quorum([number for number, _, _ in tc.entries]):
            return False
        if max(high for _, high, _ in tc.entries) != tc.max_qc.position:
            return False
        if tc.max_qc.position.term > tc.term or not self.qc_holds(tc.max_qc):
            return False
        if not all(self.timeout_is_signed(tc.term, high, n, sig) for n, high, sig in tc.entries):
            return False
        self.trust(tc)
        return True

    def timeout_holds(self, timeout: Timeout) -> bool:
        """Tell whether a time-out is signed, and its term proven to have begun."""
        high, tc, term = timeout.high_qc, timeout.tc, timeout.term
        begun = term in (1, high.position.term) or (tc is not None and tc.term == term - 1)
        if not begun or high.position.term > term or high.position != timeout.high_position:
            return False
        if tc is not None and (tc.term >= term or not self.tc_holds(tc)):
            return False
        signed = self.timeout_is_signed(
            term, timeout.high_position, timeout.member, timeout.signature
        )
        return signed and self.qc_holds(high)

    def accused(self, evidence: Evidence) -> bytes:
        """Give the key that evidence is about, whatever it proves."""
        if isinstance(evidence, EquivocalBlocks):
            return evidence.first.proposer
        vote = evidence.first if isinstance(evidence, EquivocalVotes) else evidence.vote
        return self._key(vote.member)

    def culprit(self, evidence: Evidence) -> bytes | None:
        """Give the key that the two signatures convict, or None when they prove nothing."""
        if isinstance(evidence, EquivocalBlocks):
            first, second = evidence.first, evidence.second
            if (first.position, first.proposer) != (second.position, second.proposer):
                return None
            hashes = block_hash(first), block_hash(second)
            proven = (
                hashes[0] != hashes[1]
                and self.block_is_signed(first, evidence.first_signature, hashes[0])
                and self.block_is_signed(second, evidence.second_signature, hashes[1])
            )
            return first.proposer if proven else None
        if isinstance(evidence, EquivocalVotes):
            one, two = evidence.first, evidence.second
            proven = (
                (one.member, one.position) == (two.member, two.position)
                and one.hash != two.hash
                and self.vote_is_signed(one)
                and self.vote_is_signed(two)
            )
            return self._key(one.member) if proven else None
        vote = evidence.vote
        proven = (
            evidence.term >= vote.position.term
            and evidence.high_position < vote.parent_position
            and self.vote_is_signed(vote)
            and self.timeout_is_signed(
                evidence.term, evidence.high_position, vote.member, evidence.signature
            )
        )
        return self._key(vote.member) if proven else None
