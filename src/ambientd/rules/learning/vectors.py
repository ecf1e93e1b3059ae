"""Models and updates as bytes: little-endian int32 in Q16, each within +-(2^23 - 1)."""

from typing import Final

import numpy as np
import numpy.typing as npt

from ambientd.errors import RemoteProtocolError

NUMBER_BYTES: Final = 4
ONE: Final = 1 << 16
RANGE: Final = (1 << 23) - 1
NUMBERS_MAX: Final = 1 << 24

Numbers = npt.NDArray[np.int32]
Wide = npt.NDArray[np.int64]
_LITTLE: Final = np.dtype("<i4")


def decoded(data: bytes | memoryview, count: int | None = None) -> Numbers:
    """Read a model or an update, without a copy.

    Raises:
        RemoteProtocolError: for another length, or a number out of range.
    """
    if len(data) % NUMBER_BYTES or not 0 < len(data) <= NUMBER_BYTES * NUMBERS_MAX:
        raise RemoteProtocolError(f"{len(data)} bytes are no list of 32-bit numbers of a model")
    numbers = np.frombuffer(data, dtype=_LITTLE)
    if count is not None and len(numbers) != count:
        raise RemoteProtocolError(f"{len(numbers)} numbers where the model has {count}")
    if int(numbers.max()) > RANGE or int(numbers.min()) < -RANGE:
        raise RemoteProtocolError("a number of the update is beyond 128")
    return numbers


def encoded(numbers: Wide | Numbers) -> bytes:
    """Give the bytes of numbers, clamped to the range."""
    return np.clip(numbers, -RANGE, RANGE).astype(_LITTLE, copy=False).tobytes()


def rounded(values: npt.NDArray[np.floating]) -> Numbers:
    """Round floats to Q16, clamped to the range; what is not a number becomes zero."""
    # In one array: a model's copies cost more than the arithmetic.
    scaled = np.multiply(values, ONE, dtype=np.float64)
    np.copyto(scaled, 0.0, where=np.isnan(scaled))
    np.clip(scaled, -RANGE, RANGE, out=scaled)
    whole: Numbers = np.rint(scaled, out=scaled).astype(_LITTLE)
    return whole


def from_floats(values: npt.NDArray[np.floating]) -> bytes:
    """Give the bytes of floats as `rounded` rounds them."""
    return rounded(values).tobytes()


def to_floats(data: bytes) -> npt.NDArray[np.float64]:
    """Give the floats that Q16 numbers stand for; exact."""
    return np.divide(decoded(data), ONE, dtype=np.float64)


def applied(model: bytes, update: Wide | Numbers) -> bytes:
    """Add an update to a model, clamped to the range."""
    return encoded(decoded(model, len(update)).astype(np.int64) + update)
