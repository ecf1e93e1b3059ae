"""What a peer sends unasked costs it its own room, and nobody else anything."""

import trio
import trio.testing

from ambientd.codec.digest import sha256
from ambientd.model.base import NodeId
from ambientd.model.message import PARCEL_BYTES_MAX
from ambientd.runtime.parcels import ALL_BYTES_MAX, PEER_BYTES_MAX, PEER_PARCELS_MAX, Parcels

HONEST, FLOOD = NodeId(b"h" * 32), NodeId(b"f" * 32)


def put(parcels: Parcels, sender: NodeId, data: bytes) -> bytes:
    digest = sha256(data)
    parcels.put(sender, digest, data)
    return digest


def test_a_parcel_is_given_once() -> None:
    parcels = Parcels()
    digest = put(parcels, HONEST, b"bytes")
    assert parcels.take(digest) == b"bytes"
    assert parcels.take(digest) is None
    assert parcels.size_bytes == 0


def test_a_second_copy_takes_no_room() -> None:
    parcels = Parcels()
    digest = put(parcels, HONEST, b"bytes")
    put(parcels, FLOOD, b"bytes")
    assert parcels.size_bytes == 5
    assert parcels.take(digest) == b"bytes"
    assert parcels.take(digest) is None


def test_a_peer_that_sends_too_many_loses_its_own_oldest_only() -> None:
    parcels = Parcels()
    kept = put(parcels, HONEST, b"needed")
    first = put(parcels, FLOOD, b"0")
    for number in range(1, 5 * PEER_PARCELS_MAX):
        put(parcels, FLOOD, b"%d" % number)
    assert parcels.pushed_out == 4 * PEER_PARCELS_MAX
    assert parcels.take(first) is None
    assert parcels.take(kept) == b"needed"


def test_a_peer_that_sends_large_ones_is_held_to_its_bytes() -> None:
    parcels = Parcels()
    for number in range(200):
        put(parcels, FLOOD, number.to_bytes(2, "big") * (PARCEL_BYTES_MAX // 2))
    assert PEER_BYTES_MAX - PARCEL_BYTES_MAX <= parcels.size_bytes <= PEER_BYTES_MAX


def test_many_peers_together_are_held_to_one_bound_and_the_greediest_pays() -> None:
    parcels = Parcels()
    kept = put(parcels, HONEST, b"needed")
    for peer in range(40):
        sender = NodeId(peer.to_bytes(32, "big"))
        for number in range(PEER_BYTES_MAX // PARCEL_BYTES_MAX):
            data = peer.to_bytes(2, "big") + number.to_bytes(2, "big")
            put(parcels, sender, data * (PARCEL_BYTES_MAX // 4))
    assert parcels.size_bytes <= ALL_BYTES_MAX
    assert parcels.take(kept) == b"needed"


async def test_who_waits_gets_a_parcel_as_it_comes() -> None:
    parcels = Parcels()
    found: list[bytes | None] = []

    async def wait() -> None:
        found.append(await parcels.await_one(sha256(b"bytes"), 10.0))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        put(parcels, HONEST, b"bytes")
    assert found == [b"bytes"]


async def test_who_waits_in_vain_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    parcels = Parcels()
    assert await parcels.await_one(sha256(b"bytes"), 0.1) is None
    assert trio.current_time() == 0.1
    put(parcels, HONEST, b"bytes")
    assert await parcels.await_one(sha256(b"bytes"), 0.1) == b"bytes"
