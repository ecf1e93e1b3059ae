"""Ed25519 as such: a seed's key, signing, verifying; the one module that knows PyNaCl."""

import functools

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey


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


@functools.lru_cache(maxsize=16384)
def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the key signed the message; never raises."""
    try:
        _verify_key(public_key).verify(message, signature)
    except (CryptoError, ValueError):
        return False
    return True
