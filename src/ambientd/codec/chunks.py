"""Outlines of blobs: the leaf hashes by which each chunk is checked as it comes (protocols/20).

A blob's name is the SHA-256 of the whole, which says nothing of its parts. So an outline is a
claim of whoever gives it, until the whole has been hashed: then it was true, or its givers lied.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from ambientd.codec.canonical import decode
from ambientd.codec.merkle import leaf_hash
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.chunk import (
    ANSWER_BYTES_MAX,
    CHUNK_BYTES,
    QUESTION_BYTES_MAX,
    Answer,
    OutlineGiven,
    Question,
)


@dataclass(frozen=True, slots=True)
class Outline:
    """A blob's size and the leaf hashes of its chunks, one after the other."""

    size_bytes: int
    leaves: bytes

    @property
    def count(self) -> int:
        """Give how many chunks there are."""
        return chunk_count(self.size_bytes)

    def extent(self, index: int) -> int:
        """Give how many bytes a chunk has."""
        return min(CHUNK_BYTES, self.size_bytes - index * CHUNK_BYTES)

    def fits(self, index: int, data: bytes) -> bool:
        """Tell whether these are the bytes of a chunk."""
        place = index * DIGEST_BYTES
        leaf = self.leaves[place : place + DIGEST_BYTES]
        return len(data) == self.extent(index) and leaf_hash(data) == leaf


def chunk_count(size_bytes: int) -> int:
    """Give how many chunks a blob of this size has."""
    return -(-size_bytes // CHUNK_BYTES)


def outlined(chunks: Iterable[bytes]) -> tuple[Outline, bytes]:
    """Give the outline of a blob that comes chunk by chunk, and its name."""
    whole, leaves, size_bytes = hashlib.sha256(), bytearray(), 0
    for chunk in chunks:
        whole.update(chunk)
        leaves += leaf_hash(chunk)
        size_bytes += len(chunk)
    return Outline(size_bytes, bytes(leaves)), whole.digest()


def outline_in(given: OutlineGiven, size_bytes_max: int) -> Outline:
    """Read an outline; raise RemoteProtocolError where it cannot be that of such a blob."""
    if given.size_bytes > size_bytes_max:
        msg = f"an outline of {given.size_bytes} bytes; at most {size_bytes_max} were asked for"
        raise RemoteProtocolError(msg)
    if len(given.leaves) != chunk_count(given.size_bytes) * DIGEST_BYTES:
        msg = f"{len(given.leaves)} bytes of leaf hashes outline no blob of {given.size_bytes}"
        raise RemoteProtocolError(msg)
    return Outline(given.size_bytes, given.leaves)


def decode_question(data: bytes) -> Question:
    """Read what a peer asks; raise RemoteProtocolError for anything else."""
    question: Question = decode(data, Question, QUESTION_BYTES_MAX)
    return question


def decode_answer(data: bytes) -> Answer:
    """Read what a peer answers; raise RemoteProtocolError for anything else."""
    answer: Answer = decode(data, Answer, ANSWER_BYTES_MAX)
    return answer
