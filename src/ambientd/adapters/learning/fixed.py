"""What the trainers in fixed point take and give: examples/fixed-train and examples/fixed-cnn.

Both have the same twelve numbers in front, the model's own layout, and samples of bytes
(`rules.lessons` puts them together).
"""

import numpy as np

from ambientd.adapters.learning.samples import Samples
from ambientd.errors import ConfigError
from ambientd.rules.learning.models import Model
from ambientd.rules.learning.vectors import Wide, decoded
from ambientd.rules.lessons import REPORT_BYTES, SCALE


def rows(model: Model, samples: Samples) -> bytes:
    """Give samples as trainers read them: one byte for each input, one for the label.

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
    pixels = np.rint(samples.inputs * (1 << SCALE)).astype(np.uint8)
    return np.column_stack([pixels, samples.labels.astype(np.uint8)]).tobytes()


def change(model: Model, before: bytes, output: bytes) -> Wide:
    """Give by how much a trainer's output is another model than the one before.

    Raises:
        RemoteProtocolError: for an output of another form.
    """
    after = decoded(output[REPORT_BYTES:], model.count)
    return after.astype(np.int64) - decoded(before, model.count)
