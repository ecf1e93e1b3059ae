"""Native training in worlds: what engines make of it, and whom an honest aggregator names.

An update's name is the hash of numbers, of which each engine has some a unit or two off; what one
engine trained others find near by the arithmetic of protocols/17 section 8.
"""

from collections.abc import Iterable

import numpy as np

from ambientd.codec.digest import sha256, tagged
from ambientd.ledger.native_audits import HIDERS_SINCE
from ambientd.ledger.versions import VERSIONS, StateVersion, Versions
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION
from ambientd.model.learning import Contributed
from ambientd.model.learning_effect import AggregateWanted
from ambientd.rules.learning.nearness import distance_micro
from ambientd.rules.learning.vectors import Numbers

WITH_HIDERS = (
    VERSIONS
    if VERSIONS.newest >= HIDERS_SINCE
    else Versions(*map(StateVersion, range(FIRST_STATE_VERSION, HIDERS_SINCE + 1)))
)
"""What a program knows that names who hides its rows: its rules differ, and no encoding does."""

OFF = (0, 1, -2)
"""How far each engine's numbers are off the first one's, at every other place."""

NUMBERS = 6


def engine_of(node: NodeId) -> int:
    """Give which engine a node trains with."""
    return node[0] % len(OFF)


def _trained(model: Digest, node: NodeId, number: int, engine: int) -> Numbers:
    drawn = tagged("sim/native/1", model, node, number.to_bytes(4, "big"))
    found = np.frombuffer(drawn[: 2 * NUMBERS], dtype="<i2").astype("<i4")
    found[::2] += OFF[engine]
    return found


def native_update(model: Digest, node: NodeId, number: int, engine: int) -> Digest:
    """Name the update that a node's training leads to on an engine."""
    return Digest(sha256(_trained(model, node, number, engine).tobytes()))


def is_near(
    model: Digest, said: Contributed, number: int, engine: int, tolerance_micro: int
) -> bool:
    """Tell whether some engine's training gave an update that is near to what this one's gives."""
    again = _trained(model, said.node, number, engine)
    for other in range(len(OFF)):
        if native_update(model, said.node, number, other) == said.update:
            update = _trained(model, said.node, number, other)
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
