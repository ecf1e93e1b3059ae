import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec.digest import sha256, tagged
from ambientd.codec.signing import (
    BATCH_SIGNATURE_BYTES_MAX,
    BATCH_STATEMENTS_MAX,
    SIGNATURE_BYTES,
    Signer,
    verify,
    verify_note,
)

SIGNER = Signer(sha256(b"seed"), sha256(b"cluster"))
ORDER = 2**252 + 27742317777372353535851937790883648493


def by_hand(tag: str, *parts: bytes) -> bytes:
    data = bytes([len(tag)]) + tag.encode()
    for part in parts:
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).digest()


@given(st.text(st.characters(codec="ascii"), max_size=255), st.lists(st.binary(max_size=50)))
def test_a_tagged_hash_is_the_hash_of_lengths_and_parts(tag: str, parts: list[bytes]) -> None:
    assert tagged(tag, *parts) == by_hand(tag, *parts)


def test_parts_that_join_to_the_same_bytes_hash_differently() -> None:
    assert tagged("t", b"ab", b"c") != tagged("t", b"a", b"bc") != tagged("t", b"abc")
    assert tagged("ta", b"") != tagged("t", b"a")


@given(st.binary(max_size=100))
def test_signatures_are_those_of_an_independent_implementation(payload: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(SIGNER.seed)
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert SIGNER.public_key == public
    statement = by_hand("ambient/record/1", SIGNER.cluster, payload)
    signature = SIGNER.sign("record", payload)
    assert signature == key.sign(statement)
    Ed25519PublicKey.from_public_bytes(public).verify(signature, statement)


def test_a_signature_stands_for_one_key_domain_cluster_and_payload() -> None:
    signature = SIGNER.sign("record", b"payload")
    key, cluster = SIGNER.public_key, SIGNER.cluster
    assert verify(key, "record", cluster, b"payload", signature)
    other = Signer(sha256(b"other"), cluster).public_key
    assert not verify(other, "record", cluster, b"payload", signature)
    assert not verify(key, "receipt", cluster, b"payload", signature)
    assert not verify(key, "record", bytes(32), b"payload", signature)
    assert not verify(key, "record", cluster, b"payloads", signature)


@given(st.integers(0, 511))
def test_a_flipped_bit_breaks_a_signature(bit: int) -> None:
    bent = bytearray(SIGNER.sign("record", b"payload"))
    bent[bit // 8] ^= 1 << bit % 8
    assert not verify(SIGNER.public_key, "record", SIGNER.cluster, b"payload", bytes(bent))


def test_a_signature_has_no_second_form() -> None:
    """S + L would verify too, if nobody looked: signatures would then not name statements."""
    signature = SIGNER.sign("record", b"payload")
    larger = int.from_bytes(signature[32:], "little") + ORDER
    twin = signature[:32] + larger.to_bytes(32, "little")
    assert not verify(SIGNER.public_key, "record", SIGNER.cluster, b"payload", twin)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_keys_of_small_order_and_no_points_verify_nothing(key: bytes) -> None:
    for signature in (bytes(64), key + bytes(32)):
        assert not verify(key, "record", SIGNER.cluster, b"payload", signature)


@pytest.mark.parametrize(("key", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_lengths_verify_nothing_and_never_raise(key: int, signature: int) -> None:
    assert not verify(bytes(key), "record", bytes(32), b"", bytes(signature))
    assert not verify_note(bytes(key), b"", bytes(signature))


def test_a_note_is_signed_as_it_stands() -> None:
    signature = SIGNER.sign_note(b"text\n")
    Ed25519PublicKey.from_public_bytes(SIGNER.public_key).verify(signature, b"text\n")
    assert verify_note(SIGNER.public_key, b"text\n", signature)
    assert not verify_note(SIGNER.public_key, b"text", signature)


def batch(count: int) -> list[tuple[bytes, bytes]]:
    payloads = [b"statement %d" % number for number in range(count)]
    return list(zip(payloads, SIGNER.sign_batch("record", payloads), strict=True))


def holds(payload: bytes, signature: bytes, domain: str = "record") -> bool:
    return verify(SIGNER.public_key, domain, SIGNER.cluster, payload, signature)


@given(st.integers(0, 70))
def test_each_statement_of_a_batch_stands_alone(count: int) -> None:
    for payload, signature in batch(count):
        assert holds(payload, signature)
        assert not holds(payload, signature, "receipt")
        assert not holds(payload + b"!", signature)
        assert not verify(SIGNER.public_key, "record", bytes(32), payload, signature)


def test_one_statement_alone_is_signed_plainly() -> None:
    assert batch(1)[0][1] == SIGNER.sign("record", b"statement 0")
    assert len(batch(BATCH_STATEMENTS_MAX + 1)[-1][1]) == 64


def test_more_statements_than_a_batch_holds_are_signed_in_several() -> None:
    signed = batch(BATCH_STATEMENTS_MAX + 2)
    assert max(len(signature) for _, signature in signed) == BATCH_SIGNATURE_BYTES_MAX
    assert len({signature[:64] for _, signature in signed}) == 2
    for payload, signature in (signed[0], signed[BATCH_STATEMENTS_MAX - 1], signed[-1]):
        assert holds(payload, signature)


@given(st.data())
def test_a_batch_signature_has_no_second_form(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 70))
    signed = batch(count)
    payload, good = data.draw(st.sampled_from(signed))
    bent = bytearray(good)
    at = data.draw(st.integers(0, 8 * len(good) - 1))
    bent[at // 8] ^= 1 << at % 8
    assert not holds(payload, bytes(bent))
    assert not holds(payload, good + data.draw(st.binary(min_size=1, max_size=70)))
    assert not holds(payload, good[: data.draw(st.integers(0, len(good) - 1))])


@given(st.integers(2, 70), st.data())
def test_no_statement_takes_anothers_place(count: int, data: st.DataObject) -> None:
    signed = batch(count)
    here, there = data.draw(
        st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True)
    )
    assert not holds(signed[here][0], signed[there][1])


@given(st.binary(max_size=500))
def test_any_bytes_for_a_signature_verify_nothing_and_never_raise(signature: bytes) -> None:
    assert not holds(b"payload", signature)


def test_statements_of_several_domains_share_a_signature_and_none_passes_for_another() -> None:
    signer = Signer(bytes(32), b"cluster")
    said = [("receipt", b"one"), ("commit", b"one"), ("record", b"two")]
    signatures = signer.sign_together(said)
    assert len({each[:SIGNATURE_BYTES] for each in signatures}) == 1
    for domain, payload in said:
        held = [verify(signer.public_key, domain, b"cluster", payload, s) for s in signatures]
        assert held == [(domain, payload) == each for each in said]
    assert signer.sign_together([]) == []
    assert signer.sign_together(said[:1]) == [signer.sign("receipt", b"one")]
