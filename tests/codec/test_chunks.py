"""Outlines are what their blobs make them; what no blob could have is refused before its use."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.canonical import encode
from ambientd.codec.chunks import (
    Outline,
    chunk_count,
    decode_answer,
    decode_question,
    outline_in,
    outlined,
)
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest
from ambientd.model.chunk import (
    ANSWER_BYTES_MAX,
    CHUNK_BYTES,
    CHUNKS_MAX,
    LARGE_BYTES_MAX,
    QUESTION_BYTES_MAX,
    Answer,
    AskLater,
    ChunkAsked,
    ChunkGiven,
    NotHere,
    OutlineAsked,
    OutlineGiven,
)
from ambientd.ports.transport import PIECE_ANSWER_BYTES_MAX, PIECE_QUESTION_BYTES_MAX

NAME = Digest(bytes(range(32)))
DATA = random.Random(11).randbytes(2 * CHUNK_BYTES + 5)
CHUNKS = [DATA[start : start + CHUNK_BYTES] for start in range(0, len(DATA), CHUNK_BYTES)]


def test_an_outline_has_the_leaf_hash_of_each_chunk_and_the_name_is_the_wholes() -> None:
    outline, name = outlined(CHUNKS)
    assert name == hashlib.sha256(DATA).digest()
    leaves = [hashlib.sha256(b"\0" + chunk).digest() for chunk in CHUNKS]
    assert outline == Outline(len(DATA), b"".join(leaves))
    assert [outline.extent(index) for index in range(3)] == [CHUNK_BYTES, CHUNK_BYTES, 5]


def test_a_chunk_fits_its_own_place_alone() -> None:
    outline, _ = outlined(CHUNKS)
    for place in range(4):
        for index, chunk in enumerate(CHUNKS):
            assert outline.fits(place, chunk) == (place == index)
    assert not outline.fits(2, CHUNKS[2] + b"\0")
    assert not outline.fits(2, CHUNKS[2][:-1])


def test_the_largest_of_each_message_passes_a_transport() -> None:
    asked = encode(ChunkAsked(digest=NAME, index=CHUNKS_MAX - 1))
    assert len(asked) <= QUESTION_BYTES_MAX == PIECE_QUESTION_BYTES_MAX
    for answer in (
        ChunkGiven(data=bytes(CHUNK_BYTES)),
        OutlineGiven(size_bytes=LARGE_BYTES_MAX, leaves=bytes(32 * CHUNKS_MAX)),
    ):
        assert len(encode(answer)) <= ANSWER_BYTES_MAX == PIECE_ANSWER_BYTES_MAX
        assert decode_answer(encode(answer)) == answer


@pytest.mark.parametrize(
    "given_outline",
    [
        OutlineGiven(size_bytes=1, leaves=bytes(64)),
        OutlineGiven(size_bytes=CHUNK_BYTES + 1, leaves=bytes(32)),
        OutlineGiven(size_bytes=1, leaves=bytes(33)),
        OutlineGiven(size_bytes=11, leaves=bytes(32)),
    ],
)
def test_an_outline_of_no_such_blob_is_refused(given_outline: OutlineGiven) -> None:
    with pytest.raises(RemoteProtocolError):
        outline_in(given_outline, 10)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode([1, bytes(31)]),
        encode([1, NAME, 0]),
        encode([2, NAME]),
        encode([2, NAME, -1]),
        encode([2, NAME, CHUNKS_MAX]),
        encode([3, NAME]),
        encode(OutlineAsked(digest=NAME)) + b"\0",
        bytes(QUESTION_BYTES_MAX + 1),
    ],
)
def test_what_is_no_question_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_question(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        encode([1, 0, bytes(32)]),
        encode([1, LARGE_BYTES_MAX + 1, bytes(32)]),
        encode([1, 1, bytes(31)]),
        encode([1, 1, bytes(32 * CHUNKS_MAX + 32)]),
        encode([2, b""]),
        encode([2, bytes(CHUNK_BYTES + 1)]),
        encode([2, "text"]),
        encode([3, 0]),
        encode([5]),
        encode(ChunkGiven(data=bytes(300)))[:-1],
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_answer(data)


@given(st.binary(max_size=80))
def test_any_bytes_decode_canonically_or_not_at_all(data: bytes) -> None:
    for read in (decode_question, decode_answer):
        try:
            value = read(data)  # type: ignore[operator]
        except RemoteProtocolError:
            continue
        assert encode(value) == data


@given(st.integers(1, LARGE_BYTES_MAX))
def test_chunks_cover_a_blob_without_rest(size_bytes: int) -> None:
    outline = Outline(size_bytes, b"")
    assert outline.count == chunk_count(size_bytes) <= CHUNKS_MAX
    last = outline.count - 1
    assert last * CHUNK_BYTES + outline.extent(last) == size_bytes
    assert 1 <= outline.extent(last) <= CHUNK_BYTES


def test_the_short_answers_are_two_bytes() -> None:
    answers: list[Answer] = [NotHere(), AskLater()]
    assert [encode(each) for each in answers] == [b"\x91\x03", b"\x91\x04"]
