"""Claims about what is remembered: never more than its bytes, and nothing that was not kept."""

from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec import ed25519
from ambientd.codec.remembering import Remembered

BYTES_MAX = 64

ASKED = st.lists(st.binary(min_size=1, max_size=48), max_size=60)


@given(ASKED)
def test_what_is_kept_was_asked_in_no_more_bytes_than_are_allowed(asked: list[bytes]) -> None:
    known: Remembered[bytes] = Remembered(BYTES_MAX)
    for each in asked:
        if known.find(each) is None:
            known.keep(each, each)
        kept = [*known._younger, *known._older]
        assert len(kept) == len(known)
        assert sum(map(len, {*kept})) <= BYTES_MAX
        assert sum(map(len, known._younger)) <= BYTES_MAX // 2 >= sum(map(len, known._older))


@given(ASKED)
def test_an_answer_is_its_own_or_none(asked: list[bytes]) -> None:
    known: Remembered[bytes] = Remembered(BYTES_MAX)
    for each in asked:
        assert known.find(each) in (None, each[::-1])
        known.keep(each, each[::-1])
        is_small = len(each) <= BYTES_MAX // 2
        assert known.find(each) == (each[::-1] if is_small else None)


def test_what_is_asked_again_and_again_stays_while_others_come_and_go() -> None:
    known: Remembered[int] = Remembered(BYTES_MAX)
    known.keep(b"mine", 1)
    for number in range(100):
        known.keep(number.to_bytes(8, "big"), number)
        assert known.find(b"mine") == 1
    assert len(known) <= BYTES_MAX // 8 + 2


def test_signatures_that_were_checked_are_bounded_in_bytes_however_many_come() -> None:
    seed = bytes(32)
    key = ed25519.public_key(seed)
    messages = [number.to_bytes(4, "big") * 1024 for number in range(1200)]
    for message in messages:
        assert ed25519.verify(key, message, ed25519.sign(seed, message))
    assert len(ed25519._held) * len(messages[0]) <= ed25519.HELD_BYTES_MAX


def test_a_signature_that_does_not_hold_takes_no_room() -> None:
    seed = bytes(32)
    key, message = ed25519.public_key(seed), b"a signature that does not hold"
    before = len(ed25519._held)
    for number in range(100):
        assert not ed25519.verify(key, message, number.to_bytes(64, "big"))
    assert len(ed25519._held) == before


def test_a_signature_that_holds_speaks_for_no_other_key_or_message() -> None:
    seed = bytes(32)
    key, other = ed25519.public_key(seed), ed25519.public_key(bytes([1]) * 32)
    signature = ed25519.sign(seed, b"said")
    assert ed25519.verify(key, b"said", signature)
    assert not ed25519.verify(other, b"said", signature)
    assert not ed25519.verify(key, b"unsaid", signature)
    assert not ed25519.verify(key, signature[-4:] + b"said", signature[:-4])
