"""Edwards points in a few lines, to make signatures that no signer makes."""

import hashlib

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, FIELD - 2, FIELD) % FIELD
_ROOT = pow(2, (FIELD - 1) // 4, FIELD)  # of minus one
Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    t = _D * x1 * x2 * y1 * y2 % FIELD
    return (
        (x1 * y2 + x2 * y1) * pow(1 + t, FIELD - 2, FIELD) % FIELD,
        (y1 * y2 + x1 * x2) * pow(1 - t, FIELD - 2, FIELD) % FIELD,
    )


def multiply(number: int, point: Point) -> Point:
    total = IDENTITY
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def point_at(y: int, sign: int = 0) -> Point | None:
    square = (y * y - 1) * pow(_D * y * y + 1, FIELD - 2, FIELD) % FIELD
    x = pow(square, (FIELD + 3) // 8, FIELD)
    if (x * x - square) % FIELD:
        x = x * _ROOT % FIELD
    if (x * x - square) % FIELD:
        return None
    return (FIELD - x if x & 1 != sign else x), y


def _base() -> Point:
    found = point_at(4 * pow(5, FIELD - 2, FIELD) % FIELD)
    assert found is not None
    return found


def _of_order_eight() -> Point:
    y = 2
    while True:
        found = point_at(y)
        if found is not None:
            small = multiply(ORDER, found)
            if multiply(4, small) != IDENTITY:
                return small
        y += 1


BASE = _base()
TORSION = _of_order_eight()


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER
