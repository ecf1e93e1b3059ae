"""Shamir's secret sharing over the prime field of 2^521 - 1 (protocols/17, Shamir 1979).

Any `threshold` shares give the secret back; fewer say nothing about it.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from ambientd.codec.agreement import derived, stream

PRIME: Final = 2**521 - 1
SHARE_BYTES: Final = 66
_SECRET_BYTES: Final = 32


def _coefficients(seed: bytes, count: int) -> list[int]:
    """Draw uniform elements of the field; the same ones again for the same seed."""
    numbers: list[int] = []
    for number in range(count):
        for attempt in range(8):
            purpose = b"shamir" + number.to_bytes(4, "big") + attempt.to_bytes(1, "big")
            drawn = stream(derived(seed, purpose), SHARE_BYTES)
            element = int.from_bytes(drawn, "big") & PRIME
            # All ones is no element; that it comes once has a chance of 2^-521.
            if element != PRIME:
                numbers.append(element)
                break
    return numbers


def split(secret: bytes, places: Sequence[int], threshold: int, seed: bytes) -> list[bytes]:
    """Give a share for each place, a number of the field other than zero."""
    assert len(secret) == _SECRET_BYTES
    assert 1 <= threshold <= len(places)
    assert len({place % PRIME for place in places} - {0}) == len(places)
    numbers = [int.from_bytes(secret, "big"), *_coefficients(seed, threshold - 1)]
    shares = []
    for place in places:
        value = 0
        for number in reversed(numbers):
            value = (value * place + number) % PRIME
        shares.append(value.to_bytes(SHARE_BYTES, "big"))
    return shares


def joined(shares: Mapping[int, bytes]) -> bytes | None:
    """Give the secret back from exactly as many shares as are needed; None if they hold none."""
    total = 0
    for place, share in shares.items():
        over = under = 1
        for other in shares:
            if other != place:
                over = over * other % PRIME
                under = under * (other - place) % PRIME
        total += int.from_bytes(share, "big") * over * pow(under, -1, PRIME)
    secret = total % PRIME
    if secret >> (8 * _SECRET_BYTES):
        return None
    return secret.to_bytes(_SECRET_BYTES, "big")
