"""Signatures at the edges of what `ed25519_verify` accepts: (name, key, signature, message, holds).

All are made from the secret scalar `SECRET` and the nonce `NONCE`, so the equation is known to hold
or not; which of them a verifier accepts is what implementations differ in.
"""

from tests.wasm.edwards import (
    BASE,
    FIELD,
    IDENTITY,
    ORDER,
    TORSION,
    Point,
    add,
    challenge,
    encode,
    multiply,
    point_at,
)

SECRET, NONCE = 0x1234567, 0x7654321
MESSAGE = b"what was measured"
Case = tuple[str, bytes, bytes, bytes, bool]


def cases() -> list[Case]:
    """Every rule of protocols/04 §9.3, from both sides where it has two."""
    key, r = multiply(SECRET, BASE), multiply(NONCE, BASE)
    good = _sign(key, r)
    public = encode(key)
    s = int.from_bytes(good[32:], "little")
    out: list[Case] = [
        ("a plain signature", public, good, MESSAGE, True),
        ("an empty message", public, _sign(key, r, b""), b"", True),
        ("another message", public, good, MESSAGE + b".", False),
        ("another key", encode(BASE), good, MESSAGE, False),
        ("a flipped bit in R", public, bytes([good[0] ^ 1]) + good[1:], MESSAGE, False),
        (
            "a flipped bit in S",
            public,
            good[:32] + bytes([good[32] ^ 1]) + good[33:],
            MESSAGE,
            False,
        ),
        ("S + L", public, good[:32] + _scalar(s + ORDER), MESSAGE, False),
        (
            "S with its highest bit set",
            public,
            good[:63] + bytes([good[63] | 0x80]),
            MESSAGE,
            False,
        ),
        ("S = L", public, good[:32] + _scalar(ORDER), MESSAGE, False),
        ("all zeros", bytes(32), bytes(64), MESSAGE, False),
    ]
    for number in range(8):
        small = multiply(number, TORSION)
        # With such a key the equation holds for R = S·B − h·A, whatever was signed.
        name = f"a key of small order, {number} times a point of order 8"
        message, signature = _with_small_key(small, encode(small))
        out.append((name, encode(small), signature, message, False))
    for number in range(8):
        # S·B = R + h·A with R of small order: S = h·a.
        small_r = multiply(number, TORSION)
        h = challenge(encode(small_r), public, MESSAGE)
        signature = encode(small_r) + _scalar(h * SECRET % ORDER)
        out.append(
            (
                f"R of small order, {number} times a point of order 8",
                public,
                signature,
                MESSAGE,
                False,
            )
        )
    out += _mixed_keys(key, r)
    mixed = add(r, TORSION)
    out.append(
        (
            "R with a part of small order: only the cofactored equation holds",
            public,
            _sign(key, mixed),
            MESSAGE,
            False,
        )
    )
    for y, sign in ((0, 0), (1, 0), (1, 1)):
        # Read modulo p, these are points of small order, and the equation holds for them.
        small = point_at(y, 0)
        assert small is not None
        raw = (y + FIELD | sign << 255).to_bytes(32, "little")
        message, signature = _with_small_key(small, raw)
        out.append(
            (
                f"a key in non-canonical form, y = p + {y}, sign {sign}",
                raw,
                signature,
                message,
                False,
            )
        )
        h = challenge(raw, public, MESSAGE)
        out.append(
            (
                f"R in non-canonical form, y = p + {y}, sign {sign}",
                public,
                raw + _scalar(h * SECRET % ORDER),
                MESSAGE,
                False,
            )
        )
    for y in (3, 18):
        raw = (y + FIELD).to_bytes(32, "little")
        out.append((f"a key in non-canonical form, y = p + {y}", raw, good, MESSAGE, False))
        out.append(
            (f"R in non-canonical form, y = p + {y}", public, raw + good[32:], MESSAGE, False)
        )
    minus_zero = (1 | 1 << 255).to_bytes(32, "little")
    out.append(("a key x = 0 with a sign", minus_zero, good, MESSAGE, False))
    no_point = next(y for y in range(2, 99) if point_at(y) is None).to_bytes(32, "little")
    out.append(("a key that is no point", no_point, good, MESSAGE, False))
    out.append(("R that is no point", public, no_point + good[32:], MESSAGE, False))
    return out


def _scalar(number: int) -> bytes:
    return number.to_bytes(32, "little")


def _sign(key: Point, r: Point, message: bytes = MESSAGE) -> bytes:
    h = challenge(encode(r), encode(key), message)
    return encode(r) + _scalar((NONCE + h * SECRET) % ORDER)


def _with_small_key(small: Point, key: bytes) -> tuple[bytes, bytes]:
    """A signature whose equation holds under a key of small order: R = S·B with h·A = 0."""
    r = encode(multiply(NONCE, BASE))
    for number in range(256):
        message = MESSAGE + bytes([number])
        if multiply(challenge(r, key, message), small) == IDENTITY:
            return message, r + _scalar(NONCE)
    raise AssertionError


def _mixed_keys(key: Point, r: Point) -> list[Case]:
    """Keys with a part of small order besides: valid exactly when h takes that part away."""
    out: list[Case] = []
    for number in (4, 2, 1):
        mixed = add(key, multiply(number, TORSION))
        order = 8 // number
        seen: set[bool] = set()
        for tail in range(256):
            message = MESSAGE + bytes([tail])
            holds = challenge(encode(r), encode(mixed), message) % order == 0
            if holds in seen:
                continue
            seen.add(holds)
            out.append(
                (
                    f"a key with a part of order {order}, the equation "
                    + ("holds" if holds else "does not hold"),
                    encode(mixed),
                    _sign(mixed, r, message),
                    message,
                    holds,
                )
            )
    return out
