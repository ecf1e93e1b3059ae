"""Samples as others are given them to train again: float32, then the label as int32 (16 §12)."""

from typing import Final

import numpy as np

from ambientd.adapters.learning.samples import VALUE_MAX, Samples
from ambientd.errors import RemoteProtocolError
from ambientd.model.learning import Plan
from ambientd.rules.model_shapes import parsed
from ambientd.rules.tolerances import row_bytes, rows_fault

_FLOAT: Final = np.dtype("<f4")
_LABEL: Final = np.dtype("<i4")


def written(samples: Samples) -> bytes:
    """Give samples as bytes: of each its numbers, exactly as they are trained on, and its class."""
    labels = samples.labels.astype(_LABEL).view(_FLOAT)
    return np.column_stack([samples.inputs.astype(_FLOAT, copy=False), labels]).tobytes()


def read(plan: Plan, rows: bytes) -> Samples:
    """Read samples of a plan's model.

    Raises:
        RemoteProtocolError: for what is none, or more than others train on.
    """
    shape, each = parsed(plan.model), row_bytes(plan)
    count, rest = divmod(len(rows), each)
    fault = rows_fault(plan, count) if not rest else f"{len(rows)} bytes are no rows of {each}"
    if fault is not None:
        raise RemoteProtocolError(fault)
    table = np.frombuffer(rows, dtype=_FLOAT).reshape(count, shape.inputs + 1)
    inputs = table[:, :-1].astype(np.float32)
    labels = table[:, -1].copy().view(_LABEL).astype(np.int64)
    if not (np.abs(inputs) <= VALUE_MAX).all():
        raise RemoteProtocolError(f"a sample holds what is no number up to {VALUE_MAX}")
    if int(labels.min()) < 0 or int(labels.max()) >= shape.classes:
        raise RemoteProtocolError(f"labels lie between 0 and {shape.classes - 1}")
    return Samples(inputs, labels)
