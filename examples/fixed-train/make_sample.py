"""Write `digits-800.bin`, the sample input: 600 digits to train on, 200 to test with.

Needs scikit-learn, which the project itself does not:

    python -m venv train-venv && train-venv/bin/pip install scikit-learn
    train-venv/bin/python examples/fixed-train/make_sample.py

The digits are the first 800 of a fixed shuffle of the 1,797 that come with scikit-learn.
"""

import struct
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TRAIN, TEST = 600, 200
SEED = 1


def main() -> None:
    """Write header and samples; the header's fields are in README.md."""
    digits = load_digits()
    order = np.random.RandomState(SEED).permutation(len(digits.data))[: TRAIN + TEST]
    header = struct.pack("<12I", 64, 16, 10, TRAIN, TEST, 0, 12, 8, 5, 4, SEED, 0)
    samples = np.column_stack([digits.data[order], digits.target[order]]).astype(np.uint8)
    Path(__file__).with_name("digits-800.bin").write_bytes(header + samples.tobytes())


if __name__ == "__main__":
    main()
