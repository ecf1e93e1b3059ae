"""What votes, time-outs and proposals are worth, worked out apart from the log's own verifier.

Of the daemon's code it knows the messages' fields alone. What was signed is put together by
another MessagePack, hashed here, and checked by another library than the daemon's (protocols/01,
protocols/05 section 2).
"""

import hashlib

import msgpack  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ambientd.consensus.messages import (
    Append,
    Position,
    QuorumCertificate,
    TimeoutCertificate,
    Vote,
)
from ambientd.consensus.options import ConsensusOptions


def tolerated(members: int) -> int:
    """Give how many liars a committee bears."""
    return (members - 1) // 3


def needed(members: int) -> int:
    """Give how many members any two majorities of which share an honest one."""
    return (members + tolerated(members)) // 2 + 1


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether a key signed a message."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def hashed(tag: str, *parts: bytes) -> bytes:
    """Hash parts under a tag, each behind its length."""
    name = tag.encode()
    lengthy = (len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(bytes([len(name)]) + name + b"".join(lengthy)).digest()


def has_signed(
    key: bytes, domain: str, cluster: bytes, said: tuple[object, ...], signature: bytes
) -> bool:
    """Tell whether a key said this in a cluster."""
    statement = hashed(f"ambient/{domain}/1", cluster, msgpack.packb(said, use_bin_type=True))
    return verify(key, statement, signature)


def votes_are_signed(
    qc: QuorumCertificate, cluster: bytes, epoch: int, members: tuple[bytes, ...]
) -> bool:
    """Tell whether each vote of a certificate is its member's."""
    said = (epoch, qc.position.term, qc.position.index, qc.parent_term, qc.hash)
    return all(
        has_signed(members[number], "vote", cluster, said, signature)
        for number, signature in qc.signatures
    )


class Judge:
    """Holds certificates and proposals against one epoch's committee."""

    def __init__(self, options: ConsensusOptions) -> None:
        self._cluster = options.cluster
        self._epoch = options.epoch
        self.members = options.members
        self._turns = sorted(
            options.members, key=lambda key: hashed("ambient/coordinator/1", options.seed, key)
        )
        self.genesis = options.root
        self._good: set[QuorumCertificate | TimeoutCertificate] = {options.root}

    def coordinator(self, term: int) -> bytes:
        """Give who may propose in a term."""
        return self._turns[term % len(self._turns)]

    def is_proposed(self, block: Append, hash_: bytes) -> bool:
        """Tell whether whom a block names has proposed it."""
        said = (self._epoch, hash_)
        return has_signed(block.header.proposer, "append", self._cluster, said, block.signature)

    def is_cast(self, vote: Vote) -> bool:
        """Tell whether a vote is its member's."""
        position = vote.position
        said = (self._epoch, position.term, position.index, vote.parent_term, vote.hash)
        key = self._key(vote.member)
        return key is not None and has_signed(key, "vote", self._cluster, said, vote.signature)

    def gave_up(self, member: int, term: int, high: Position, signature: bytes) -> bool:
        """Tell whether a member gave up a term, with nothing higher than this."""
        said = (self._epoch, term, high.term, high.index)
        key = self._key(member)
        return key is not None and has_signed(key, "timeout", self._cluster, said, signature)

    def _key(self, member: int) -> bytes | None:
        return self.members[member] if 0 <= member < len(self.members) else None

    def qc_holds(self, qc: QuorumCertificate) -> bool:
        """Tell whether a quorum voted for this block."""
        if qc in self._good:
            return True
        position = qc.position
        is_possible = position.term >= max(1, qc.parent_term) and position.index >= 1
        good = (
            is_possible
            and self._are_enough([number for number, _ in qc.signatures])
            and votes_are_signed(qc, self._cluster, self._epoch, self.members)
        )
        self._good |= {qc} if good else set()
        return good

    def tc_holds(self, tc: TimeoutCertificate) -> bool:
        """Tell whether a quorum gave up the term, and what it shows is the highest it had."""
        if tc in self._good:
            return True
        good = (
            tc.term >= max(1, tc.max_qc.position.term)
            and self._are_enough([number for number, _, _ in tc.entries])
            and max(high for _, high, _ in tc.entries) == tc.max_qc.position
            and self.qc_holds(tc.max_qc)
            and all(self.gave_up(number, tc.term, high, sig) for number, high, sig in tc.entries)
        )
        self._good |= {tc} if good else set()
        return good

    def _are_enough(self, numbers: list[int]) -> bool:
        size = len(self.members)
        are_members = all(0 <= number < size for number in numbers)
        return are_members and numbers == sorted(set(numbers)) and len(numbers) >= needed(size)
