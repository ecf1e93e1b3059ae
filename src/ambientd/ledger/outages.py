"""What an outage does to deadlines: nothing (protocols/03 §2).

After an outage block time catches up in large steps, many a second. Were they counted, leases
would run out before a worker could do anything.
"""

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import Slot

STEP_MS_MAX = 2_000
"""Blocks follow each other faster while any task has a deadline (05 §6)."""


def outage_ms(draft: Draft) -> int:
    """Give how much of the time since the block before nobody could use."""
    step_ms = draft.context.time_ms - draft.state.meta.time_ms
    if step_ms <= STEP_MS_MAX:
        return 0
    return step_ms - min(step_ms, draft.state.genesis.rules.t0_ms)


def postpone(draft: Draft, lost_ms: int) -> None:
    """Move all deadlines by the time that was lost."""
    for task, _ in draft.state.open_tasks():
        entry = draft.task(task)
        assert entry is not None, "an index names tasks that exist"
        # An audit may have ended with its answer in this very block: it has no deadline any more.
        if entry.deadline_ms:
            slots = tuple(_postponed(slot, lost_ms) for slot in entry.slots)
            later = replace(entry, slots=slots, deadline_ms=entry.deadline_ms + lost_ms)
            if entry.expires_ms:
                later = replace(later, expires_ms=entry.expires_ms + lost_ms)
            draft.put_task(task, later)


def _postponed(slot: Slot, lost_ms: int) -> Slot:
    return replace(slot, deadline_ms=slot.deadline_ms + lost_ms) if slot.deadline_ms else slot
