"""Execution states: canonical bytes, roots, page proofs, and bytes from anywhere."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.execution import PAGE_BYTES, ExecutionLimits
from ambientd.wasm.state import (
    VALUES_MAX,
    ZERO_PAGE,
    Stage,
    State,
    StateHeader,
    decode_state,
    encode_state,
    verify_header,
    verify_page,
)

SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=60)


def state(fills: list[int], values: bytes = bytes(24), host: bytes = b"host") -> State:
    pages = tuple(bytes((fill,)) * PAGE_BYTES for fill in fills)
    header = StateHeader(
        version=1,
        module=sha256(b"module"),
        input=sha256(b"input"),
        seed=bytes(32),
        limits=ExecutionLimits(gas_max=1000, memory_bytes_max=8 * PAGE_BYTES),
        stage=Stage.RUN,
        gas_left=400,
        values=sha256(values),
        values_count=len(values) // 8,
        host=sha256(host),
        host_bytes=len(host),
        pages=len(pages),
    )
    return State(header, values, host, pages)


def changed(one: State, **fields: object) -> State:
    header = msgspec.structs.replace(one.header, **fields)
    return State(header, one.values, one.host, one.pages)


@SETTINGS
@given(
    fills=st.lists(st.sampled_from((0, 0, 1, 2)), max_size=8),
    values=st.binary(max_size=5).map(lambda data: data * 8),
    host=st.binary(max_size=20),
)
def test_a_state_is_its_bytes_and_every_part_moves_the_root(
    fills: list[int], values: bytes, host: bytes
) -> None:
    one = state(fills, values, host)
    assert decode_state(encode_state(one)) == one
    others = [
        state([*fills[:-1], 3], values, host) if fills else state([3], values, host),
        state([*fills, 0][:8], values, host) if len(fills) < 8 else state(fills[1:], values, host),
        state(fills, values + bytes(8), host),
        state(fills, values, host + b"x"),
        changed(one, gas_left=401),
        changed(one, stage=Stage.START),
        changed(one, seed=sha256(b"")),
    ]
    roots = {other.root() for other in others}
    assert one.root() not in roots
    assert len(roots) == len(others)


def test_zero_pages_are_not_carried() -> None:
    assert len(encode_state(state([0] * 8))) < 1_000
    assert PAGE_BYTES < len(encode_state(state([0, 7, 0]))) < PAGE_BYTES + 1_000
    assert decode_state(encode_state(state([0, 7, 0]))).pages[2] is ZERO_PAGE


@pytest.mark.parametrize("pages", [1, 2, 5, 8])
def test_a_page_is_shown_to_belong_to_a_root(pages: int) -> None:
    one = state([index % 3 for index in range(pages)])
    root = one.root()
    assert verify_header(root, one.header, one.proof(-1))
    assert not verify_header(root, changed(one, gas_left=1).header, one.proof(-1))
    for index in range(pages):
        proof = one.proof(index)
        assert verify_page(root, one.header, index, one.pages[index], proof)
        assert not verify_page(root, one.header, index, bytes([9]) * PAGE_BYTES, proof)
        assert not verify_page(root, one.header, index, one.pages[index][1:], proof)
        assert not verify_page(root, one.header, index, one.pages[index], [*proof, root])
        assert not verify_page(root, one.header, pages, one.pages[index], proof)


REFUSED = {
    "of version 2": changed(state([1]), version=2),
    "a digest or seed of another length": changed(state([1]), seed=b"short"),
    "unknown stage 4": changed(state([1]), stage=4),
    "gas_left -1": changed(state([1]), gas_left=-1),
    "gas_left 1001": changed(state([1]), gas_left=1001),
    "values_count": changed(state([1]), values_count=VALUES_MAX + 1),
    "host_bytes": changed(state([1]), host_bytes=1 << 40),
    "pages 9": changed(state([1]), pages=9),
    "ends too early": changed(state([1]), pages=2, values_count=9_000),
    "does not hold the values": changed(state([1]), values=sha256(b"")),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_a_header_that_promises_too_much_is_refused(problem: str) -> None:
    with pytest.raises(RemoteProtocolError, match=problem):
        decode_state(encode_state(REFUSED[problem]))


def test_each_state_has_one_form() -> None:
    encoded = encode_state(state([1, 0]))
    head = 4 + int.from_bytes(encoded[:4], "big")
    carried_zero = encoded[:head] + b"\x03" + encoded[head + 1 :] + ZERO_PAGE
    behind = encoded[:head] + b"\x05" + encoded[head + 1 :]
    for data, problem in (
        (encoded + b"\0", "longer than its contents"),
        (carried_zero, "carries a zero page"),
        (behind, "names pages behind its memory"),
        (encoded[:-1], "ends too early"),
        (b"\xff\xff\xff\xff" + encoded[4:], "ends too early"),
    ):
        with pytest.raises(RemoteProtocolError, match=problem):
            decode_state(data)


@SETTINGS
@given(st.data())
def test_bytes_from_anywhere_are_a_state_or_refused(data: st.DataObject) -> None:
    damaged = bytearray(encode_state(state([0, 1])))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(len(damaged), 400) - 1))
        damaged[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        found = decode_state(bytes(damaged))
    except RemoteProtocolError:
        return
    assert encode_state(found) == bytes(damaged)
