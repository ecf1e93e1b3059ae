"""What a peer sends that nobody reads stays within bounds, whoever it is."""

import struct
from hashlib import sha256
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.stream_muxer.yamux import yamux

from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import NETWORK_ERRORS
from ambientd.adapters.libp2p.muxer import (
    BUFFERS_BYTES_MAX,
    STRANGER_BUFFERS_BYTES_MAX,
    GuardedYamux,
)
from tests.adapters.libp2p.support import Victim, friend_of, node, raw_host, victim
from tests.ports.transport_contract import NODES, at, until_connected

MEMBER, STRANGER, FRIEND = 0, 1, 4
DATA, SYN = 0, 1
WINDOW_BYTES = 256 * 1024
ALLOWED_KIB = 48 * 1024
"""A connection's bytes and what reading them costs besides; the attacks took 100 to 240 MiB."""


async def muxed(attacker: Any, target: Victim) -> Any:
    """Connect and give the bare Yamux connection."""
    return (await dial(attacker, peer_id_of(target.node), target.address)).muxed_conn


async def push(conn: Any, flags: int, size: int, streams: int = 1000) -> None:
    """Open stream after stream with bytes that nobody asked for, without waiting for the peer."""
    with trio.fail_after(60):
        try:
            for stream_id in range(101, 101 + 2 * streams, 2):
                header = struct.pack("!BBHII", 0, DATA, flags, stream_id, size)
                await conn._write_frame(header + b"x" * size)
            await conn.event_closed.wait()
        except NETWORK_ERRORS:
            pass  # cut off


@pytest.mark.parametrize(
    ("who", "size", "counted"),
    [
        (MEMBER, 2 * 1024 * 1024, "window_overrun"),
        (MEMBER, WINDOW_BYTES + 1, "window_overrun"),
        (STRANGER, 1024 * 1024, "window_overrun"),
        (STRANGER, 2 * 1024 * 1024, "buffers_overrun"),
    ],
)
async def test_a_first_frame_beyond_the_window_ends_the_connection(
    who: int, size: int, counted: str
) -> None:
    async with (
        victim(allowed=(MEMBER, FRIEND)) as target,
        friend_of(target) as friend,
        raw_host(who) as attacker,
    ):
        before = (await friend.ask("state"))["rss_kib"]
        conn = await muxed(attacker, target)
        await push(conn, SYN, size)
        await friend.until_counted(counted)
        assert (await friend.ask("state"))["rss_kib"] - before < ALLOWED_KIB
        await friend.check_served()


@pytest.mark.parametrize("who", [MEMBER, STRANGER])
async def test_streams_that_are_refused_leave_nothing_behind(who: int) -> None:
    """Each stream stays within its window and is refused; of 250 MiB nothing is kept."""
    async with (
        victim(allowed=(MEMBER, FRIEND), join_deadline_s=30.0) as target,
        friend_of(target) as friend,
        raw_host(who) as attacker,
    ):
        before = (await friend.ask("state"))["rss_kib"]
        conn = await muxed(attacker, target)
        with trio.move_on_after(3):
            await push(conn, SYN, WINDOW_BYTES)
        assert (await friend.ask("state"))["rss_kib"] - before < ALLOWED_KIB
        await friend.check_served()


class Wire:
    """A secured connection from which comes what was written down, and then nothing more."""

    is_initiator = False
    high_watermark = low_watermark = 0

    def __init__(self, coming: bytes) -> None:
        self._coming = memoryview(coming)

    async def read(self, count: int) -> bytes:
        if not self._coming:
            await trio.sleep_forever()
        data, self._coming = bytes(self._coming[:count]), self._coming[count:]
        return data

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("is_member", "bytes_max"),
    [(True, BUFFERS_BYTES_MAX), (False, STRANGER_BUFFERS_BYTES_MAX)],
)
async def test_what_many_streams_hold_together_is_bounded(is_member: bool, bytes_max: int) -> None:
    """More streams than the bound has room for, each within its own window and none read."""
    count = bytes_max // WINDOW_BYTES + 1
    opening = b"".join(struct.pack("!BBHII", 0, DATA, SYN, 2 * n + 1, 0) for n in range(count))
    full = b"".join(
        struct.pack("!BBHII", 0, DATA, 0, 2 * n + 1, WINDOW_BYTES) + bytes(WINDOW_BYTES)
        for n in range(count)
    )
    counters, peer_id = Counters(), peer_id_of(NODES[MEMBER])
    conn = GuardedYamux(Wire(opening + full), peer_id, 5.0, counters, lambda _: is_member)
    streams: list[Any] = []

    async def accept() -> None:
        while len(streams) < count:
            streams.append(await conn.accept_stream())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(conn.start)
        nursery.start_soon(accept)
        with trio.fail_after(60):
            await conn.event_closed.wait()
        nursery.cancel_scope.cancel()
    assert counters.snapshot() == {"buffers_overrun": 1}
    assert len(streams) == count


@pytest.mark.parametrize(
    ("is_member", "bytes_max"),
    [(True, BUFFERS_BYTES_MAX), (False, STRANGER_BUFFERS_BYTES_MAX)],
)
def test_windows_that_widened_leave_room_for_streams_that_are_opened_later(
    is_member: bool, bytes_max: int
) -> None:
    """A fourth of the bytes: sixteen more streams of a member, one more of a stranger."""
    conn = GuardedYamux(Wire(b""), peer_id_of(NODES[MEMBER]), 5.0, Counters(), lambda _: is_member)
    streams = conn.streams = {n: yamux.YamuxStream(n, conn, False) for n in (1, 3)}
    while wider := next(filter(conn.may_widen, streams.values()), None):
        wider.target_recv_window *= 2
    granted = granted_by(conn)
    assert granted > 2 * WINDOW_BYTES
    assert granted + bytes_max // 4 <= bytes_max


@given(
    is_member=st.booleans(),
    steps=st.lists(st.none() | st.integers(0, 20), max_size=150),
)
def test_who_fills_each_window_that_it_is_granted_holds_no_more_than_the_bound(
    *, is_member: bool, steps: list[int | None]
) -> None:
    """A step opens a stream, or reads one empty; the peer fills what it may at once."""
    bytes_max = BUFFERS_BYTES_MAX if is_member else STRANGER_BUFFERS_BYTES_MAX
    peer_id = peer_id_of(NODES[MEMBER])

    async def run() -> None:
        conn: Any = GuardedYamux(Wire(b""), peer_id, 5.0, Counters(), lambda _: is_member)
        widened_bytes = later = 0
        for step in steps:
            if step is None:
                number = len(conn.streams)
                conn.streams[number] = yamux.YamuxStream(number, conn, False)
                conn.stream_buffers[number] = bytearray()
                later += 1
            elif conn.streams:
                stream = conn.streams[step % len(conn.streams)]
                before = stream.target_recv_window
                conn.stream_buffers[stream.stream_id].clear()
                await stream._auto_tune_and_send_window_update()
                if stream.target_recv_window > before:
                    widened_bytes, later = granted_by(conn), 0
            for number, stream in conn.streams.items():
                conn.stream_buffers[number].extend(bytes(stream.recv_window))
                stream.recv_window = 0
            held = sum(map(len, conn.stream_buffers.values()))
            assert held == granted_by(conn) == widened_bytes + later * WINDOW_BYTES
            assert widened_bytes <= bytes_max * 3 // 4

    trio.run(run)


def granted_by(conn: Any) -> int:
    return sum(each.target_recv_window for each in conn.streams.values())


async def test_a_stranger_that_asks_to_join_has_room_enough() -> None:
    async with victim(allowed=(FRIEND,)) as target, node(STRANGER, ()) as newcomer:
        answer = await newcomer.request_join(at(target.address, target.node), b"x" * 16_000)
        assert answer.endswith(b"x")


async def test_whole_blobs_still_come_many_at_once_within_the_windows() -> None:
    blob = bytes(4 * 1024 * 1024)

    async def big(_digest: bytes) -> bytes:
        return blob

    digest = sha256(blob).digest()
    async with (
        node(MEMBER, (MEMBER, FRIEND), blobs=big, link_deadline_s=20.0) as giver,
        node(FRIEND, (MEMBER, FRIEND), link_deadline_s=20.0) as asker,
    ):
        asker.set_peers([at(giver.address, giver.node_id)])
        with trio.fail_after(60):
            await until_connected(asker, giver.node_id)
        got: list[bytes | None] = []

        async def ask() -> None:
            got.append(await asker.request_blob(giver.node_id, digest, 1 << 23))

        async with trio.open_nursery() as asking:
            for _ in range(8):
                asking.start_soon(ask)
        assert got == [blob] * 8
        assert not {"window_overrun", "buffers_overrun"} & set(asker.counters())
