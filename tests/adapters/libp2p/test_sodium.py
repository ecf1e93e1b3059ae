"""Noise on libsodium says bit for bit what it says on `cryptography`."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import noise.connection as theirs
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import x25519
from cryptography.hazmat.primitives.ciphers import aead
from hypothesis import given
from hypothesis import strategies as st

from ambientd.adapters.libp2p import sodium

# The module that libp2p has; by its name there is the other one.
_used = importlib.import_module("libp2p.security.noise.patterns").NoiseState
ours = SimpleNamespace(**_used.__init__.__globals__)

KEYS = st.binary(min_size=32, max_size=32)
NONCES = st.binary(min_size=12, max_size=12)


@given(KEYS, NONCES, st.binary(max_size=300), st.none() | st.binary(max_size=40))
def test_the_aead_seals_and_opens_as_the_other_does(
    key: bytes, nonce: bytes, message: bytes, bound: bytes | None
) -> None:
    one, other = sodium.ChaCha20Poly1305(key), aead.ChaCha20Poly1305(key)
    sealed = one.encrypt(nonce, message, bound)
    assert sealed == other.encrypt(nonce, message, bound)
    assert one.decrypt(nonce, sealed, bound) == message


@given(KEYS, st.binary(max_size=80), st.integers(min_value=0))
def test_a_message_that_was_touched_is_refused(key: bytes, message: bytes, where: int) -> None:
    cipher, nonce = sodium.ChaCha20Poly1305(key), bytes(12)
    touched = bytearray(cipher.encrypt(nonce, message, b""))
    touched[where % len(touched)] ^= 1 << where % 8
    with pytest.raises(sodium.InvalidTagError):
        cipher.decrypt(nonce, bytes(touched), b"")
    with pytest.raises(sodium.InvalidTagError):
        cipher.decrypt(nonce, bytes(touched)[:15], b"")


@given(KEYS, KEYS)
def test_keys_agree_on_what_the_others_agree_on(secret: bytes, other_secret: bytes) -> None:
    one = sodium.X25519PrivateKey.from_private_bytes(secret)
    two = x25519.X25519PrivateKey.from_private_bytes(other_secret)
    theirs = two.public_key().public_bytes_raw()
    mine = one.public_key().raw
    same = x25519.X25519PrivateKey.from_private_bytes(secret)
    assert mine == same.public_key().public_bytes_raw()
    agreed = one.exchange(sodium.X25519PublicKey.from_public_bytes(theirs))
    assert agreed == two.exchange(x25519.X25519PublicKey.from_public_bytes(mine))


@pytest.mark.parametrize("raw", [bytes(32), (1).to_bytes(32, "little")])
def test_a_key_of_small_order_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="small order"):
        sodium.X25519PrivateKey.generate().exchange(sodium.X25519PublicKey(raw))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_keys_and_nonces_of_another_length_are_refused(size: int) -> None:
    for make in (sodium.ChaCha20Poly1305, sodium.X25519PrivateKey, sodium.X25519PublicKey):
        with pytest.raises(ValueError, match=f"of {size} bytes"):
            make(bytes(size))
    with pytest.raises(ValueError, match="nonce"):
        sodium.ChaCha20Poly1305(bytes(32)).encrypt(bytes(size), b"", b"")


OTHERS_IN_THE_PROCESS = """
import sys
if "before" in sys.argv:
    import cryptography.exceptions as one, noise.connection as two
import ambientd.adapters.libp2p
from cryptography.exceptions import InvalidTag
from noise.connection import InvalidTag as caught, NoiseConnection
assert InvalidTag is caught and InvalidTag.__module__ == "cryptography.exceptions"
if "before" in sys.argv:
    assert (one, two) == (sys.modules["cryptography.exceptions"], sys.modules["noise.connection"])
side = NoiseConnection.from_name(b"Noise_NN_448_AESGCM_BLAKE2b")
side.set_as_initiator()
side.start_handshake()
assert len(side.write_message()) == 56
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_others_in_the_process_have_the_whole_of_both_packages(when: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", OTHERS_IN_THE_PROCESS, when],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("we_begin", [True, False])
def test_both_shake_hands_and_understand_each_other(we_begin: bool) -> None:
    assert theirs.InvalidTag is InvalidTag
    assert ours.InvalidTag is sodium.InvalidTagError
    name = b"Noise_XX_25519_ChaChaPoly_SHA256"
    sides = []
    for module, secret in ((ours, b"1" * 32), (theirs, b"2" * 32)):
        side = module.NoiseConnection.from_name(name)
        side.set_keypair_from_private_bytes(module.Keypair.STATIC, secret)
        sides.append(side)
    begins, answers = sides if we_begin else reversed(sides)
    begins.set_as_initiator()
    answers.set_as_responder()
    begins.start_handshake()
    answers.start_handshake()
    answers.read_message(begins.write_message())
    begins.read_message(answers.write_message(b"from who answers"))
    answers.read_message(begins.write_message(b"from who begins"))
    assert begins.handshake_finished
    assert answers.decrypt(begins.encrypt(b"one")) == b"one"
    assert begins.decrypt(answers.encrypt(b"two")) == b"two"
    with pytest.raises((ours.NoiseInvalidMessage, theirs.NoiseInvalidMessage)):
        answers.decrypt(begins.encrypt(b"three")[:-1] + b"\0\0")
