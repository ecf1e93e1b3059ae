"""The test vectors of protocols/20-blobs.md: outlines, messages, and what is neither."""

from typing import Any

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import outlined
from ambientd.codec.digest import sha256
from ambientd.codec.merkle import root
from ambientd.model.base import Digest
from ambientd.model.chunk import (
    CHUNK_BYTES,
    CHUNKS_MAX,
    LARGE_BYTES_MAX,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineAsked,
    OutlineGiven,
)

SIZES = (1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 17)
NAME = Digest(sha256(b"a blob"))


def blob_of(size_bytes: int) -> bytes:
    """Give the bytes that a vector's blob has: 31 i + 7 modulo 251 at place i."""
    period = bytes((31 * place + 7) % 251 for place in range(251))
    return (period * (size_bytes // 251 + 1))[:size_bytes]


def chunks() -> dict[str, Any]:
    """Give all vectors."""
    outlines = []
    for size_bytes in SIZES:
        data = blob_of(size_bytes)
        starts = range(0, size_bytes, CHUNK_BYTES)
        outline, name = outlined(data[start : start + CHUNK_BYTES] for start in starts)
        leaves = [outline.leaves[place : place + 32] for place in range(0, 32 * outline.count, 32)]
        answer = OutlineGiven(size_bytes=outline.size_bytes, leaves=outline.leaves)
        outlines.append(
            {
                "size_bytes": size_bytes,
                "name": name.hex(),
                "leaves": [leaf.hex() for leaf in leaves],
                "head": root(leaves).hex(),
                "answer": encode(answer).hex(),
            }
        )
    questions = {
        "an outline": OutlineAsked(digest=NAME),
        "the first chunk": ChunkAsked(digest=NAME, index=0),
        "the last chunk that a blob can have": ChunkAsked(digest=NAME, index=CHUNKS_MAX - 1),
    }
    answers = {
        "a chunk": ChunkGiven(data=b"some bytes"),
        "not here": NotHere(),
        "ask later": AskLater(),
    }
    no_questions = {
        "a name of 31 bytes": [1, NAME[:31]],
        "a chunk without its number": [2, NAME],
        "a chunk below the first": [2, NAME, -1],
        "a chunk above the last": [2, NAME, CHUNKS_MAX],
        "a number of two bytes where one would do": None,
        "a tag that there is not": [3, NAME],
    }
    no_answers = {
        "an outline of no bytes": [1, 0, bytes(32)],
        "an outline above the cap": [1, LARGE_BYTES_MAX + 1, bytes(32)],
        "an outline without leaves": [1, 1, b""],
        "a chunk of no bytes": [2, b""],
        "words with nothing to say": [3, 0],
        "a tag that there is not": [5],
    }
    longer = b"\x93" + encode([2, NAME])[1:] + b"\xcd\x00\x01"
    return {
        "document": "protocols/20-blobs.md",
        "blobs": "byte i is (31 i + 7) mod 251",
        "outlines": outlines,
        "questions": [
            {"name": name, "bytes": encode(each).hex()} for name, each in questions.items()
        ],
        "answers": [{"name": name, "bytes": encode(each).hex()} for name, each in answers.items()],
        "refused_questions": [
            {"name": name, "bytes": (longer if each is None else encode(each)).hex()}
            for name, each in no_questions.items()
        ],
        "refused_answers": [
            {"name": name, "bytes": encode(each).hex()} for name, each in no_answers.items()
        ],
        "refused_outlines": [
            {"name": name, "size_bytes_max": most, "answer": encode(each).hex()}
            for name, most, each in (
                ("more leaves than chunks", 10, OutlineGiven(size_bytes=1, leaves=bytes(64))),
                (
                    "fewer leaves than chunks",
                    LARGE_BYTES_MAX,
                    OutlineGiven(size_bytes=CHUNK_BYTES + 1, leaves=bytes(32)),
                ),
                ("half a leaf", 10, OutlineGiven(size_bytes=1, leaves=bytes(48))),
                ("more than was asked for", 10, OutlineGiven(size_bytes=11, leaves=bytes(32))),
            )
        ],
    }
