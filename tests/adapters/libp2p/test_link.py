"""A link between two: each hears the other, at the least cost, and it ends when it is told to."""

import random
from dataclasses import dataclass

import trio
from libp2p.stream_muxer.yamux import yamux
from trio.testing import MockClock, memory_stream_pair

from ambientd.adapters.libp2p.foreign import Stream
from ambientd.adapters.libp2p.frames import FrameDecoder, FrameKind
from ambientd.adapters.libp2p.guard import Counters
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.link import EASE_MAX, PROBE_EVERY, Inbox, Link, Meter
from ambientd.adapters.libp2p.muxer import GuardedYamux
from ambientd.ports.transport import TransportOptions
from tests.ports.transport_contract import NODES

OPTIONS = TransportOptions()
PERIODS = 60


WINDOW_BYTES = 2 * 1024 * 1024
"""What a stream holds at most that its reader has not taken yet."""


@dataclass
class Wire:
    """One end of a stream, as libp2p offers it; notes the frames that pass."""

    end: trio.StapledStream[trio.abc.SendStream, trio.abc.ReceiveStream]
    sent: list[FrameKind]
    delay_s: float = 0.01

    async def write(self, data: bytes) -> None:
        self.sent += [kind for kind, _ in FrameDecoder(1 << 20).feed(data)]
        await trio.sleep(self.delay_s)
        await self.end.send_all(data)

    async def read(self, size: int) -> bytes:
        return bytes(await self.end.receive_some(size))


def link(wire: Stream, peer: int) -> Link:
    return Link(
        bytes([peer]) * 32, wire, OPTIONS, Inbox(16, 1 << 20), Meter.of(OPTIONS), Counters()
    )


async def test_of_two_idle_peers_one_probes_and_both_are_heard(
    autojump_clock: MockClock,  # no second passes while these run
) -> None:
    random.seed(1)
    for phase_s in (0.0, 0.02, 0.3, 0.5, 0.7, 0.99):
        left, right = (Wire(end, []) for end in memory_stream_pair())
        here, there = link(left, 2), link(right, 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(here.run)
            await trio.sleep(phase_s)
            nursery.start_soon(there.run)
            for _ in range(PERIODS):
                await trio.sleep(OPTIONS.heartbeat_s)
                now_s = trio.current_time()
                assert max(now_s - here.heard_s, now_s - there.heard_s) < 2 * OPTIONS.heartbeat_s
            nursery.cancel_scope.cancel()
        assert here.round_trip_s is not None
        assert there.round_trip_s is not None
        probes = (left.sent + right.sent).count(FrameKind.PING)
        assert probes <= PERIODS * (1 + 1 / PROBE_EVERY) + 4, phase_s


async def test_a_peer_that_is_asked_for_a_sign_of_life_gives_it_though_probes_are_rare(
    autojump_clock: MockClock,
) -> None:
    random.seed(1)
    left, right = (Wire(end, []) for end in memory_stream_pair())
    here, there = link(left, 2), link(right, 1)
    here.ease = there.ease = lambda: EASE_MAX
    async with trio.open_nursery() as nursery:
        nursery.start_soon(here.run)
        nursery.start_soon(there.run)
        await trio.sleep(1.5 * OPTIONS.heartbeat_s)
        asked_s = trio.current_time()
        assert here.heard_s < asked_s - OPTIONS.heartbeat_s
        here.probe()
        await trio.sleep(2 * OPTIONS.heartbeat_s)
        assert here.heard_s > asked_s
        nursery.cancel_scope.cancel()


class Narrow:
    """One end of a stream that holds no more than its window."""

    def __init__(self, incoming: bytearray, outgoing: bytearray) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def write(self, data: bytes) -> None:
        while len(self._outgoing) + len(data) > WINDOW_BYTES:
            await trio.sleep(0.01)
        self._outgoing += data

    async def read(self, size: int) -> bytes:
        while not self._incoming:
            await trio.sleep(0.01)
        data = bytes(self._incoming[:size])
        del self._incoming[:size]
        return data


async def test_whoever_floods_a_peer_that_reads_slowly_hears_it_all_the_time(
    autojump_clock: MockClock,
) -> None:
    random.seed(1)
    there, back = bytearray(), bytearray()
    flooding, slow = link(Narrow(back, there), 2), link(Narrow(there, back), 1)
    reasons = []

    async def carry(end: Link) -> None:
        reasons.append(await end.run())

    async def drain() -> None:
        async for _ in slow.inbox.received:
            pass

    async with trio.open_nursery() as nursery:
        nursery.start_soon(carry, flooding)
        nursery.start_soon(carry, slow)
        nursery.start_soon(drain)
        end_s = trio.current_time() + 3 * OPTIONS.idle_limit_s
        while trio.current_time() < end_s:
            while flooding.send(bytes(64)):
                pass
            await trio.sleep(0.05)
            assert trio.current_time() - flooding.heard_s < 3 * OPTIONS.heartbeat_s
        nursery.cancel_scope.cancel()
    assert not reasons


class Trickle:
    """A connection of a peer that takes a frame now and then, and says nothing."""

    is_initiator = True

    def __init__(self) -> None:
        self.frames = 0

    async def write(self, _: bytes) -> None:
        await trio.sleep(OPTIONS.heartbeat_s / 2)
        self.frames += 1

    async def close(self) -> None:
        pass


class Mute(yamux.YamuxStream):  # type: ignore[misc]
    """A stream that brings nothing."""

    async def read(self, n: int | None = -1) -> bytes:
        del n
        await trio.sleep_forever()
        raise AssertionError


async def test_a_link_that_is_told_to_end_writes_nothing_more_of_a_full_queue(
    autojump_clock: MockClock,
) -> None:
    connection, peer, counters = Trickle(), peer_id_of(NODES[2]), Counters()
    muxer = GuardedYamux(connection, peer, OPTIONS.slow_limit_s, counters, lambda _: True)
    stream = Mute(1, muxer, is_initiator=True)
    stream.send_window = WINDOW_BYTES
    banned = link(stream, 2)
    while banned.send(bytes(32_000)):
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(banned.run)
        await trio.sleep(OPTIONS.heartbeat_s / 5)
        banned.end("banned")
        told_s = trio.current_time()
    assert connection.frames == 1, "more than what was on its way"
    assert trio.current_time() - told_s < OPTIONS.heartbeat_s / 2
