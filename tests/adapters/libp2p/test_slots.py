"""Peers that ask for blobs and read nothing keep nobody else from them."""

from contextlib import ExitStack
from typing import Any, Final

import trio
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.libp2p.exchanges import BLOB_PROTOCOL, BlobStatus, read_exactly
from ambientd.adapters.libp2p.host import dial
from ambientd.adapters.libp2p.identity import peer_id_of
from ambientd.adapters.libp2p.pieces import LENGTH, PIECES_PROTOCOL
from ambientd.adapters.libp2p.slots import Slots
from ambientd.adapters.libp2p.transport import Libp2pTransport
from ambientd.ports.transport import PIECE_ANSWER_BYTES_MAX, NodeId, TransportOptions
from tests.adapters.libp2p.support import node, raw_host
from tests.ports.transport_contract import BLOB, BLOB_DIGEST, NODES, connect

SLOW, GIVER, ASKER = 0, 1, 2
CHUNK = bytes(PIECE_ANSWER_BYTES_MAX)
FULL: Final[dict[str, Any]] = {
    "blob_streams_max": 2,
    "blob_streams_per_peer_max": 2,
    "link_deadline_s": 60.0,
}
"""One peer takes all there is for everybody."""


async def answered(attacker: Any, giver: Libp2pTransport, protocol: str, question: bytes) -> bytes:
    """Ask on a stream of its own, read the first byte of the answer and leave the rest."""
    stream = await attacker.new_stream(peer_id_of(giver.node_id), [protocol])
    await stream.write(question)
    return await read_exactly(stream, 1)


async def test_peers_that_read_nothing_keep_nobody_else_from_whole_blobs() -> None:
    async with node(GIVER, **FULL) as giver, node(ASKER) as asker, raw_host(SLOW) as slow:
        with trio.fail_after(60):
            await connect(asker, giver)
            await dial(slow, peer_id_of(giver.node_id), giver.address)
            said = [await answered(slow, giver, BLOB_PROTOCOL, BLOB_DIGEST) for _ in range(3)]
            assert said == [
                bytes([s]) for s in (BlobStatus.FOUND, BlobStatus.FOUND, BlobStatus.BUSY)
            ]
            assert await asker.request_blob(giver.node_id, BLOB_DIGEST, len(BLOB)) == BLOB


async def test_peers_that_read_nothing_keep_nobody_else_from_chunks() -> None:
    async def answer(_peer: NodeId, _question: bytes) -> bytes:
        return CHUNK

    async with (
        node(GIVER, pieces=answer, **FULL) as giver,
        node(ASKER) as asker,
        raw_host(SLOW) as slow,
    ):
        with trio.fail_after(60):
            await connect(asker, giver)
            await dial(slow, peer_id_of(giver.node_id), giver.address)
            # One byte of each has come, and the window has no room for all of it.
            for _ in range(2):
                await answered(slow, giver, PIECES_PROTOCOL, LENGTH.pack(1) + b"?")
            assert await asker.request_piece(giver.node_id, b"?") == CHUNK
            await answered(slow, giver, PIECES_PROTOCOL, LENGTH.pack(1) + b"?")
            assert giver.counters() == {"blob_busy": 1}


@given(st.lists(st.sampled_from(NODES)), st.integers(1, 4), st.integers(1, 8))
def test_who_has_no_answer_on_its_way_is_given_one_and_the_others_are_bounded(
    askers: list[NodeId], per_peer_max: int, all_max: int
) -> None:
    slots = Slots(
        TransportOptions(blob_streams_per_peer_max=per_peer_max, blob_streams_max=all_max)
    )
    given_to: list[NodeId] = []
    with ExitStack() as sending:
        for asker in askers:
            has_room = slots.has_room(asker)
            assert has_room or asker in given_to
            if has_room:
                sending.enter_context(slots.taken(asker))
                given_to.append(asker)
        assert all(given_to.count(each) <= per_peer_max for each in given_to)
        assert len(given_to) <= all_max + len(set(given_to))
    assert all(slots.has_room(each) for each in NODES)
