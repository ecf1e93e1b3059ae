"""Bringing many nodes' blobs here in a given time, so that who answers slowly holds up nobody."""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog
import trio

from ambientd.errors import AmbientError
from ambientd.model.base import Digest, NodeId
from ambientd.runtime.blobs import Blobs

log = structlog.get_logger("ambientd.learning")

FETCHES_AT_ONCE = 4
GATHER_PASSES = 3


@dataclass(frozen=True, slots=True)
class Sought:
    """A node's blob, of exactly this size, and who else is likely to have it.

    Where the node would be named for it, it is asked first: else one of the others that never
    answers would keep it from being heard. In between they come first: it may have lost its power.
    """

    node: NodeId
    digest: Digest
    size_bytes: int
    others: tuple[NodeId, ...] = ()
    is_owed: bool = False

    def holders(self, number: int) -> tuple[NodeId, ...]:
        """Give who is asked in a pass, one after the other."""
        is_first = self.is_owed and number % 2 == 0
        return (self.node, *self.others) if is_first else (*self.others, self.node)


async def gather(
    blobs: Blobs, sought: Sequence[Sought], wait_ms: int, *, is_synced: bool = True
) -> frozenset[NodeId]:
    """Bring blobs here, a few at a time; give whose came in time. Each has its share of it.

    What whoever showed it keeps durably need not be synced here as well.
    """
    held: set[NodeId] = set()
    end_s = trio.current_time() + wait_ms / 1_000
    for number in range(GATHER_PASSES):
        missing = [each for each in sought if each.node not in held]
        left_s = end_s - trio.current_time()
        if not missing or left_s <= 0:
            break
        turns = -(-len(missing) // FETCHES_AT_ONCE)
        share_s = left_s / turns / (1 if number + 1 == GATHER_PASSES else 2)
        room = trio.Semaphore(FETCHES_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for each in missing:
                holders = each.holders(number)
                nursery.start_soon(_bring, blobs, each, holders, room, share_s, held, is_synced)
    return frozenset(held)


async def gather_each(
    blobs: Blobs, batches: Sequence[Sequence[Sought]], wait_ms: int, *, is_synced: bool = True
) -> list[frozenset[NodeId]]:
    """Bring several kinds of blobs here at once: none of them takes another's time."""
    found: list[frozenset[NodeId]] = [frozenset()] * len(batches)

    async def bring(place: int, sought: Sequence[Sought]) -> None:
        found[place] = await gather(blobs, sought, wait_ms, is_synced=is_synced)

    async with trio.open_nursery() as nursery:
        for place, sought in enumerate(batches):
            nursery.start_soon(bring, place, sought)
    return found


async def _bring(
    blobs: Blobs,
    sought: Sought,
    holders: Sequence[NodeId],
    room: trio.Semaphore,
    share_s: float,
    held: set[NodeId],
    is_synced: bool,
) -> None:
    """Bring one blob here, and note if it came."""
    async with room:
        with trio.move_on_after(share_s):
            try:
                size_bytes = await blobs.bring(
                    *(sought.digest, sought.size_bytes, holders),
                    is_synced=is_synced,
                    is_alone=not sought.is_owed,
                )
            except AmbientError as error:
                log.warning("an update was not kept", reason=str(error))
                return
            if size_bytes == sought.size_bytes:
                held.add(sought.node)
