"""Two keys that agree on a secret, and what is done with it: X25519, HKDF, AES-CTR, an AEAD.

The primitives are those of `cryptography` (RFC 7748, RFC 5869, NIST SP 800-38A, RFC 8439). Every
key that `derived` gives serves one stream or one sealed message alone; so nonces are zero. The
package is imported when the first of them is asked for: a node without private studies needs none.
"""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.ciphers import CipherContext

KEY_BYTES: Final = 32
SEAL_BYTES: Final = 16
"""By how much a sealed message is longer."""

_ANY_SECRET: Final = b"\x11" * KEY_BYTES
_NONCE: Final = bytes(12)
_BLOCK_BYTES: Final = 16
PIECE_BYTES: Final = 1 << 17
_ZEROS: Final = memoryview(bytes(PIECE_BYTES))


@functools.lru_cache(maxsize=256)
def _private(secret: bytes) -> "X25519PrivateKey":
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(secret)


def agreement_key(secret: bytes) -> bytes:
    """Give the 32-byte X25519 key of a 32-byte secret."""
    return _private(secret).public_key().public_bytes_raw()


def agreed(secret: bytes, public_key: bytes) -> bytes | None:
    """Give what both sides agree on; None for a key that is none, or of small order."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    try:
        return _private(secret).exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        return None


def is_agreeable(public_key: bytes) -> bool:
    """Tell whether a key is one of X25519, and not of small order: every secret says the same."""
    return agreed(_ANY_SECRET, public_key) is not None


def derived(secret: bytes, purpose: bytes) -> bytes:
    """Derive a 32-byte key for one purpose."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)


def stream(key: bytes, size_bytes: int) -> bytes:
    """Give the key's stream: AES-256 in counter mode from zero, over zeros."""
    return _counting(key).update(bytes(size_bytes))


def piece_place() -> bytearray:
    """Give a place for pieces; streams that are read in turns may share one."""
    return bytearray(PIECE_BYTES + _BLOCK_BYTES)


def stream_pieces(
    key: bytes, size_bytes: int, place: bytearray, begin: int = 0
) -> Iterator[memoryview]:
    """Give the same stream piece by piece, each in the place of the one before.

    It may begin at any multiple of PIECE_BYTES, as each block of the stream is made by itself.
    """
    assert begin % PIECE_BYTES == 0, "a stream is cut between pieces"
    cipher = _counting(key, begin)
    # Pieces that stay in a processor's cache took a third of the time.
    for at in range(begin, size_bytes, PIECE_BYTES):
        count = min(PIECE_BYTES, size_bytes - at)
        cipher.update_into(_ZEROS[:count], place)
        yield memoryview(place)[:count]


def sealed_once(key: bytes, message: bytes, bound: bytes) -> bytes:
    """Seal the one message of a key, bound to other bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(_NONCE, message, bound)


def unsealed_once(key: bytes, sealed: bytes, bound: bytes) -> bytes | None:
    """Open what `sealed_once` gave; None when anything about it differs."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    try:
        return ChaCha20Poly1305(key).decrypt(_NONCE, sealed, bound)
    except InvalidTag:
        return None


def _counting(key: bytes, begin: int = 0) -> "CipherContext":
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    counter = (begin // _BLOCK_BYTES).to_bytes(_BLOCK_BYTES, "big")
    return Cipher(algorithms.AES256(key), modes.CTR(counter)).encryptor()
