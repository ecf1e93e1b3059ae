"""Pages that are left out change no root, and their bytes have one form only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec import merkle
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits
from ambientd.wasm.left_out import blocks, hashes_of
from ambientd.wasm.state import (
    STATE_VERSION,
    ZERO_PAGE,
    Stage,
    State,
    StateHeader,
    decode_header,
    decode_partial,
    decode_state,
    encode_state,
    is_partial,
    leave_out,
)

FULL = b"\x07" * PAGE_BYTES


def leaves_of(count: int, salt: bytes = b"") -> list[bytes]:
    return [merkle.leaf_hash(salt + b"%d" % number) for number in range(count)]


@given(st.integers(1, 70), st.data())
def test_the_root_needs_no_leaf_of_a_page_that_is_left_out(pages: int, data: st.DataObject) -> None:
    leaves = leaves_of(pages + 1)
    missing = data.draw(st.sets(st.integers(0, pages - 1)))
    left_out = hashes_of(missing, leaves)
    others = [b"\0" * 32 if place - 1 in missing else leaf for place, leaf in enumerate(leaves)]
    assert left_out.root(others) == merkle.root(leaves)
    more = data.draw(st.integers(0, 40))
    grown, seen = leaves + leaves_of(more, b"new"), others + leaves_of(more, b"new")
    assert left_out.root(seen) == merkle.root(grown)


@given(st.sets(st.integers(0, 200)))
def test_blocks_are_whole_and_cover_each_page_once(pages: set[int]) -> None:
    found = list(blocks(pages))
    covered = [leaf for start, size in found for leaf in range(start, start + size)]
    assert covered == sorted(page + 1 for page in pages)
    assert all(size & (size - 1) == 0 and start % size == 0 for start, size in found)


def state(pages: tuple[bytes, ...]) -> State:
    values, host = bytes(16), b"host"
    header = StateHeader(
        version=STATE_VERSION,
        module=bytes(32),
        input=bytes(32),
        seed=bytes(32),
        limits=ExecutionLimits(),
        stage=Stage.RUN,
        gas_left=5,
        values=sha256(values),
        values_count=2,
        host=sha256(host),
        host_bytes=len(host),
        pages=len(pages),
    )
    return State(header, values, host, pages)


WHOLE = state((FULL, ZERO_PAGE, FULL, FULL, FULL, ZERO_PAGE))


@given(st.sets(st.integers(0, 5), min_size=1))
def test_a_partial_state_travels_and_keeps_its_root(missing: set[int]) -> None:
    partial = leave_out(WHOLE, missing)
    data = encode_state(partial)
    assert is_partial(data)
    again = decode_partial(data)
    assert again == partial
    assert again.root() == WHOLE.root()
    assert decode_header(data) == WHOLE.header
    assert len(data) < len(encode_state(WHOLE)) or not missing & {0, 2, 3, 4}
    with pytest.raises(RemoteProtocolError):
        decode_state(data)


def test_a_whole_state_is_no_partial_one() -> None:
    data = encode_state(WHOLE)
    assert not is_partial(data)
    with pytest.raises(RemoteProtocolError, match="leaves no pages out"):
        decode_partial(data)


def bits_at(data: bytes) -> int:
    """Where the byte is that says which pages are left out: before one hash."""
    return len(data) - 32 - 1


@pytest.mark.parametrize(
    ("bits", "problem"),
    [
        (0b000000, "leaves out no pages, or such as it carries"),
        (0b000101, "leaves out no pages, or such as it carries"),
        (0b1000100, "or does not have"),
        (0b100100, "ends too early"),
    ],
)
def test_each_partial_state_has_one_form(bits: int, problem: str) -> None:
    data = bytearray(encode_state(leave_out(WHOLE, {2})))
    assert data[bits_at(data)] == 0b000100
    data[bits_at(data)] = bits
    with pytest.raises(RemoteProtocolError, match=problem):
        decode_partial(bytes(data))


def test_a_partial_state_ends_where_its_hashes_end() -> None:
    data = encode_state(leave_out(WHOLE, {2}))
    for bent, problem in ((data[:-1], "ends too early"), (data + b"\0", "longer than its")):
        with pytest.raises(RemoteProtocolError, match=problem):
            decode_partial(bent)
    other = decode_partial(data[:-1] + bytes([data[-1] ^ 1]))
    assert other.root() != WHOLE.root()
