"""How the slots of a task were given out: whom the scheduler looked at, and what each lacked."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ambientd.api.views import name_of
from ambientd.api.why_replies import NodeWhy, SlotWhy, StandingCount
from ambientd.ledger.choices import Choice
from ambientd.ledger.entries import Slot, TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.ledger.weighing import Standing, among_whom, unseen, weighed
from ambientd.model.base import NodeId
from ambientd.model.task import SlotState
from ambientd.rules.scheduling import WEIGHTED, chance_percent

THEN = {
    Standing.CHOSEN: "got the slot",
    Standing.FREE: "might have got the slot as well",
    Standing.QUEUE_FULL: "had its queue full",
    Standing.ALIKE: "was like another worker of this task, and there were others",
    Standing.NO_NEWCOMER: "was no newcomer, and the slot was for one",
    Standing.BUSIER: "was busier than others, who were enough",
    Standing.HOLDS_SLOT: "had another slot of this task",
    Standing.BARRED: "may not answer for this task",
    Standing.CONVICTED: "was convicted",
    Standing.PAUSED: "was paused by its owner",
    Standing.OTHER_HOURS: "was let work at other hours by its owner",
    Standing.ON_BATTERY: "ran on battery, on which its owner lets it take no work",
    Standing.ON_METERED: "was on a metered network, on which its owner lets it take no work",
    Standing.CLOSED: "was let take no work by its owner",
    Standing.CLASS_REFUSED: "took no tasks of this class",
    Standing.UNLIKE: "was not what the constraints ask for",
    Standing.NO_PROVER: "did not prove so much",
    Standing.NO_MEMORY: "was lent less memory by its owner than the task needs",
    Standing.NOT_ACCEPTING: "took no work",
    Standing.SAFE_MODE: "was in safe mode",
    Standing.TOO_HOT: "was too hot, and took no work until it had cooled",
    Standing.RESTING: "took no work, or was in safe mode",
    Standing.PASSED_OVER: "took work, and was not among those that a slot looks at",
    Standing.TRIED: "had had this task before, and there were others",
    Standing.SUBMITTER: "submitted the task, and there were others",
}


@dataclass(frozen=True, slots=True)
class Given:
    """When a slot was given in one of its attempts, and what was looked at."""

    attempt: int
    time_ms: int
    choice: Choice


def slots_given(
    state: LedgerState, entry: TaskEntry, known: Mapping[int, Given]
) -> tuple[SlotWhy, ...]:
    """Explain each slot that has a worker, by what this daemon remembers of its giving."""
    held = [slot for slot in entry.slots if slot.state is not SlotState.WAITING]
    return tuple(_given(state, slot, known.get(slot.slot)) for slot in held)


def _given(state: LedgerState, slot: Slot, given: Given | None) -> SlotWhy:
    told = SlotWhy(
        slot=slot.slot,
        attempt=slot.attempt,
        node=slot.worker.hex(),
        name=name_of(state, slot.worker),
    )
    if given is None or (given.attempt, given.choice.worker) != (slot.attempt, slot.worker):
        return told
    choice = given.choice
    looked_at = weighed(choice)
    counts = Counter(each.standing for each in looked_at) + Counter(unseen(choice))
    return SlotWhy(
        slot=told.slot,
        attempt=told.attempt,
        node=told.node,
        name=told.name,
        given_ms=given.time_ms,
        strategy=choice.strategy,
        chance_percent=_chance_percent(choice),
        counts=tuple(
            StandingCount(standing=each.name.lower(), nodes=counts[each], text=text)
            for each, text in THEN.items()
            if counts[each]
        ),
        nodes=tuple(
            NodeWhy(
                node=each.node.hex(),
                name=_name(state, each.node),
                standing=each.standing.name.lower(),
                text=THEN[each.standing],
                open_slots=each.open_slots,
                capacity=each.capacity,
            )
            for each in sorted(looked_at, key=lambda each: (_place(each.standing), each.node))
        ),
    )


def _place(standing: Standing) -> int:
    return list(THEN).index(standing)


def _name(state: LedgerState, node: NodeId) -> str:
    entry = state.node(node)
    return "" if entry is None else entry.profile.name


def _chance_percent(choice: Choice) -> int | None:
    if choice.strategy != WEIGHTED:
        return None
    return chance_percent(among_whom(choice), choice.worker)
