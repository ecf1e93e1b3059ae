"""What the trainers in fixed point take and give: examples/fixed-train and examples/fixed-cnn.

Both have the same twelve numbers in front, the model's own layout, and samples of bytes.
"""

import struct
from typing import Final

import numpy as np

from ambientd.adapters.learning.samples import Samples
from ambientd.errors import ConfigError
from ambientd.rules.learning.models import Kind, Model
from ambientd.rules.learning.vectors import decoded

INPUTS_MAX: Final = 1024
BATCH_MAX: Final = 1024
PASSES_MAX: Final = 1 << 16
RATE_SHIFT_MAX: Final = 24
REPORT_BYTES: Final = 8
# A sample's byte b stands for b / 2^7: what lies between 0 and 1 fits, the digits exactly.
_SCALE: Final = 7


def rate_shift(batch: int, rate_micro: int) -> int:
    """Give the power of two that a batch's summed gradient is divided by, for a rate or less."""
    return max(0, (-(-batch * 1_000_000 // rate_micro) - 1).bit_length())


def model_fault(model: Model) -> str | None:
    """Say why there is no trainer in fixed point for a model; None when there is."""
    if model.kind is Kind.MLP and len(model.sizes) != 3:
        return "the trainer in fixed point has one hidden layer: mlp:INPUTS,HIDDEN,CLASSES"
    hidden = model.sizes[1] * (model.pooled**2 if model.kind is Kind.CNN else 1)
    if model.inputs > INPUTS_MAX or hidden > INPUTS_MAX:
        return f"the trainer in fixed point has {INPUTS_MAX} inputs and hidden units at most"
    return None


def task_input(
    model: Model,
    numbers: bytes,
    samples: Samples,
    *,
    first: int,
    passes: int,
    batch: int,
    shift: int,
    seed: int,
) -> bytes:
    """Give the input of the task that trains a model for some passes.

    Raises:
        ConfigError: for samples that are not of this model, or not between 0 and 1.
    """
    if samples.inputs.shape[1] != model.inputs or int(samples.labels.max()) >= model.classes:
        raise ConfigError(
            f"the data have {samples.inputs.shape[1]} numbers a sample and labels up to "
            f"{samples.labels.max()}; the model takes {model.inputs} and {model.classes} classes"
        )
    if float(samples.inputs.min()) < 0 or float(samples.inputs.max()) > 1:
        raise ConfigError(
            "the trainer in fixed point takes numbers between 0 and 1; scale the data"
        )
    pixels = np.rint(samples.inputs * (1 << _SCALE)).astype(np.uint8)
    rows = np.column_stack([pixels, samples.labels.astype(np.uint8)])
    header = (
        *(model.sizes[0], model.sizes[1], model.classes, len(samples), 0),
        *(first, passes, batch, shift, _SCALE, seed, 1),
    )
    return struct.pack("<12I", *header) + numbers + rows.tobytes()


def task_model(model: Model, output: bytes) -> bytes:
    """Give the model in a task's output.

    Raises:
        RemoteProtocolError: for an output of another form.
    """
    decoded(output[REPORT_BYTES:], model.count)
    return output[REPORT_BYTES:]
