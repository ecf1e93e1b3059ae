"""What makes worlds cheap keeps the contract of what it stands for, and changes no world."""

from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambientd.codec import ed25519, secp256k1, signing
from ambientd.codec.digest import sha256
from sim.pegs import PegWorld
from sim.quick import QuickCurve, QuickKeys, quick
from sim.scenarios import ScenarioOptions, run


class Keys(Protocol):
    @staticmethod
    def public_key(seed: bytes, /) -> bytes: ...

    @staticmethod
    def sign(seed: bytes, message: bytes, /) -> bytes: ...

    @staticmethod
    def verify(public_key: bytes, message: bytes, signature: bytes, /) -> bool: ...


BOTH = pytest.mark.parametrize("keys", [ed25519, QuickKeys], ids=["ed25519", "quick"])
SEED, OTHER = sha256(b"seed"), sha256(b"other")


@BOTH
def test_a_seed_has_one_key_and_a_message_one_signature(keys: Keys) -> None:
    assert keys.public_key(SEED) == ed25519.public_key(SEED)
    assert len(keys.public_key(SEED)) == 32
    assert keys.sign(SEED, b"message") == keys.sign(SEED, b"message")
    assert len(keys.sign(SEED, b"message")) == 64


@BOTH
@given(message=st.binary(max_size=100))
def test_a_signature_holds_for_its_key_and_message_alone(keys: Keys, message: bytes) -> None:
    signature = keys.sign(SEED, message)
    assert keys.verify(keys.public_key(SEED), message, signature)
    assert not keys.verify(keys.public_key(OTHER), message, signature)
    assert not keys.verify(keys.public_key(SEED), message + b"x", signature)


@BOTH
@given(bit=st.integers(0, 511))
def test_a_bent_signature_holds_for_nothing(keys: Keys, bit: int) -> None:
    bent = bytearray(keys.sign(SEED, b"message"))
    bent[bit // 8] ^= 1 << bit % 8
    assert not keys.verify(keys.public_key(SEED), b"message", bytes(bent))


@BOTH
@given(signature=st.binary(max_size=70))
def test_what_is_no_signature_is_refused_without_a_fuss(keys: Keys, signature: bytes) -> None:
    assert not keys.verify(keys.public_key(SEED), b"message", signature)
    assert not keys.verify(b"", b"message", signature)


@pytest.mark.real_keys
def test_a_world_is_the_same_with_real_keys() -> None:
    options = ScenarioOptions(5, 4, time_ms=30_000)
    real = run(options)
    with quick():
        assert signing.ed25519 is QuickKeys
        fast = run(options)
    assert signing.ed25519 is ed25519
    assert (real.committed, real.records, real.terms) == (fast.committed, fast.records, fast.terms)
    assert (real.messages, real.convicted) == (fast.messages, fast.convicted)


CURVES = pytest.mark.parametrize("curve", [secp256k1, QuickCurve], ids=["secp256k1", "quick"])


@CURVES
@given(secret=st.integers(1, secp256k1.ORDER - 1), digest=st.binary(min_size=32, max_size=32))
def test_a_signature_on_the_curve_holds_for_its_key_and_digest_alone(
    curve: type[QuickCurve], secret: int, digest: bytes
) -> None:
    key, signature = curve.key_of(secret), curve.sign(secret, digest)
    assert key == secp256k1.key_of(secret)
    assert signature == curve.sign(secret, digest)
    assert curve.verify(key, digest, signature)
    assert not curve.verify(key, sha256(digest), signature)
    assert not curve.verify(curve.key_of(secret % 1_000 + 1), sha256(digest), signature)
    assert 0 < int.from_bytes(signature[32:], "big") <= secp256k1.ORDER // 2


@pytest.mark.slow
def test_a_world_of_the_peg_is_the_same_with_the_real_curve() -> None:
    real, fast = PegWorld(3), PegWorld(3)
    real.run()
    with quick():
        fast.run()
    assert (real.ledger.peg, real.moved) == (fast.ledger.peg, fast.moved)
