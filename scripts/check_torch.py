"""Hold PyTorch's training against NumPy's, where PyTorch is installed: `make check-torch`.

Both train each kind of model on digits from the same numbers in the same order; what floats of 32
bits and another library's sums may differ by is far below what training moves.
"""

import sys

import numpy as np

from ambientd.adapters.learning import networks, samples, torch_networks
from ambientd.adapters.learning.networks import Training
from ambientd.rules.learning import models
from ambientd.rules.learning.vectors import to_floats

APART_MAX = 1e-4
MOVED_MIN = 1e-2


def main() -> int:
    """Train, compare, and print by how much they differ."""
    training, held_out = samples.split(samples.read("digits:1/10"))
    is_same = True
    for name in ("mlp:64,32,10", "mlp:64,16,12,10", "cnn:8,8,10"):
        for prox in (0.0, 0.5):
            model, how = models.parsed(name), Training(passes=20, batch=16, rate=0.1, prox=prox)
            start = to_floats(models.initial(model, b"torch"))
            ours = networks.descended(model, start, training, how, b"seed")
            theirs = torch_networks.descended(model, start, training, how, b"seed")
            apart, moved = np.abs(ours - theirs).max(), np.abs(ours - start).max()
            found = networks.Network(model, theirs).scored(held_out)
            right = f"{found.correct} of {found.total} right"
            print(f"{name}, prox {prox}: apart {apart:.1e}, moved {moved:.2f}, {right}")
            is_same &= bool(apart < APART_MAX and moved > MOVED_MIN)
    print("the same" if is_same else "NOT THE SAME")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())
