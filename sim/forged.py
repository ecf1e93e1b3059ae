"""Votes, time-outs and certificates that a liar signs alone, whichever world it is in."""

from collections.abc import Sequence

from ambientd.consensus.messages import (
    Append,
    QuorumCertificate,
    Timeout,
    TimeoutCertificate,
    Vote,
    block_hash,
    timeout_payload,
    vote_payload,
)
from ambientd.consensus.options import LogSigner


def vote_for(append: Append, member: int, signer: LogSigner, epoch: int) -> Vote:
    """Vote for a block, whatever was signed before."""
    header, parent_term = append.header, append.qc.position.term
    hash_ = block_hash(header)
    signature = signer.sign("vote", vote_payload(epoch, header.position, parent_term, hash_))
    return Vote(header.position, parent_term, hash_, member, signature)


def certified_alone(vote: Vote, members: Sequence[int]) -> QuorumCertificate:
    """Make a certificate of one vote, in the names of several or in one again and again."""
    signatures = tuple((member, vote.signature) for member in members)
    return QuorumCertificate(vote.position, vote.parent_term, vote.hash, signatures)


def timeouts_of(
    members: Sequence[int],
    term: int,
    high: tuple[QuorumCertificate, TimeoutCertificate | None],
    signer: LogSigner,
    epoch: int,
) -> list[Timeout]:
    """Give up a term in the names of others, with one's own signature."""
    qc, tc = high
    signature = signer.sign("timeout", timeout_payload(epoch, term, qc.position))
    return [Timeout(term, qc.position, each, signature, qc, tc) for each in members]
