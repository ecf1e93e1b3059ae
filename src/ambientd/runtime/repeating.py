"""Training repeated for an audit within a tolerance (protocols/16 section 12).

Whoever cannot be examined here, or not in time, is not named: others look as well.
"""

from collections.abc import Callable, Sequence
from typing import Any

import structlog
import trio

from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning_effect import AggregateWanted, Committed
from ambientd.ports.blobs import BlobReads
from ambientd.ports.learning import Learner
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.gathering import Sought, gather

log = structlog.get_logger("ambientd.learning")

_ABANDON: dict[str, Any] = {"abandon_on_cancel": True}


def data_of(examined: Sequence[Committed], others: tuple[NodeId, ...] = ()) -> list[Sought]:
    """Give what those train on who are examined, to be fetched from them or from others."""
    return [Sought(each.node, each.data, each.size_bytes, others) for each in examined]


async def too_far(
    effect: AggregateWanted,
    learner: Learner,
    blobs: Blobs,
    files: BlobReads,
    turn: trio.Lock,
    model: Callable[[], bytes],
) -> tuple[NodeId, ...]:
    """Train again for those who are examined, and give whose update is too far from that."""
    if not effect.examined:
        return ()
    found: list[NodeId] = []
    updates = {each.node: each.update for each in effect.contributed}
    sought = data_of(effect.examined, effect.model.holders)
    held = await gather(blobs, sought, effect.wait_ms // 4, is_synced=False)
    with trio.move_on_after(effect.audit_ms / 1000):
        for each in effect.examined:
            if each.node not in held or each.node not in updates:
                continue
            update = updates[each.node]

            def compared(each: Committed = each, update: Digest = update) -> bool:
                return _is_near(effect, each, update, learner, files, model)

            async with turn:
                if not await trio.to_thread.run_sync(compared, **_ABANDON):
                    found.append(each.node)
                    log.warning("an update is not what training gives", node=each.node.hex()[:12])
    return tuple(found)


def _is_near(
    effect: AggregateWanted,
    examined: Committed,
    update: Digest,
    learner: Learner,
    files: BlobReads,
    model: Callable[[], bytes],
) -> bool:
    rows, said = files.get(examined.data), files.get(update)
    if rows is None or said is None:
        return True  # here no more, which is nobody's fault
    try:
        again = learner.train_on(effect.plan, model(), rows, effect.place.round)
    except RemoteProtocolError:
        return False  # it has committed to what nobody can train on
    except (ConfigError, ValueError) as error:
        log.warning("training could not be repeated", reason=str(error))
        return True
    return learner.is_near(effect.plan, said, again.update)
