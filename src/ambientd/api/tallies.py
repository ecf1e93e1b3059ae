"""How many items of a bundle have an output, and why others have none.

The ledger holds no more of a bundle's outcomes than their root, so whoever has their bytes counts.
"""

from collections import Counter
from typing import NamedTuple

import trio
from msgspec.structs import replace

from ambientd.api.replies import Task, TaskLine
from ambientd.api.views import task_line
from ambientd.codec.bundles import decode_outcomes
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.entries import TaskEntry
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.bundle import Bundle
from ambientd.model.execution import OutcomeKind
from ambientd.model.task import Verdict
from ambientd.runtime.blobs import Blobs

KNOWN_MAX = 4096
LISTED_BYTES_MAX = 256 * 1024
"""A list reads no larger outcomes: it may have a thousand lines."""
BRING_S = 2.0
AGAIN_S = 30.0
"""After a look around that found nobody who has them."""
_AT_ONCE_BYTES = 32 * 1024


class Tally(NamedTuple):
    """What came of a bundle's items: how many completed, and what befell the others."""

    completed: int
    reason: str


class Tallies:
    """Counts what is here; the outcomes of this node's own tasks are brought for it."""

    def __init__(self, me: NodeId, blobs: Blobs) -> None:
        self._me = me
        self._blobs = blobs
        self._known: dict[tuple[Digest, Bundle], Tally] = {}
        self._next_look_s: dict[Digest, float] = {}

    async def line(self, task: TaskId, entry: TaskEntry) -> TaskLine:
        """Give a task's line in a list, with what is known here of its items."""
        shown, result = task_line(task, entry), _answer_of(entry)
        if result is None or result[1].size_bytes > LISTED_BYTES_MAX:
            return shown
        found = self._known.get(result) or await self._counted(*result)
        return shown if found is None else replace(shown, items_completed=found.completed)

    async def told(self, shown: Task, entry: TaskEntry, *, is_brought: bool) -> Task:
        """Give everything about a task, with what came of its items."""
        result = _answer_of(entry)
        if result is None:
            return shown
        found = self._known.get(result) or await self._counted(*result)
        if found is None and is_brought and entry.submitter == self._me:
            found = await self._brought(*result, entry)
        if found is None:
            return shown
        return replace(shown, items_completed=found.completed, reason=found.reason)

    async def _counted(self, digest: Digest, bundle: Bundle) -> Tally | None:
        """Count what lies on this device."""
        data = await self._blobs.get(digest)
        if data is None:
            return None
        if len(data) <= _AT_ONCE_BYTES:
            found = tally_of(data, bundle)
            await trio.lowlevel.checkpoint()  # a list may count a thousand, all of them in memory
        else:
            found = await trio.to_thread.run_sync(tally_of, data, bundle)
        self._known[(digest, bundle)] = found
        if len(self._known) > KNOWN_MAX:
            del self._known[next(iter(self._known))]
        return found

    async def _brought(self, digest: Digest, bundle: Bundle, entry: TaskEntry) -> Tally | None:
        """Have the outcomes brought, and count them; give up soon, and for a while."""
        now_s = trio.current_time()
        if now_s < self._next_look_s.get(digest, 0.0):
            return None
        holders = [slot.worker for slot in entry.slots]
        with trio.move_on_after(BRING_S):
            await self._blobs.bring(digest, bundle.size_bytes, holders)
        found = await self._counted(digest, bundle)
        if found is None:
            late = {each: until_s for each, until_s in self._next_look_s.items() if until_s > now_s}
            self._next_look_s = {**late, digest: now_s + AGAIN_S}
        return found


def tally_of(data: bytes, bundle: Bundle) -> Tally:
    """Count a bundle's outcomes; whoever answered alone may have given other bytes."""
    try:
        outcomes = decode_outcomes(data, bundle)
    except RemoteProtocolError as error:
        return Tally(0, f"its one worker answered with something else than outcomes: {error}")
    failed = [item for item, each in enumerate(outcomes) if each.kind != OutcomeKind.COMPLETED]
    if not failed:
        return Tally(len(outcomes), "")
    kinds = Counter(OutcomeKind(outcomes[item].kind).name.lower() for item in failed)
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    why = outcomes[failed[0]].reason
    return Tally(
        len(outcomes) - len(failed), f"{counts}; the first is item {failed[0]}{why and ': '}{why}"
    )


def _answer_of(entry: TaskEntry) -> tuple[Digest, Bundle] | None:
    """Name the outcomes of a bundle that has some."""
    settled = entry.settlement
    if settled is None or settled.verdict is Verdict.INCONCLUSIVE:
        return None
    extent = settled.result.output_size_bytes
    return (settled.result.output, extent) if isinstance(extent, Bundle) else None
