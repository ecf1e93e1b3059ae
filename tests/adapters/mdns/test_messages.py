"""DNS messages: others read what we write, and we what they write; what is hostile is nothing."""

import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import (
    DNSIncoming,
    DNSOutgoing,
    DNSPointer,
    DNSQuestion,
    DNSService,
    DNSText,
    current_time_millis,
)

from ambientd.adapters.mdns.messages import Asked, Told, decode, encode_answer, encode_question
from ambientd.adapters.mdns.talk import service_of

SERVICE = service_of(b"c" * 32)
INSTANCE = "ab" * 16
TEXT = b"ambient=" + bytes(range(240))
PTR, TXT, SRV, IN, ANSWER = 12, 16, 33, 1, 0x8400


def test_our_question_is_read_by_another_implementation() -> None:
    message = DNSIncoming(encode_question(SERVICE))
    assert message.valid
    assert message.is_query()
    assert [(each.name, each.type) for each in message.questions] == [(f"{SERVICE}.", PTR)]


def test_our_answer_is_read_by_another_implementation() -> None:
    message = DNSIncoming(encode_answer(SERVICE, INSTANCE, TEXT))
    pointer, text = message.answers()
    assert isinstance(pointer, DNSPointer)
    assert pointer.alias == f"{INSTANCE}.{SERVICE}."
    assert isinstance(text, DNSText)
    assert text.text == bytes([len(TEXT)]) + TEXT


def test_another_implementations_question_is_read() -> None:
    out = DNSOutgoing(0)
    out.add_question(DNSQuestion("_http._tcp.local.", PTR, IN))
    out.add_question(DNSQuestion(f"{SERVICE}.".upper(), PTR, IN))
    assert [decode(each, SERVICE) for each in out.packets()] == [Asked()]


def test_another_implementations_answer_is_read_with_its_compressed_names() -> None:
    full, now = f"{INSTANCE}.{SERVICE}.", current_time_millis()
    out = DNSOutgoing(ANSWER)
    out.add_answer_at_time(DNSPointer(f"{SERVICE}.", PTR, IN, 120, full), now)
    out.add_answer_at_time(DNSService(full, SRV, IN, 120, 0, 0, 4400, "host.local."), now)
    out.add_answer_at_time(DNSText(full, TXT, IN, 120, b"\x03a=b" + bytes([len(TEXT)]) + TEXT), now)
    (message,) = out.packets()
    assert message.count(SERVICE.split(".", 1)[0].encode()) == 1, "names are compressed"
    assert decode(message, SERVICE) == Told((b"a=b", TEXT))


def test_another_mesh_is_passed_over() -> None:
    other = service_of(b"d" * 32)
    assert decode(encode_question(other), SERVICE) is None
    assert decode(encode_answer(other, INSTANCE, TEXT), SERVICE) is None


@given(st.binary(max_size=1_600))
def test_any_bytes_are_nothing_or_read(message: bytes) -> None:
    assert isinstance(decode(message, SERVICE), Asked | Told | None)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_answer_is_nothing_or_reads(place: int, value: int) -> None:
    message = bytearray(encode_answer(SERVICE, INSTANCE, TEXT))
    message[place % len(message)] = value
    assert isinstance(decode(bytes(message), SERVICE), Asked | Told | None)


@pytest.mark.parametrize(
    "name",
    [b"\xc0\x0c", b"\x01a\xc0\x0c", b"\xc0\xff", b"\x3f", b"\x01a" * 200 + b"\0", b"\x80\0"],
)
def test_names_that_lead_in_circles_or_nowhere_end(name: bytes) -> None:
    asked = encode_question(SERVICE)[:12] + name + b"\0\x0c\0\x01"
    assert decode(asked, SERVICE) is None


def test_a_message_of_more_records_than_any_answer_has_is_not_read() -> None:
    message = bytearray(encode_question(SERVICE))
    message[5] = 33
    assert decode(bytes(message), SERVICE) is None


def test_a_chain_of_pointers_under_every_record_costs_little() -> None:
    head = struct.pack("!6H", 0, ANSWER, 0, 32, 0, 0)
    chain_bytes, first = 1_010, len(head) + 11
    links = [struct.pack("!H", 0xC000 | at) for at in range(first, first + chain_bytes - 2, 2)]
    chain = b"\0" + struct.pack("!HHIH", PTR, IN, 1, chain_bytes) + b"\0\0" + b"".join(links)
    last = first + chain_bytes - 2
    message = head + chain + 31 * struct.pack("!HHHIH", 0xC000 | last, PTR, IN, 1, 0)
    steps = 0

    def count(*_: object) -> object:
        nonlocal steps
        steps += 1
        return count

    sys.settrace(count)
    try:
        assert decode(message, SERVICE) is None
    finally:
        sys.settrace(None)
    assert steps < 1_000
