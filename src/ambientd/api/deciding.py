"""Bringing a record of this node into the log, and hearing what the ledger decided on it."""

from collections.abc import Callable
from typing import TypeVar

import trio

from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.rejections import is_rejection_of
from ambientd.model.base import NodeId
from ambientd.model.record import Body, Record
from ambientd.node.event import BodiesProposed
from ambientd.runtime.news import Wanted, is_anything
from ambientd.runtime.service import Parts

DEADLINE_S = 30.0
NOT_IN_TIME = f"the committee did not take it within {DEADLINE_S:.0f} s"


_B = TypeVar("_B", bound=Body)


def fault_of(
    parts: Parts, own: NodeId, body: _B, take: Callable[[Draft, Record, _B], str | None]
) -> str | None:
    """Say why the ledger would reject a record as things are now, None if it would not.

    A record that it has rejected is taken by no pool again, also when it would be good by then: so
    what says no time of its own is not proposed before.
    """
    state = parts.node.ledger
    time_ms = max(parts.now(), state.meta.time_ms)
    context = BlockContext(index=0, term=0, time_ms=time_ms, beacon=b"")
    record = Record(author=own, body=body, signature=b"")
    return take(Draft(state, state, context), record, body)


async def outcome_of(
    parts: Parts,
    own: NodeId,
    body: Body,
    is_done: Callable[[object], bool],
    is_wanted: Wanted = is_anything,
) -> object:
    """Propose a record of this node, and give the event that shows what came of it.

    That is what `is_done` knows for its effect, or the record's rejection; None when neither came
    in time, or was missed. Two that say the very same are one record, and hear the same. Of what is
    not wanted nothing is asked.
    """
    async with parts.news.listen(is_wanted) as news:
        await parts.pump.post(BodiesProposed((body,)))
        with trio.move_on_after(DEADLINE_S):
            async for told in news:
                if is_done(told.event) or is_rejection_of(told.event, own, body):
                    return told.event
    return None
