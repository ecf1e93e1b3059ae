"""A private update from training to upload, and circles' sums from uploads to a model.

The arithmetic of protocols/17 sections 4 and 5, put together; who was found to lie is named.
"""

from collections.abc import Iterable

from ambientd.errors import RemoteProtocolError
from ambientd.model.base import NodeId
from ambientd.model.learning import Circle, Plan
from ambientd.rules.learning.averaging import model_of_groups
from ambientd.rules.learning.circles import (
    SummedModel,
    Words,
    dealing_group,
    noise_seed,
    parsed_dealing,
)
from ambientd.rules.learning.masking import NUMBER_BYTES, Spread, in_turn, masked, unmasked
from ambientd.rules.learning.noise import quantised
from ambientd.rules.learning.privacy import Terms
from ambientd.rules.learning.secure import BadShareError, FalseDealerError


def terms_of(plan: Plan, threshold: int) -> Terms:
    """Give what a plan asks of an update in a circle of this threshold."""
    return Terms(plan.clip_micro, plan.noise_milli, threshold)


def concealed(
    plan: Plan,
    update: bytes,
    secret: bytes,
    me: NodeId,
    circle: Circle,
    rid: bytes,
    spread: Spread = in_turn,
) -> bytes:
    """Clip an update, add noise, and mask it towards the circle: what alone may be shown."""
    noised = quantised(terms_of(plan, circle.threshold), update, noise_seed(secret, rid))
    return masked(secret, me, dealing_group(circle), noised, rid, spread)


def _total(
    words: Words, count: int, rid: bytes, faulty: set[NodeId], spread: Spread
) -> bytes | None:
    """Give a circle's sum; None when it cannot be known. Who lied is added to `faulty`."""
    circle = words.circle
    opened = dict(words.opened)
    try:
        dealt = {
            each: parsed_dealing(circle, each, words.dealings[each]) for each in circle.dealers
        }
        group = dealing_group(circle)
        while True:
            try:
                return unmasked(
                    group,
                    words.survivors,
                    circle.threshold,
                    words.uploads,
                    opened,
                    dealt,
                    rid,
                    count,
                    spread,
                )
            except FalseDealerError:
                raise
            except BadShareError as error:
                if opened.pop(error.node, None) is None:
                    return None
                faulty.add(error.node)
    except FalseDealerError as error:
        faulty.add(error.node)
        return None
    except RemoteProtocolError:
        return None


def summed(
    plan: Plan, model: bytes, circles: Iterable[Words], rid: bytes, spread: Spread = in_turn
) -> SummedModel:
    """Take the masks off each circle's sum, and make the next model of the means."""
    count = len(model) // NUMBER_BYTES
    sums: list[tuple[bytes, int]] = []
    left_out: list[NodeId] = []
    faulty: set[NodeId] = set()
    for words in circles:
        total = _total(words, count, rid, faulty, spread)
        if total is None:
            left_out += words.survivors
        else:
            sums.append((total, len(words.survivors)))
    # The unit that numbers are counted in is the same for circles of all sizes.
    after = model_of_groups(plan.aggregation, terms_of(plan, 1), model, sums)
    return SummedModel(after, tuple(sorted(left_out)), tuple(sorted(faulty)))
