"""Ed25519 as such: a seed's key, signing, verifying; the one module that knows PyNaCl."""

import functools

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from ambientd.codec.remembering import Remembered

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


@functools.lru_cache(maxsize=256)
def _signing_key(seed: bytes) -> SigningKey:
    return SigningKey(seed)


@functools.lru_cache(maxsize=4096)
def _verify_key(public_key: bytes) -> VerifyKey:
    return VerifyKey(public_key)


def public_key(seed: bytes) -> bytes:
    """Give the 32-byte key of a 32-byte seed."""
    return _signing_key(seed).verify_key.encode()


def sign(seed: bytes, message: bytes) -> bytes:
    """Sign a message; 64 bytes."""
    return _signing_key(seed).sign(message).signature


HELD_BYTES_MAX = 2 * 1024 * 1024
"""Of keys, signatures and messages: 16,384 checks of what this project signs, 3 MiB in memory."""

# One that does not hold is checked again: whoever sends such takes no room from the others.
_held: Remembered[bool] = Remembered(HELD_BYTES_MAX)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the key signed the message; never raises."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    asked = public_key + signature + message
    if _held.find(asked):
        return True
    try:
        _verify_key(public_key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    _held.keep(asked, True)
    return True
