"""Native training in worlds: what engines make of it, and whom an honest aggregator names.

An update's name is the hash of numbers, of which each engine has some a unit or two off; what one
engine trained others find near by the arithmetic of protocols/17 section 8.
"""

import struct
from collections.abc import Iterable

from ambientd.codec.digest import sha256, tagged
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed
from ambientd.model.learning_effect import AggregateWanted
from ambientd.rules.learning.nearness import distance_micro
from ambientd.rules.learning.vectors import decoded
from sim.learners import bytes_of
from sim.vices import Vice

TRAINING_VICES = (Vice.POISON, Vice.HOARD)
"""What guests do where native training is audited."""

OFF = (0, 1, -2)
"""How far each engine's numbers are off the first one's, at every other place."""

NUMBERS = 6


def engine_of(node: NodeId) -> int:
    """Give which engine a node trains with."""
    return node[0] % len(OFF)


def _trained(model: Digest, node: NodeId, number: int, engine: int) -> bytes:
    drawn = tagged("sim/native/1", model, node, number.to_bytes(4, "big"))
    found = list(struct.unpack(f"<{NUMBERS}h", drawn[: 2 * NUMBERS]))
    return bytes_of(each + (place % 2) * OFF[engine] for place, each in enumerate(found))


def native_update(model: Digest, node: NodeId, number: int, engine: int) -> Digest:
    """Name the update that a node's training leads to on an engine."""
    return Digest(sha256(_trained(model, node, number, engine)))


def is_near(
    model: Digest, said: Contributed, number: int, engine: int, tolerance_micro: int
) -> bool:
    """Tell whether some engine's training gave an update that is near to what this one's gives."""
    again = decoded(_trained(model, said.node, number, engine), NUMBERS)
    for other in range(len(OFF)):
        if native_update(model, said.node, number, other) == said.update:
            update = decoded(_trained(model, said.node, number, other), NUMBERS)
            return distance_micro(update, again) <= tolerance_micro
    return False


def found_faulty(
    effect: AggregateWanted, shows: Iterable[NodeId], engine: int
) -> tuple[NodeId, ...]:
    """Give whom an honest aggregator names: who is far off, and who was left out and hides."""
    drawn, shown = {each.node for each in effect.examined}, set(shows)
    tolerance_micro, number = effect.plan.tolerance_micro, effect.place.round
    far = {
        said.node
        for said in (*effect.contributed, *effect.unshown)
        if said.node in drawn & shown
        and not is_near(effect.model.digest, said, number, engine, tolerance_micro)
    }
    absent = {said.node for said in effect.unshown} - shown
    return tuple(sorted(far | absent))
