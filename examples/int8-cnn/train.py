"""Train the convolutional classifier and write its weights: `python examples/int8-cnn/train.py`.

Needs numpy, which the daemon has for learning. A network of 3x3 filters over one channel, the
largest of each 2x2, max(0, .) and a dense layer is trained in floating point on 1,400 of the 1,797
digits that come with the daemon, then quantised to 8-bit weights. The other 397 are held out, the
100 of `image-classify/digits-100.bin` among them.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DIGITS = HERE.parent.parent / "src" / "ambientd" / "adapters" / "learning" / "digits.npz"
PUBLISHED = HERE.parent / "image-classify" / "digits-100.bin"
SEED, HELD_OUT, FILTERS, PASSES, BATCH = 1, 397, 6, 60, 20
HIDDEN_MAX, SHIFT = 127, 16


def windows(images: np.ndarray) -> np.ndarray:
    """Give the nine pixels of each of the 6x6 places: images, places, pixels."""
    seen = np.lib.stride_tricks.sliding_window_view(images.reshape(-1, 8, 8), (3, 3), axis=(1, 2))
    # Places in fours: the 2x2 of which the largest counts lie together.
    seen = seen.reshape(-1, 3, 2, 3, 2, 9).transpose(0, 1, 3, 2, 4, 5)
    return seen.reshape(len(images), 9, 4, 9)


def hidden(
    images: np.ndarray, first: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Give what each filter finds in each 2x2, at least 0, filters first; and where in it."""
    sums = np.einsum("npqw,fw->nfpq", windows(images), first) + bias[:, None, None]
    return np.maximum(sums.max(axis=3), 0).reshape(len(images), -1), sums.argmax(axis=3)


def train(images: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Give filters, their biases, the dense layer, its biases: Adam on the cross entropy."""
    rng = np.random.default_rng(SEED)
    weights = [
        rng.normal(0, 1 / 3, (FILTERS, 9)),
        np.zeros(FILTERS),
        rng.normal(0, 0.15, (9 * FILTERS, 10)),
        np.zeros(10),
    ]
    means, squares = ([np.zeros_like(each) for each in weights] for _ in range(2))
    step = 0
    for _ in range(PASSES):
        order = rng.permutation(len(images))
        for at in range(0, len(order), BATCH):
            chosen = order[at : at + BATCH]
            step += 1
            found = gradients(images[chosen], labels[chosen], weights)
            size = 0.003 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            for layer, gradient in enumerate(found):
                decayed = gradient + 1e-4 * weights[layer]
                means[layer] += 0.1 * (decayed - means[layer])
                squares[layer] += 0.001 * (decayed**2 - squares[layer])
                weights[layer] -= size * means[layer] / (np.sqrt(squares[layer]) + 1e-8)
    return weights


def gradients(
    images: np.ndarray, labels: np.ndarray, weights: list[np.ndarray]
) -> list[np.ndarray]:
    """Give the gradients of a batch, in the order of the weights."""
    first, bias, second, second_bias = weights
    units, largest = hidden(images, first, bias)
    scores = units @ second + second_bias
    error = np.exp(scores - scores.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back = ((error @ second.T) * (units > 0)).reshape(len(images), FILTERS, 9)
    seen = windows(images)
    chosen = seen[np.arange(len(images))[:, None, None], np.arange(9)[None, None, :], largest]
    return [
        np.einsum("nfp,nfpw->fw", back, chosen),
        back.sum(axis=(0, 2)),
        units.T @ error,
        error.sum(axis=0),
    ]


def quantise(weights: np.ndarray) -> tuple[np.ndarray, float]:
    """Round weights to int8 with one scale for the layer."""
    scale = 127 / np.abs(weights).max()
    return np.rint(weights * scale).astype(np.int64), float(scale)


def array(kind: str, name: str, values: np.ndarray) -> str:
    """Write a C array, sixteen numbers a line."""
    flat = [str(int(value)) for value in values.ravel()]
    lines = [", ".join(flat[at : at + 16]) for at in range(0, len(flat), 16)]
    return f"static const {kind} {name}[{len(flat)}] = {{\n  " + ",\n  ".join(lines) + "};\n"


def main() -> None:
    """Train, quantise, measure with integers only, write."""
    with np.load(DIGITS) as kept:
        images, labels = kept["inputs"].reshape(-1, 64).astype(np.int64), kept["labels"]
    pictures = np.frombuffer(PUBLISHED.read_bytes()[4:], np.uint8).reshape(-1, 64)
    published = np.array(
        [bytes(each) in set(map(bytes, pictures)) for each in images.astype(np.uint8)]
    )
    others = np.random.default_rng(SEED).permutation(np.flatnonzero(~published))
    others_held = others[: HELD_OUT - int(published.sum())]
    used = others[len(others_held) :]
    held_out = np.concatenate([np.flatnonzero(published), others_held])

    first, bias, second, second_bias = train(images[used] / 16, labels[used])
    first_q, first_scale = quantise(first)
    # Inputs are 0..16 and not 0..1, so sums carry a factor of 16 as well.
    bias_q = np.rint(bias * first_scale * 16).astype(np.int64)
    sums, _ = hidden(images[used], first_q, bias_q)
    multiplier = int(HIDDEN_MAX / np.percentile(sums, 99.9) * (1 << SHIFT))
    second_q, second_scale = quantise(second)
    hidden_scale = first_scale * 16 * multiplier / (1 << SHIFT)
    second_bias_q = np.rint(second_bias * second_scale * hidden_scale).astype(np.int64)

    def predict(pixels: np.ndarray) -> np.ndarray:
        units, _ = hidden(pixels, first_q, bias_q)
        units = np.minimum((units * multiplier) >> SHIFT, HIDDEN_MAX)
        return np.argmax(units @ second_q + second_bias_q, axis=1)

    for name, chosen in (("used in training", used), ("held out", held_out)):
        right = int((predict(images[chosen]) == labels[chosen]).sum())
        print(f"{name}: {right} of {len(chosen)} right, {right / len(chosen):.3f}")

    header = "// Written by train.py; do not edit.\n#include <stdint.h>\n\n"
    header += f"#define FILTERS {FILTERS}\n#define MULTIPLIER {multiplier}\n"
    header += f"#define SHIFT {SHIFT}\n#define HIDDEN_MAX {HIDDEN_MAX}\n\n"
    header += array("int8_t", "FIRST", first_q) + array("int32_t", "FIRST_BIAS", bias_q)
    # A hidden unit's ten weights lie together: the module adds to ten sums at a time.
    header += array("int8_t", "SECOND", second_q) + array("int32_t", "SECOND_BIAS", second_bias_q)
    (HERE / "weights.h").write_text(header, encoding="ascii")
    labels_read = predict(pictures.astype(np.int64)).astype(np.uint8)
    (HERE / "digits-100.output").write_bytes(labels_read.tobytes())


if __name__ == "__main__":
    main()
