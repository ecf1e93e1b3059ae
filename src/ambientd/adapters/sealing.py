"""A secret under a passphrase: scrypt, then ChaCha20-Poly1305."""

import unicodedata
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ambientd.adapters.keys import draw_secret

_SALT_SIZE: Final = 16
_NONCE_SIZE: Final = 12
_SCRYPT_N: Final = 2**15  # 32 MiB: a small device has no more to spare
_SCRYPT_P: Final = MappingProxyType({2: 1, 3: 3})
"""How often that is worked through, by the version that a mark ends in; now about 0.3 s."""


def sealed(secret: bytes, passphrase: str, mark: bytes) -> bytes:
    """Give salt, nonce and what opens with the passphrase and the same mark alone."""
    salt, nonce = draw_secret(_SALT_SIZE), draw_secret(_NONCE_SIZE)
    return salt + nonce + _cipher(passphrase, salt, mark).encrypt(nonce, secret, mark)


def unsealed(data: bytes, passphrase: str, mark: bytes) -> bytes | None:
    """Give the secret; None when the passphrase is another, or the data are damaged."""
    salt, rest = data[:_SALT_SIZE], data[_SALT_SIZE:]
    if len(rest) < _NONCE_SIZE:
        return None
    try:
        cipher = _cipher(passphrase, salt, mark)
        return cipher.decrypt(rest[:_NONCE_SIZE], rest[_NONCE_SIZE:], mark)
    except InvalidTag:
        return None


def _cipher(passphrase: str, salt: bytes, mark: bytes) -> ChaCha20Poly1305:
    # Keyboards write one letter in several ways; the same words must open the same file.
    words = unicodedata.normalize("NFKD", passphrase).encode()
    scrypt = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=_SCRYPT_P[mark[-1]])
    return ChaCha20Poly1305(scrypt.derive(words))
