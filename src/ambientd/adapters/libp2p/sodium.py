"""What noise uses of `cryptography`, on the libsodium that every daemon has loaded anyway.

`cryptography` brings an OpenSSL of its own: 9 MB in a daemon that needs X25519, ChaCha20-Poly1305,
SHA-256 and HMAC of it (RFC 7748, RFC 8439). The names and arguments here are those of that
package, as far as libp2p and its noise call them; `slim` puts them into its place.
"""

import hashlib
import hmac
from types import SimpleNamespace
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError
from nacl.exceptions import RuntimeError as SodiumError

from ambientd.adapters.keys import draw_secret

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class InvalidTagError(Exception):
    """A sealed message is not what its key made."""


class ChaCha20Poly1305:
    """The AEAD of RFC 8439 with one key."""

    def __init__(self, key: bytes) -> None:
        _check("key", key, KEY_BYTES)
        self._key = bytes(key)

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Seal a message; the nonce may never come again."""
        _check("nonce", nonce, NONCE_BYTES)
        bound, message = bytes(associated_data or b""), bytes(data)
        return crypto_aead_chacha20poly1305_ietf_encrypt(message, bound, bytes(nonce), self._key)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Open what `encrypt` gave; raise InvalidTagError when anything about it differs."""
        _check("nonce", nonce, NONCE_BYTES)
        bound, sealed = bytes(associated_data or b""), bytes(data)
        if len(sealed) < TAG_BYTES:
            raise InvalidTagError
        try:
            return crypto_aead_chacha20poly1305_ietf_decrypt(sealed, bound, bytes(nonce), self._key)
        except CryptoError as error:
            raise InvalidTagError from error


class X25519PublicKey:
    """A point of Curve25519, as its 32 bytes."""

    def __init__(self, raw: bytes) -> None:
        _check("public key", raw, KEY_BYTES)
        self.raw = bytes(raw)

    @classmethod
    def from_public_bytes(cls, data: bytes) -> "X25519PublicKey":
        """Read one."""
        return cls(data)

    def public_bytes(self, encoding: object, format: object) -> bytes:  # noqa: A002 - its name there
        """Give the 32 bytes, the only form that is asked for."""
        del encoding, format
        return self.raw


class X25519PrivateKey:
    """A secret for Curve25519."""

    def __init__(self, raw: bytes) -> None:
        _check("private key", raw, KEY_BYTES)
        self._raw = bytes(raw)

    @classmethod
    def generate(cls) -> "X25519PrivateKey":
        """Draw one."""
        return cls(draw_secret(KEY_BYTES))

    @classmethod
    def from_private_bytes(cls, data: bytes) -> "X25519PrivateKey":
        """Read one."""
        return cls(data)

    def private_bytes(self, **_form: object) -> bytes:
        """Give the 32 bytes, the only form that is asked for."""
        return self._raw

    def public_key(self) -> X25519PublicKey:
        """Give the point that belongs to it."""
        return X25519PublicKey(crypto_scalarmult_base(self._raw))

    def exchange(self, peer_public_key: X25519PublicKey) -> bytes:
        """Agree with another key; raise ValueError where all secrets would agree on the same."""
        try:
            return crypto_scalarmult(self._raw, peer_public_key.raw)
        except SodiumError as error:
            raise ValueError("a public key of small order") from error


class SHA256:
    """Names the one hash that our noise has."""

    name = "sha256"


class Hash:
    """A hash under way."""

    def __init__(self, algorithm: SHA256, backend: object = None) -> None:
        del backend
        self._state = hashlib.new(algorithm.name)

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self._state.update(data)

    def finalize(self) -> bytes:
        """Give the digest."""
        return self._state.digest()


class HMAC:
    """A keyed hash under way (RFC 2104)."""

    def __init__(self, key: bytes, algorithm: SHA256, backend: object = None) -> None:
        del backend
        self._state = hmac.new(key, digestmod=algorithm.name)

    def update(self, data: bytes) -> None:
        """Take more bytes in."""
        self._state.update(data)

    def finalize(self) -> bytes:
        """Give the code."""
        return self._state.digest()


_PRIMITIVES = "cryptography.hazmat.primitives"
_RAW = SimpleNamespace(Raw="raw")
SUBSTITUTES: Final[dict[str, dict[str, object]]] = {
    "cryptography.exceptions": {"InvalidTag": InvalidTagError},
    "cryptography.hazmat.backends": {"default_backend": lambda: None},
    f"{_PRIMITIVES}.asymmetric.x25519": {
        "X25519PrivateKey": X25519PrivateKey,
        "X25519PublicKey": X25519PublicKey,
    },
    f"{_PRIMITIVES}.ciphers.aead": {"ChaCha20Poly1305": ChaCha20Poly1305},
    f"{_PRIMITIVES}.hashes": {"Hash": Hash, "SHA256": SHA256},
    f"{_PRIMITIVES}.hmac": {"HMAC": HMAC},
    f"{_PRIMITIVES}.serialization": {
        "Encoding": _RAW,
        "PrivateFormat": _RAW,
        "PublicFormat": _RAW,
        "NoEncryption": lambda: None,
    },
}
"""Modules of `cryptography`, by name, with what is asked of them."""


def _check(what: str, given: bytes, size: int) -> None:
    if len(given) != size:
        raise ValueError(f"a {what} of {len(given)} bytes; it has {size}")
