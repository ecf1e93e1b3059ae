"""Train the digit classifier and write its weights and the held-out images.

Needs numpy and scikit-learn, which the project itself does not:

    python -m venv /tmp/train && /tmp/train/bin/pip install scikit-learn
    /tmp/train/bin/python examples/image-classify/train.py

A 64-32-10 network is trained in floating point on 1,400 of the 1,797 8x8 digits that come with
scikit-learn, then quantised to 8-bit weights. The other 397 are held out: neither training nor
quantisation sees them. The first 100 of those become `digits-100.bin`.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

HERE = Path(__file__).parent
SEED = 1
HELD_OUT = 397
PUBLISHED = 100
HIDDEN_MAX = 127
SHIFT = 16


def quantise(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Round weights to int8 with one scale for the layer."""
    scale = 127 / np.abs(weights).max()
    return np.rint(weights * scale).astype(np.int8), scale


def array(kind: str, name: str, values: np.ndarray) -> str:
    """Write a C array, sixteen numbers a line."""
    flat = [str(int(value)) for value in values.ravel()]
    lines = [", ".join(flat[at : at + 16]) for at in range(0, len(flat), 16)]
    return f"static const {kind} {name}[{len(flat)}] = {{\n  " + ",\n  ".join(lines) + "};\n"


def main() -> None:
    """Train, quantise, measure with integers only, write."""
    digits = load_digits()
    order = np.random.RandomState(SEED).permutation(len(digits.data))
    held_out, used = order[:HELD_OUT], order[HELD_OUT:]
    images, labels = digits.data.astype(np.int64), digits.target

    network = MLPClassifier((32,), alpha=0.01, max_iter=600, random_state=SEED)
    network.fit(images[used] / 16, labels[used])
    (first, second), (first_bias, second_bias) = network.coefs_, network.intercepts_

    first_q, first_scale = quantise(first)
    # Inputs are 0..16 and not 0..1, so sums carry a factor of 16 as well.
    first_bias_q = np.rint(first_bias * first_scale * 16).astype(np.int32)
    sums = np.maximum(images[used] @ first_q.astype(np.int64) + first_bias_q, 0)
    multiplier = int(HIDDEN_MAX / np.percentile(sums, 99.9) * (1 << SHIFT))
    hidden_scale = first_scale * 16 * multiplier / (1 << SHIFT)
    second_q, second_scale = quantise(second)
    second_bias_q = np.rint(second_bias * second_scale * hidden_scale).astype(np.int32)

    def predict(pixels: np.ndarray) -> np.ndarray:
        sums = np.maximum(pixels @ first_q.astype(np.int64) + first_bias_q, 0)
        hidden = np.minimum((sums * multiplier) >> SHIFT, HIDDEN_MAX)
        return np.argmax(hidden @ second_q.astype(np.int64) + second_bias_q, axis=1)

    for name, chosen in (
        ("used in training", used),
        ("held out", held_out),
        ("published", held_out[:PUBLISHED]),
    ):
        right = int((predict(images[chosen]) == labels[chosen]).sum())
        print(f"{name}: {right} of {len(chosen)} right, {right / len(chosen):.3f}")

    header = "// Written by train.py; do not edit.\n#include <stdint.h>\n\n"
    header += f"#define MULTIPLIER {multiplier}\n#define SHIFT {SHIFT}\n"
    header += f"#define HIDDEN_MAX {HIDDEN_MAX}\n\n"
    # Rows are the receiving units: the inner loop then walks through memory in order.
    header += array("int8_t", "FIRST", first_q.T) + array("int32_t", "FIRST_BIAS", first_bias_q)
    header += array("int8_t", "SECOND", second_q.T) + array("int32_t", "SECOND_BIAS", second_bias_q)
    (HERE / "weights.h").write_text(header, encoding="ascii")
    published = held_out[:PUBLISHED]
    (HERE / "digits-100.bin").write_bytes(
        PUBLISHED.to_bytes(4, "little") + images[published].astype(np.uint8).tobytes()
    )
    (HERE / "digits-100.labels").write_bytes(labels[published].astype(np.uint8).tobytes())


if __name__ == "__main__":
    main()
