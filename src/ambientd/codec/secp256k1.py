"""Bitcoin's curve: keys, sums of keys, signatures.

A public key has 33 bytes (compressed), a signature 64: r and s, s in the lower half of the order.
The multiplications are those of `cryptography`; only the sum of two points is worked out here.
The package is imported with the first key: a node whose ledger holds no peg needs none of it.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

KEY_SIZE: Final = 33
SIGNATURE_SIZE: Final = 64
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_FIELD: Final = 2**256 - 2**32 - 977


class _Point(NamedTuple):
    x: int
    y: int


@lru_cache(maxsize=4096)
def _read(key: bytes) -> "ec.EllipticCurvePublicKey | None":
    from cryptography.hazmat.primitives.asymmetric import ec

    if len(key) != KEY_SIZE:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key)
    except ValueError:
        return None


def is_key(key: bytes) -> bool:
    """Tell whether these bytes are a compressed point of the curve."""
    return _read(key) is not None


def key_of(secret: int) -> bytes:
    """Give the public key of a number from 1 to the order, without."""
    return _written(_point_of(secret))


def add_to_key(key: bytes, number: int) -> bytes | None:
    """Give the key of the secret that is larger by a number; None when there is no such key."""
    read = _read(key)
    if read is None or not 0 < number < ORDER:
        return None
    held = read.public_numbers()
    total = _sum(_Point(held.x, held.y), _point_of(number))
    return None if total is None else _written(total)


def verify(key: bytes, digest: bytes, signature: bytes) -> bool:
    """Tell whether a key signed a 32-byte digest, in the one form that Bitcoin relays."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    read = _read(key)
    if read is None or len(digest) != 32 or len(signature) != SIGNATURE_SIZE:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < ORDER and 0 < s <= ORDER // 2):
        return False
    try:
        read.verify(encode_dss_signature(r, s), digest, _signing())
    except InvalidSignature:
        return False
    return True


def sign(secret: int, digest: bytes) -> bytes:
    """Sign a 32-byte digest; the same digest gives the same signature."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    r, s = decode_dss_signature(_secret_key(secret).sign(digest, _signing()))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


@lru_cache(maxsize=1)
def _signing() -> "ec.ECDSA":
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    return ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)  # RFC 6979


def _secret_key(secret: int) -> "ec.EllipticCurvePrivateKey":
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.derive_private_key(secret, ec.SECP256K1())


def _point_of(number: int) -> _Point:
    held = _secret_key(number).public_key().public_numbers()
    return _Point(held.x, held.y)


def _sum(one: _Point, two: _Point) -> _Point | None:
    if one.x == two.x and (one.y + two.y) % _FIELD == 0:
        return None
    if one == two:
        slope = 3 * one.x * one.x * pow(2 * one.y, -1, _FIELD)
    else:
        slope = (two.y - one.y) * pow(two.x - one.x, -1, _FIELD)
    x = (slope * slope - one.x - two.x) % _FIELD
    return _Point(x, (slope * (one.x - x) - one.y) % _FIELD)


def _written(point: _Point) -> bytes:
    return bytes([2 + (point.y & 1)]) + point.x.to_bytes(32, "big")
