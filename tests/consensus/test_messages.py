"""Messages as canonical bytes, COORDINATION "Messages"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec import canonical
from ambientd.consensus.messages import (
    Blocks,
    EquivocalBlocks,
    EquivocalVotes,
    EvidenceMessage,
    Fetch,
    Forward,
    HiddenCertificate,
    Message,
    QcNotice,
    block_hash,
    decode_message,
    encode_message,
    genesis_hash,
)
from ambientd.errors import RemoteProtocolError
from tests.consensus.bench import Bench, at, record


def examples() -> list[Message]:
    bench = Bench(4)
    block = bench.block(0, 1, bench.genesis, record(1))
    vote, qc = bench.vote(1, block), bench.qc(block, 0, 1, 2)
    timeout = bench.timeout(1, 1, qc)
    tc = bench.tc(1, *(bench.timeout(who, 1, qc) for who in (0, 1, 2)))
    return [
        block,
        bench.block(1, 2, qc, tc=tc),
        vote,
        timeout,
        QcNotice(qc, tc),
        QcNotice(qc, None),
        Fetch(7),
        Blocks((block,), qc),
        Forward((record(1), record(2))),
        EvidenceMessage(
            EquivocalBlocks(block.header, block.signature, block.header, block.signature)
        ),
        EvidenceMessage(EquivocalVotes(vote, vote)),
        EvidenceMessage(HiddenCertificate(vote, 1, at(0, 0), timeout.signature)),
    ]


@pytest.mark.parametrize("message", examples(), ids=lambda message: type(message).__name__)
def test_a_message_is_one_tagged_array_and_reads_back(message: Message) -> None:
    data = encode_message(message)
    assert decode_message(data) == message
    assert data[0] & 0xF0 == 0x90
    assert data[1] == type(message).__struct_config__.tag


@given(st.sampled_from(examples()), st.data())
def test_damaged_bytes_are_refused_or_mean_another_message(
    message: Message, data: st.DataObject
) -> None:
    good = bytearray(encode_message(message))
    good[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = decode_message(bytes(good))
    except RemoteProtocolError:
        return
    assert read != message
    assert encode_message(read) == bytes(good)


@pytest.mark.parametrize(
    "value",
    [
        [9, 1],
        [5, -1],
        [5, 2**53],
        [2, [1, 1], 0, b"h" * 31, 0, b"s" * 64],
        [2, [1, 1], 0, b"h" * 32, 128, b"s" * 64],
        [2, [1, -1], 0, b"h" * 32, 0, b"s" * 64],
        [2, [1, 1], 0, b"h" * 32, 0, b"s" * 63],
        [7, "records"],
        {"term": 1},
    ],
)
def test_shapes_out_of_range_are_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_message(canonical.encode(value))


def test_each_cluster_and_epoch_has_its_own_beginning() -> None:
    hashes = {genesis_hash(c, e) for c in (b"a" * 32, b"b" * 32) for e in (0, 1)}
    assert len(hashes) == 4


def test_a_block_is_named_by_its_whole_header() -> None:
    bench = Bench(4)
    base = bench.block(0, 1, bench.genesis).header
    names = {block_hash(base)}
    for changes in ({"index": 2}, {"time_ms": 1}, {"state_root": b"s"}, {"proposer": b"p" * 32}):
        names.add(block_hash(bench.block(0, 1, bench.genesis, **changes).header))
    assert len(names) == 5
