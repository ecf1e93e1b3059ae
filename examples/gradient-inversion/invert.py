"""Read a participant's picture out of its update, then try the same in private mode.

    python examples/gradient-inversion/invert.py [--show]

A participant trains one step on one picture, as small devices do. The gradient of a dense layer's
row is the error of its unit times the picture; that of its bias is the error alone. Whoever sees
the update divides one by the other, and has the picture (Phong et al. 2017): no guess, no search.

The same division is then done with what is seen in private mode: the masked update that everybody
can fetch, made by the code that daemons run; and the sum of a group of 16, without and with noise.
The figure is the correlation of what comes out with the picture: 1 is the picture itself; the mean
of all digits, which everybody knows, comes last for comparison.
"""

import argparse

import numpy as np
import numpy.typing as npt

from ambientd.adapters.learning import networks, samples
from ambientd.adapters.learning.networks import Training
from ambientd.adapters.learning.samples import Samples
from ambientd.model.base import NodeId
from ambientd.model.learning import NO_MODULE, Circle, Plan, Shown, StudyId
from ambientd.rules.learning import circles, models, vectors
from ambientd.rules.learning.noise import quantised
from ambientd.rules.learning.privacy import Terms, spent
from ambientd.rules.learning.private_rounds import concealed

MODEL = models.parsed("mlp:64,32,10")
GROUP = 16
THRESHOLD = 2 * GROUP // 3 + 1
PICTURES = 40
MASKED = "masked update in private mode"
SHADES = " .:-=+*#%@"
Floats = npt.NDArray[np.float64]


def update_of(model: bytes, picture: Samples) -> Floats:
    """Give the update of one step on one picture."""
    after = networks.trained(MODEL, model, picture, Training(1, 1, 0.5), b"one step")
    return vectors.to_floats(after) - vectors.to_floats(model)


def inverted(update: Floats) -> Floats:
    """Divide the weights' update by the bias' for the unit that moved the most."""
    weights = update[: 32 * 64].reshape(32, 64)
    biases = update[32 * 64 : 32 * 65]
    unit = int(np.abs(biases).argmax())
    if not biases[unit]:
        return np.zeros(64)
    found: Floats = weights[unit] / biases[unit]
    return found


def likeness(found: Floats, picture: Floats) -> float:
    """Give the correlation of two pictures."""
    if not found.std():
        return 0.0
    return float(np.corrcoef(found, picture)[0, 1])


def summed(updates: list[Floats], terms: Terms, number: int) -> Floats:
    """Give the mean of a group's clipped and noised updates, which is all that others see."""
    total = np.zeros(MODEL.count)
    for place, update in enumerate(updates):
        seed = b"%d %d" % (number, place)
        given = quantised(terms, vectors.from_floats(update), seed)
        total += np.frombuffer(given, "<i4")
    mean: Floats = total / len(updates) / (1 << terms.bits)
    return mean


def masked_upload(update: Floats, number: int) -> Floats:
    """Give what a participant of a private study really hands out, as everybody can fetch it."""
    rid = circles.round_id(StudyId(b"inversion"), number)
    secrets = {NodeId(bytes([each]) * 32): bytes([each, number]) * 16 for each in range(GROUP)}
    keys = tuple(circles.announced(secret, node, rid) for node, secret in secrets.items())
    dealt = tuple(Shown(node=node, digest=NO_MODULE, size_bytes=0) for node in secrets)
    circle = Circle(members=keys, threshold=THRESHOLD, dealt=dealt)
    plan = Plan(
        model="mlp:64,32,10",
        trainer="numpy",
        aggregation="fedavg",
        seed=bytes(32),
        clip_micro=1_000_000,
        noise_milli=1_000,
        group_size=GROUP,
        is_private=True,
    )
    me, secret = next(iter(secrets.items()))
    shown = concealed(plan, vectors.from_floats(update), secret, me, circle, rid)
    numbers: Floats = np.frombuffer(shown, "<i4").astype(np.float64)
    return numbers


def drawn(picture: Floats) -> list[str]:
    """Draw 8 x 8 pixels with letters."""
    scaled = np.clip((picture - picture.min()) / (np.ptp(picture) or 1), 0, 1)
    rows = (scaled * (len(SHADES) - 1)).round().astype(int).reshape(8, 8)
    return ["".join(2 * SHADES[shade] for shade in row) for row in rows]


def figures() -> tuple[dict[str, float], list[list[str]]]:
    """Invert updates in all three ways; give mean likenesses, and drawings of the first."""
    digits = samples.read("digits")
    model = models.initial(MODEL, b"inversion")
    views = {
        "update in the open": None,
        MASKED: None,
        f"sum of {GROUP}": Terms(1_000_000, 0, THRESHOLD),
        f"sum of {GROUP} with noise 1": Terms(1_000_000, 1_000, THRESHOLD),
    }
    seen: dict[str, list[float]] = {what: [] for what in (*views, "mean of all digits")}
    known = digits.inputs.mean(axis=0).astype(np.float64)
    drawings: list[list[str]] = []
    for number in range(PICTURES):
        places = np.arange(number * GROUP, (number + 1) * GROUP)
        updates = [update_of(model, digits.at(places[i : i + 1])) for i in range(GROUP)]
        picture = digits.inputs[places[0]].astype(np.float64)
        if not number:
            drawings.append(drawn(picture))
        seen["mean of all digits"].append(likeness(known, picture))
        for what, terms in views.items():
            if what == MASKED:
                shown = masked_upload(updates[0], number)
            else:
                shown = updates[0] if terms is None else summed(updates, terms, number)
            found = inverted(shown)
            seen[what].append(abs(likeness(found, picture)))
            if not number:
                drawings.append(drawn(found))
    return {what: float(np.mean(values)) for what, values in seen.items()}, drawings


def main() -> None:
    """Print the figures, and the first picture as each of them sees it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--show", action="store_true", help="draw the first picture")
    options = parser.parse_args()
    found, drawings = figures()
    for what, value in found.items():
        print(f"{what}: likeness {value:.2f}")
    cost = spent(Terms(1_000_000, 1_000, THRESHOLD), 1).epsilon_micro
    assert cost is not None
    print(f"noise 1 costs epsilon {cost / 1e6:.2f} a round at delta 1e-5")
    if options.show:
        titles = ("the picture", "in the open", "masked", "in a sum", "with noise")
        print("   ".join(f"{title:16}" for title in titles))
        for lines in zip(*drawings, strict=True):
            print("   ".join(lines))


if __name__ == "__main__":
    main()
