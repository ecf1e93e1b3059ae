"""The framing, without a socket."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.libp2p.frames import (
    FrameDecoder,
    FrameKind,
    decode_probe,
    encode_frame,
    encode_probe,
)
from ambientd.errors import RemoteProtocolError


@given(
    bodies=st.lists(st.binary(max_size=200), max_size=20),
    cuts=st.lists(st.integers(min_value=1, max_value=97), min_size=1),
)
def test_frames_survive_any_cutting_of_the_stream(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(FrameKind.DATA, body) for body in bodies)
    decoder = FrameDecoder(200)
    got = []
    at = turn = 0
    while at < len(stream):
        step = cuts[turn % len(cuts)]
        got += list(decoder.feed(stream[at : at + step]))
        at, turn = at + step, turn + 1
    assert got == [(FrameKind.DATA, body) for body in bodies]


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_a_heartbeat_carries_its_number(number: int) -> None:
    ((kind, body),) = FrameDecoder(0).feed(encode_probe(FrameKind.PONG, number))
    assert (kind, decode_probe(body)) == (FrameKind.PONG, number)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (struct.pack("!IB", 101, 0), "101 bytes announced; at most 100"),
        (struct.pack("!IB", 2**32 - 1, 0), "4294967295 bytes announced"),
        (struct.pack("!IB", 8, 3), "unknown frame kind 3"),
        (struct.pack("!IB", 7, 1), "heartbeat of 7 bytes"),
        (struct.pack("!IB", 9, 2), "heartbeat of 9 bytes"),
    ],
)
def test_a_bad_header_is_refused_before_its_body_comes(header: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        list(FrameDecoder(100).feed(header))


@given(st.binary(max_size=500))
def test_noise_is_frames_or_refused_and_never_held_beyond_one_frame(noise: bytes) -> None:
    decoder = FrameDecoder(64)
    try:
        for _ in decoder.feed(noise):
            pass
    except RemoteProtocolError:
        return
    assert len(decoder._buffer) <= 64 + 5
