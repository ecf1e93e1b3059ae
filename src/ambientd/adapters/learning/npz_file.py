"""A model that was exported as .npz, read back to the bytes that a round's receipt names."""

import io
import zipfile
import zlib

import numpy as np

from ambientd.errors import ConfigError
from ambientd.rules.learning.vectors import NUMBERS_MAX, from_floats

_BYTES_MAX = NUMBERS_MAX * 8 + 1024 * 1024
_FAULTS = (
    *(ValueError, TypeError, LookupError, OSError, EOFError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, OverflowError, MemoryError),
)
"""What NumPy and zipfile raise for files that claim or pack something odd."""


def read(data: bytes) -> bytes:
    """Give the model's numbers as Q16; raise ConfigError for a file that is no exported model."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(each.file_size for each in archive.infolist()) > _BYTES_MAX:
                raise ConfigError("is larger than any model")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            parts = []
            for layer in range(1, len(arrays.files) // 2 + 1):
                parts += [arrays[f"weights{layer}"].ravel(), arrays[f"biases{layer}"].ravel()]
            return from_floats(np.concatenate(parts))
    except _FAULTS as error:
        raise ConfigError("is no .npz that `ambientctl fl export` wrote") from error
