"""Training repeated for an audit within a tolerance (protocols/16 section 12).

Whoever cannot be examined in time is not named: others look as well. Plan and rows are strangers':
what they take is ended with its time, and costs no round its model. Named is who was left out of
the round because its rows did not come, if they do not come here either.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
import trio

from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning_effect import AggregateWanted, Committed
from ambientd.ports.blobs import BlobReads
from ambientd.ports.learning import Learner
from ambientd.rules.tolerances import AUDIT_MS_MAX
from ambientd.runtime.gathering import Sought

log = structlog.get_logger("ambientd.learning")

_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


def data_of(examined: Sequence[Committed], others: tuple[NodeId, ...] = ()) -> list[Sought]:
    """Give what those train on who are examined, to be fetched from them or from others."""
    return [Sought(each.node, each.data, each.size_bytes, others) for each in examined]


async def too_far(
    effect: AggregateWanted,
    learner: Learner,
    shown: frozenset[NodeId],
    files: BlobReads,
    turn: trio.Lock,
    model: Callable[[], bytes],
    is_ended: Callable[[], bool],
) -> tuple[NodeId, ...]:
    """Train again for those who show what that takes, and give whose update is too far from it.

    Besides those whose updates do not count since they did not show it, and who do not show it
    here either. Who has committed to few samples comes first: much data take nobody else's time.
    A thread that is waited for no more ends by itself, at its next batch.
    """
    if not effect.examined:
        return ()
    found = [each.node for each in effect.unshown if each.node not in shown]
    for node in found:
        log.warning("what a drawn participant owes does not come", node=node.hex()[:12])
    updates = {each.node: each.update for each in (*effect.contributed, *effect.unshown)}
    repeated = [each for each in effect.examined if each.node in shown]
    late = threading.Event()

    def is_over() -> bool:
        return late.is_set() or is_ended()

    try:
        with trio.move_on_after(min(effect.audit_ms, AUDIT_MS_MAX) / 1000):
            for each in sorted(repeated, key=lambda each: (each.size_bytes, each.node)):
                said = updates[each.node]
                work = partial(_is_near, effect, each, said, learner, files, model, is_over)
                async with turn:
                    if is_over():
                        break
                    if not await trio.to_thread.run_sync(work, **_ABANDON):
                        found.append(each.node)
                        who = each.node.hex()[:12]
                        log.warning("an update is not what training gives", node=who)
    finally:
        late.set()
    return tuple(sorted(found))


def _is_near(
    effect: AggregateWanted,
    examined: Committed,
    update: Digest,
    learner: Learner,
    files: BlobReads,
    model: Callable[[], bytes],
    is_over: Callable[[], bool],
) -> bool:
    rows, said = files.get(examined.data), files.get(update)
    if rows is None or said is None:
        return True  # here no more, which is nobody's fault
    try:
        again = learner.train_on(effect.plan, model(), rows, effect.place.round, is_over)
    except RemoteProtocolError:
        return False  # it has committed to what nobody can train on
    except Exception as error:  # noqa: BLE001 - no rows of a stranger keep a round's model back
        log.warning("training could not be repeated", reason=str(error))
        return True
    return learner.is_near(effect.plan, said, again.update)
