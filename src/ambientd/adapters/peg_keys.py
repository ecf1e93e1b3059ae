"""A member's key of the peg in a file, mode 0600, with a passphrase or without.

The file is a seed (BIP 32). With a passphrase it is sealed: scrypt, then ChaCha20-Poly1305.
"""

import hmac
import os
import stat
from collections.abc import Mapping
from hashlib import sha512
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ambientd.adapters.durable_files import sync_directory, write_synced
from ambientd.adapters.keys import draw_secret
from ambientd.codec import secp256k1
from ambientd.errors import ConfigError
from ambientd.model.peg import PegPayment, PegWallet
from ambientd.rules.peg_payments import digests
from ambientd.rules.peg_script import child_tweak

SEED_SIZE: Final = 32
_OPEN: Final = b"AMBPEG\x00\x01"
_SEALED: Final = b"AMBPEG\x00\x02"
_SALT_SIZE: Final = 16
_NONCE_SIZE: Final = 12
_TAG_SIZE: Final = 16
_SCRYPT_N: Final = 2**15  # 32 MiB, a tenth of a second
_FILE_SIZE_MAX: Final = len(_SEALED) + _SALT_SIZE + _NONCE_SIZE + SEED_SIZE + _TAG_SIZE


def create_peg_key(path: Path, passphrase: str = "") -> bytes:
    """Draw a seed and keep it in a new file; an existing one is never touched.

    Raises:
        ConfigError: when there is a file already, or the folder cannot be written.
    """
    seed = draw_secret(SEED_SIZE)
    data = _OPEN + seed
    if passphrase:
        salt, nonce = draw_secret(_SALT_SIZE), draw_secret(_NONCE_SIZE)
        sealed = ChaCha20Poly1305(_stretched(passphrase, salt)).encrypt(nonce, seed, _SEALED)
        data = _SEALED + salt + nonce + sealed
    try:
        write_synced(path, data)
        sync_directory(path.parent)
    except FileExistsError as error:
        msg = f"the peg's key file {path} exists already: coins may depend on it"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = f"cannot write the peg's key file {path}: {error.strerror}; check folder and disk"
        raise ConfigError(msg) from error
    return seed


def load_peg_key(path: Path, passphrase: str = "") -> bytes:
    """Read the seed.

    Raises:
        ConfigError: when the file is missing, open to others, malformed, or sealed otherwise.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        msg = f"cannot read the peg's key file {path}: {error.strerror}; restore it from a backup"
        raise ConfigError(msg) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
            msg = f"the peg's key file {path} is no plain file of its owner alone: chmod 600 {path}"
            raise ConfigError(msg)
        data = os.read(handle, _FILE_SIZE_MAX + 1)
    finally:
        os.close(handle)
    if data.startswith(_OPEN) and len(data) == len(_OPEN) + SEED_SIZE:
        if passphrase:
            msg = f"{path} is not sealed: unset the passphrase, which protects nothing, to use it"
            raise ConfigError(msg)
        return data[len(_OPEN) :]
    if not data.startswith(_SEALED) or len(data) != _FILE_SIZE_MAX:
        raise ConfigError(f"{path} is no key file of the peg: restore it from a backup")
    salt, rest = data[len(_SEALED) :][:_SALT_SIZE], data[len(_SEALED) + _SALT_SIZE :]
    cipher = ChaCha20Poly1305(_stretched(passphrase, salt))
    try:
        return cipher.decrypt(rest[:_NONCE_SIZE], rest[_NONCE_SIZE:], _SEALED)
    except InvalidTag as error:
        msg = f"the passphrase does not open {path}: try again, or restore the file from a backup"
        raise ConfigError(msg) from error


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=1).derive(passphrase.encode())


class SeedSigner:
    """Signs in this process with a key that is derived from a seed."""

    def __init__(self, seed: bytes) -> None:
        """Derive the root key (BIP 32)."""
        root = hmac.new(b"Bitcoin seed", seed, sha512).digest()
        self._secret = int.from_bytes(root[:32], "big")
        self.key = secp256k1.key_of(self._secret)
        self.chain_code = root[32:]

    async def prove(self, digest: bytes) -> bytes:
        """Sign with the key itself."""
        return secp256k1.sign(self._secret, digest)

    async def sign(
        self, payment: PegPayment, version: int, wallets: Mapping[int, PegWallet]
    ) -> tuple[bytes, ...]:
        """Sign every coin of a version."""
        found = digests(payment, version, wallets)
        return tuple(
            secp256k1.sign(self._child(coin.index), digest)
            for coin, digest in zip(payment.coins, found, strict=True)
        )

    def _child(self, index: int) -> int:
        return (self._secret + child_tweak(self.key, self.chain_code, index)) % secp256k1.ORDER
