"""Bringing a record of this node into the log, and hearing what the ledger decided on it."""

from collections.abc import Callable

import trio

from ambientd.ledger.rejections import is_rejection_of
from ambientd.model.base import NodeId
from ambientd.model.record import Body
from ambientd.node.event import BodiesProposed
from ambientd.runtime.service import Parts

DEADLINE_S = 30.0
NOT_IN_TIME = f"the committee did not take it within {DEADLINE_S:.0f} s"


async def outcome_of(
    parts: Parts, own: NodeId, body: Body, is_done: Callable[[object], bool]
) -> object:
    """Propose a record of this node, and give the event that shows what came of it.

    That is what `is_done` knows for its effect, or the record's rejection; None when neither came
    in time, or was missed. Whoever proposes two that are told apart by nothing waits in between.
    """
    async with parts.news.listen() as news:
        await parts.pump.post(BodiesProposed((body,)))
        with trio.move_on_after(DEADLINE_S):
            async for told in news:
                if is_done(told.event) or is_rejection_of(told.event, own, body):
                    return told.event
    return None
