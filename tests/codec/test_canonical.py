import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.canonical import decode, encode
from ambientd.errors import RemoteProtocolError
from ambientd.model.task import Assurance, Commit, Result

RESULT = Result(
    kind=0,
    reason="",
    output=bytes(32),
    output_size_bytes=0,
    gas=7,
    prepared=bytes(32),
    rewriter_version=1,
)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a number longer than needed", b"\xcc\x07"),
        ("a signed form of a small number", b"\xd0\x07"),
        ("a 64-bit form of a small number", b"\xcf" + bytes(7) + b"\x07"),
        ("a float that is whole", b"\xca\x40\xe0\x00\x00"),
        ("two values", b"\x07\x07"),
        ("nothing", b""),
        ("half a value", b"\xcd\x01"),
        ("an unassigned byte", b"\xc1"),
        ("text", b"\xa17"),
    ],
)
def test_a_number_has_one_form(name: str, raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(raw, int)
    assert decode(b"\x07", int) == 7, name


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"\xd9\x01a", str),
        (b"\xda\x00\x01a", str),
        (b"\xa1\xff", str),
        (b"\xc4\x01a", str),
        (b"\xc5\x00\x01a", bytes),
        (b"\xa1a", bytes),
        (b"\xdc\x00\x01\x07", tuple[int, ...]),
        (b"\x81\x07\x07", tuple[int, ...]),
        (b"\xc0", tuple[int, ...]),
        (b"\x01", bool),
    ],
)
def test_strings_bytes_and_lists_have_one_form_each(raw: bytes, kind: type) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(raw, kind)


def test_a_struct_is_an_array_and_not_a_map() -> None:
    as_map = msgpack.packb({name: getattr(RESULT, name) for name in RESULT.__struct_fields__})
    with pytest.raises(RemoteProtocolError):
        decode(as_map, Result)
    assert encode(RESULT)[:1] == b"\x97"


def test_a_form_that_only_the_independent_encoder_of_old_would_write_is_refused() -> None:
    old = msgpack.packb([0, "", bytes(32), 0, 7], use_bin_type=False)
    with pytest.raises(RemoteProtocolError):
        decode(old, Result)


def test_an_unknown_member_of_an_enumeration_is_refused() -> None:
    assert decode(b"\x01", Assurance) is Assurance.REPLICATED
    with pytest.raises(RemoteProtocolError):
        decode(b"\x09", Assurance)


def test_what_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(RemoteProtocolError, match="at most 10"):
        decode(bytes(11), bytes, 10)


@given(st.integers(1, 5000))
def test_nesting_without_end_is_refused(depth: int) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(b"\x91" * depth, Commit)


@given(st.recursive(st.none() | st.booleans() | st.binary() | st.text(), st.tuples, max_leaves=9))
def test_whatever_is_encoded_is_what_an_independent_decoder_reads(value: object) -> None:
    assert msgpack.unpackb(encode(value), raw=False, use_list=False) == value
