"""What peers ask one another for a blob by its chunks, and what they answer (protocols/20)."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from ambientd.model.base import DIGEST_BYTES, Digest, Value

CHUNK_BYTES = 256 * 1024
"""Each chunk of a blob but the last; so much is lost with an answer that does not come."""

LARGE_BYTES_MAX = 1 << 30
"""Of a blob that goes by chunks; what is read as one whole is smaller."""

CHUNKS_MAX = LARGE_BYTES_MAX // CHUNK_BYTES

QUESTION_BYTES_MAX = 64
ANSWER_BYTES_MAX = CHUNK_BYTES + 64

_Name: TypeAlias = Annotated[Digest, Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]


class OutlineAsked(Value, frozen=True, tag=1):
    """Which chunks does this blob have?"""

    digest: _Name


class ChunkAsked(Value, frozen=True, tag=2):
    """What are the bytes of this chunk?"""

    digest: _Name
    index: Annotated[int, Meta(ge=0, lt=CHUNKS_MAX)]


Question: TypeAlias = OutlineAsked | ChunkAsked


class OutlineGiven(Value, frozen=True, tag=1):
    """How large a blob is, and the leaf hashes of its chunks (02), one after the other."""

    size_bytes: Annotated[int, Meta(ge=1, le=LARGE_BYTES_MAX)]
    leaves: Annotated[bytes, Meta(min_length=DIGEST_BYTES, max_length=CHUNKS_MAX * DIGEST_BYTES)]


class ChunkGiven(Value, frozen=True, tag=2):
    """A chunk's bytes."""

    data: Annotated[bytes, Meta(min_length=1, max_length=CHUNK_BYTES)]


class NotHere(Value, frozen=True, tag=3):
    """The blob is not here, or not for others yet; or it has no such chunk."""


class AskLater(Value, frozen=True, tag=4):
    """So much was hashed for this peer that it has to wait."""


Answer: TypeAlias = OutlineGiven | ChunkGiven | NotHere | AskLater
