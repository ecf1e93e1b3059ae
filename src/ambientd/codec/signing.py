"""Ed25519 signatures under a domain tag and a cluster fingerprint (protocols/01-signatures.md)."""

import functools
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from ambientd.codec.digest import tagged

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def _statement(domain: str, cluster: bytes, payload: bytes) -> bytes:
    """Give what is really signed: a tagged hash, so no signature means two things."""
    return tagged(f"ambient/{domain}/1", cluster, payload)


@dataclass(frozen=True, slots=True)
class Signer:
    """A node's signing key, bound to one cluster."""

    seed: bytes
    cluster: bytes

    @property
    def public_key(self) -> bytes:
        """Give the 32-byte Ed25519 public key, which is the node's id."""
        return _signing_key(self.seed).verify_key.encode()

    def sign(self, domain: str, payload: bytes) -> bytes:
        """Sign `payload` for one domain; 64 bytes."""
        return _signing_key(self.seed).sign(_statement(domain, self.cluster, payload)).signature

    def sign_note(self, text: bytes) -> bytes:
        """Sign a checkpoint note's text as it stands; its first line keeps it apart."""
        return _signing_key(self.seed).sign(text).signature


@functools.lru_cache(maxsize=256)
def _signing_key(seed: bytes) -> SigningKey:
    return SigningKey(seed)


@functools.lru_cache(maxsize=4096)
def _verify_key(public_key: bytes) -> VerifyKey:
    return VerifyKey(public_key)


@functools.lru_cache(maxsize=16384)
def _verify(public_key: bytes, statement: bytes, signature: bytes) -> bool:
    try:
        _verify_key(public_key).verify(statement, signature)
    except (CryptoError, ValueError):
        return False
    return True


def verify(
    public_key: bytes, domain: str, cluster: bytes, payload: bytes, signature: bytes
) -> bool:
    """Tell whether the key signed the payload for this domain and cluster; never raises."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return _verify(public_key, _statement(domain, cluster, payload), signature)


def verify_note(public_key: bytes, text: bytes, signature: bytes) -> bool:
    """Tell whether the key signed a checkpoint note's text as it stands (C2SP signed-note)."""
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return _verify(public_key, text, signature)
