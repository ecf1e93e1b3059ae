"""Offers: what work a node's owner lets it take, and slots handed back (protocols/03 §11)."""

from msgspec.structs import replace

from ambientd.ledger import tasks
from ambientd.ledger.assigning import next_deadline, release
from ambientd.ledger.draft import Draft
from ambientd.ledger.events import NodeOffered
from ambientd.model.base import NodeId
from ambientd.model.offer import Closed, SlotName
from ambientd.model.record import Offer, Record
from ambientd.model.task import BEFORE_SEALED, SlotState
from ambientd.rules.labels import refusals_fault
from ambientd.rules.reputation import DAY_MS

OFFER_MS = 1_000
"""How long an offer stands at least: nobody keeps the scheduler busy with changes of mind."""

HANDED_BACK_MAX = 16
"""Slots a day that a node hands back for nothing; a further one counts as late.

Else whoever is given a slot beside an honest worker would hand it back until it sits beside an
accomplice, each time before anybody has answered. So it counts without an answer, too: lateness
may be the task's fault, a slot that is handed back never is.
"""

HANDED_BACK_A_RECORD = 64
"""Slots that one record hands back at most (protocols/03 section 4)."""

REASON = "handed it back by its owner's word"
REASON_HOT = "handed it back, as its device is too hot"


def take(draft: Draft, record: Record, body: Offer) -> str | None:
    """Take an owner's word on what its node takes, and the slots that the node hands back."""
    author, now_ms = record.author, draft.context.time_ms
    entry, before = draft.node(author), draft.offer(author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted make offers"
    if body.said_ms <= before.said_ms:
        return "the author has made another offer since"
    if now_ms < before.taken_ms + OFFER_MS:
        return f"the last offer is less than {OFFER_MS} ms old"
    fault = refusals_fault(body.refuses)
    if fault is not None:
        return fault
    day = now_ms // DAY_MS
    offer = replace(
        before,
        said_ms=body.said_ms,
        taken_ms=now_ms,
        day=day,
        handed_back=before.handed_back if before.day == day else 0,
    )
    draft.put_offer(author, offer)
    profile = replace(entry.profile, refuses=body.refuses)
    stated = body.memory_bytes_max
    draft.put_node(
        author, replace(entry, profile=profile, closed=body.closed, memory_bytes_max=stated)
    )
    if (body.closed, stated) != (entry.closed, entry.memory_bytes_max):
        draft.tell(NodeOffered(author, body.closed, stated))
    for name in body.hands_back:
        _hand_back(draft, author, name, REASON_HOT if body.closed == Closed.HOT else REASON)
    return None


def _hand_back(draft: Draft, author: NodeId, name: SlotName, reason: str) -> None:
    """Take a slot back from a worker that has not sealed an answer; others are passed over."""
    entry = draft.task(name.task)
    if entry is None or entry.state not in BEFORE_SEALED:
        return
    held = (name.slot, name.attempt, author, SlotState.ASSIGNED)
    if held not in {(each.slot, each.attempt, each.worker, each.state) for each in entry.slots}:
        return
    offer = draft.offer(author)
    draft.put_offer(author, replace(offer, handed_back=offer.handed_back + 1))
    if offer.handed_back >= HANDED_BACK_MAX:
        draft.blame(author, entry, is_withheld=False)
    slots = tuple(
        release(draft, name.task, entry.spec, each, reason) if each.slot == name.slot else each
        for each in entry.slots
    )
    entry = replace(entry, slots=slots)
    tasks.run_out(draft, name.task, replace(entry, deadline_ms=next_deadline(entry)))
