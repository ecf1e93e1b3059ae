"""Frames of a stream: the bytes that the original writes, without turns where none is due."""

from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux import yamux
from trio.testing import MockClock

from ambientd.adapters.libp2p.link import Inbox
from ambientd.adapters.libp2p.muxer import FRAME_BYTES_MAX, _write, _write_in_turn


class Wire:
    """A connection that notes each frame, and takes as much as is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    async def _write_frame(self, frame: bytes) -> None:
        self.frames.append(frame)


def frames_of(write: Any, sizes: list[int], window: int) -> tuple[list[bytes], int]:
    wire = Wire()

    async def run() -> int:
        stream = yamux.YamuxStream(3, wire, True)
        stream.send_window = window
        for number, size in enumerate(sizes):
            await write(stream, bytes([number]) * size)
        return int(stream.send_window)

    return wire.frames, trio.run(run)


@given(
    sizes=st.lists(
        st.sampled_from([0, 1, 64, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1]),
        max_size=6,
    ),
    spare=st.integers(min_value=0, max_value=100),
)
def test_what_is_written_is_what_the_original_writes(sizes: list[int], spare: int) -> None:
    window = sum(sizes) + spare
    assert frames_of(_write, sizes, window) == frames_of(_write_in_turn, sizes, window)


async def test_a_stream_that_is_closed_takes_nothing_more() -> None:
    for end in ("closed", "send_closed"):
        wire = Wire()
        stream = yamux.YamuxStream(3, wire, True)
        setattr(stream, end, True)
        try:
            await stream.write(b"late")
        except MuxedStreamError:
            pass
        else:
            raise AssertionError(f"{end}, and yet it takes bytes")
        assert not wire.frames


@given(st.lists(st.integers(min_value=-1, max_value=40), max_size=60))
def test_an_inbox_holds_no_more_than_its_bytes_whatever_is_put_and_read(steps: list[int]) -> None:
    """A step is the size of a frame that is put, -1 one that is read."""

    async def run() -> None:
        inbox, held = Inbox(8, 100), 0
        for step in steps:
            if step < 0:
                if held:
                    await inbox.received.receive()
                    held -= 1
                continue
            with trio.move_on_after(1) as full:
                await inbox.put(bytes(32), bytes(step))
            if not full.cancelled_caught:
                held += 1
        sizes = []
        while held:
            sizes.append(len((await inbox.received.receive())[1]))
            held -= 1
        assert len(sizes) <= 8
        assert sum(sizes) <= 100

    trio.run(run, clock=MockClock(autojump_threshold=0))
