"""Hashes and signatures at the speed of the host, for either interface (protocols/04 §9.3).

Nothing here keeps state, and nothing needs a file or a system call once it is imported.
"""

import hashlib
from collections.abc import Callable
from typing import Protocol

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from ambientd.model.execution import TrapReason
from ambientd.wasm.guest import Guest, HostTrapError, charge, check, pieces

# Measured nanoseconds, rounded up by about two for devices without instructions for SHA-256.
HASH_GAS_PER_BYTE = 2
VERIFY_GAS = 100_000
VERIFY_GAS_PER_BYTE = 4

DIGEST_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
# A signature is checked over one copy of its message: a larger one is for hashing first.
MESSAGE_BYTES_MAX = 1 << 20


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


def _hash(guest: Guest, state: _Hash, address: int, size_bytes: int, out: int) -> None:
    check(guest, (address, size_bytes), (out, DIGEST_BYTES))
    charge(guest, size_bytes * HASH_GAS_PER_BYTE)
    for piece in pieces(guest, address, size_bytes):
        state.update(piece)
    guest.write(out, state.digest())


def _sha256(guest: Guest, address: int, size_bytes: int, out: int) -> None:
    _hash(guest, hashlib.sha256(), address, size_bytes, out)


def _blake2b_256(guest: Guest, address: int, size_bytes: int, out: int) -> None:
    _hash(guest, hashlib.blake2b(digest_size=DIGEST_BYTES), address, size_bytes, out)


def _ed25519_verify(
    guest: Guest, public_key: int, message: int, message_bytes: int, signature: int
) -> int:
    check(
        guest,
        (public_key, PUBLIC_KEY_BYTES),
        (message, message_bytes),
        (signature, SIGNATURE_BYTES),
    )
    if message_bytes > MESSAGE_BYTES_MAX:
        raise HostTrapError(TrapReason.HOST_CALL)
    charge(guest, VERIFY_GAS + message_bytes * VERIFY_GAS_PER_BYTE)
    signed = guest.read(signature, SIGNATURE_BYTES) + guest.read(message, message_bytes)
    try:
        crypto_sign_open(signed, guest.read(public_key, PUBLIC_KEY_BYTES))
    except BadSignatureError:
        return 0
    return 1


CRYPTO_SERVED: dict[str, Callable[..., int | None]] = {
    "sha256": _sha256,
    "blake2b_256": _blake2b_256,
    "ed25519_verify": _ed25519_verify,
}
