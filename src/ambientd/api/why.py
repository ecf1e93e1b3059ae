"""Why a task is where it is: what has happened, what it waits for, whom the scheduler sees."""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from ambientd.api.terms import constraint_text
from ambientd.api.views import name_of
from ambientd.api.why_given import Given, slots_given
from ambientd.api.why_replies import NodeWhy, StandingCount, Why
from ambientd.ledger.audit_entries import AuditEntry, AuditState
from ambientd.ledger.dispute_entries import DisputeState
from ambientd.ledger.entries import Slot, TaskEntry, audit_key
from ambientd.ledger.state import LedgerState
from ambientd.ledger.weighing import CLOSED_STANDINGS, Standing, waits_for_room, weigh
from ambientd.model.base import NodeId, TaskId
from ambientd.model.task import SlotState, TaskState, Verdict
from ambientd.rules.verdicts import quorum

NODES_TOLD_MAX = 100
"""Nodes that are named one by one, those that may get the slot first; the counts are of all."""

Grounds = tuple[str, str]
"""Why a task is in its state, and what it waits for: nothing once it has ended."""

VERDICTS = {
    Verdict.NONE: "one worker answered, as was asked for; nobody else executed it",
    Verdict.AGREED: "every worker gave the same answer",
    Verdict.DIVERGENT: "the answers differed, and a quorum of the committee found which is right",
    Verdict.INCONCLUSIVE: "the answers differed, and no quorum of the committee found the same",
    Verdict.BISECTED: "the answers differed, and who was wrong was traced to a false step",
    Verdict.PROVEN: "its worker proved it, and a quorum of the committee verified the proof",
}

AUDITS = {
    AuditState.AWAITING: "whether it is audited is not drawn yet",
    AuditState.PASSED: "it was not drawn to be audited",
    AuditState.OPEN: "it is being audited",
    AuditState.CONFIRMED: "an audit found the same",
    AuditState.REFUTED: "an audit found another answer: it is revoked",
    AuditState.UNDECIDED: "an audit came to no finding",
}


def explain(
    state: LedgerState,
    task: TaskId,
    entry: TaskEntry,
    aborts: str,
    given: Mapping[int, Given] = MappingProxyType({}),
) -> Why:
    """Explain a task; `aborts` is what its workers said of executions that they could not end.

    `given` is what is remembered of how its slots were given.
    """
    weighed = weigh(state, entry) if entry.state is TaskState.PENDING else []
    weighed.sort(key=lambda each: (list(Standing).index(each.standing), each.node))
    counts = Counter(each.standing for each in weighed)
    text, waits_for = _grounds(state, task, entry, counts)
    return Why(
        task_id=task.hex(),
        state=entry.state.name.lower(),
        text=f"{text}; {aborts}" if aborts else text,
        waits_for=waits_for,
        until_ms=_until_ms(state, entry),
        counts=tuple(
            StandingCount(standing=standing.name.lower(), nodes=number, text=standing.value)
            for standing, number in counts.items()
        ),
        nodes=tuple(
            NodeWhy(
                node=each.node.hex(),
                name=_name(state, each.node),
                standing=each.standing.name.lower(),
                text=each.standing.value,
                open_slots=each.open_slots,
                capacity=each.capacity,
            )
            for each in weighed[:NODES_TOLD_MAX]
        ),
        slots=slots_given(state, entry, given),
    )


def _name(state: LedgerState, node: NodeId) -> str:
    entry = state.node(node)
    return "" if entry is None else entry.profile.name


def _until_ms(state: LedgerState, entry: TaskEntry) -> int | None:
    """Give when time ends the waiting: the next deadline of a slot, a dispute, or the task.

    The task's own is among them until every answer is sealed, later by outages than it asked for.
    """
    if entry.ended_ms or not entry.deadline_ms:
        return None
    return state.in_block_time(entry.deadline_ms)


def _grounds(
    state: LedgerState, task: TaskId, entry: TaskEntry, counts: Counter[Standing]
) -> Grounds:
    match entry.state:
        case TaskState.PENDING:
            return _pending(state, entry, counts)
        case TaskState.ASSIGNED:
            return _assigned(state, entry)
        case TaskState.COMMITTED:
            return _committed(state, task, entry)
        case TaskState.DISPUTED:
            return _disputed(state, task, entry)
        case TaskState.FINAL:
            assert entry.settlement is not None, "a final task is settled"
            return VERDICTS[entry.settlement.verdict] + _on_audit(state, task), ""
        case TaskState.CANCELLED:
            return "its submitter took it back", ""
        case TaskState.EXPIRED:
            return _expired(entry), ""


def _pending(state: LedgerState, entry: TaskEntry, counts: Counter[Standing]) -> Grounds:
    waiting = _slots(entry, SlotState.WAITING)
    numbers = ", ".join(str(slot.slot) for slot in waiting)
    which = f"slot {numbers} has" if len(waiting) == 1 else f"slots {numbers} have"
    which += " no worker"
    tries = max((slot.attempt for slot in waiting), default=0)
    again = f" (attempt {tries + 1}: earlier workers did not answer in time, or had to stop)"
    again = again if tries else ""
    busy = counts[Standing.QUEUE_FULL]
    if counts[Standing.FREE] and waits_for_room(state, entry):
        text = f"{which}{again}: {busy} nodes with most of the weight have their queues full"
        return text, "enough of them to have room that chance chooses, and not who fills queues"
    if counts[Standing.FREE]:
        return which + again, "the next block, which gives the slot to a free node"
    if busy:
        return (
            f"{which}{again}: every node that it is for has its queue full",
            f"one of {busy} nodes to be done with some work",
        )
    asked = ", ".join(map(constraint_text, entry.spec.constraints))
    none = "it is for none of the nodes" + (f", as it asks for {asked}" if asked else "")
    closed = sum(counts[standing] for standing in CLOSED_STANDINGS)
    if closed:
        none += f"; owners of {closed} let theirs take no work now"
    if small := counts[Standing.NO_MEMORY]:
        none += f"; owners of {small} lend less memory than it needs"
    if hot := counts[Standing.TOO_HOT]:
        none += f"; {hot} of them must cool first"
    return f"{which}{again}: {none}", "a node that can take it, or its end"


def _assigned(state: LedgerState, entry: TaskEntry) -> Grounds:
    working = _slots(entry, SlotState.ASSIGNED)
    sealed = len(entry.slots) - len(working)
    text = f"{len(working)} of {len(entry.slots)} workers have it in hand"
    if sealed:
        text += f", {sealed} have sealed an answer"
    return text, f"{_workers(state, working)} to answer; then another node gets the slot"


def _committed(state: LedgerState, task: TaskId, entry: TaskEntry) -> Grounds:
    row = state.proof(task)
    if row is not None:
        needed = quorum(len(state.members))
        waits_for = f"{needed} members to say what they find; {len(row.words)} have"
        return "its answer is open, and the members verify the proof", waits_for
    sealed = _slots(entry, SlotState.COMMITTED)
    waits_for = f"{_workers(state, sealed)} to open what they sealed; then the referees answer"
    return "every answer is sealed, so nobody can copy one", waits_for


def _disputed(state: LedgerState, task: TaskId, entry: TaskEntry) -> Grounds:
    needed, row = quorum(len(state.members)), state.dispute(task)
    if row is not None and row.game is not None:
        game = row.game
        stretch = f"between gas {game.low.gas_index:,} and {game.until_gas:,}"
        text = f"the answers differ {stretch} (round {game.round + 1})"
        if row.state is DisputeState.SEGMENT:
            return text, f"{needed} referees to find the same of that stretch"
        silent = [
            entry.slots[slot]
            for slot, trace in zip(game.parties, game.traces, strict=True)
            if trace is None
        ]
        return text, f"{_workers(state, silent)} to say how the execution went there"
    spoken = len(entry.verdicts)
    text = f"the answers differ; {spoken} of {len(state.members)} referees have executed it"
    return text, f"{needed} referees to find the same"


def _on_audit(state: LedgerState, task: TaskId) -> str:
    """Say what has become of an answer that one worker gave alone."""
    about = state.get(audit_key(task))
    return f"; {AUDITS[about.state]}" if isinstance(about, AuditEntry) else ""


def _expired(entry: TaskEntry) -> str:
    if entry.spec.deadline_ms and entry.ended_ms >= entry.spec.deadline_ms:
        return "it was not final by the deadline that its submitter gave"
    attempts = max((slot.attempt for slot in entry.slots), default=0)
    least = "some answers were sealed" if entry.answered else "nobody ever sealed an answer"
    return f"{attempts} workers in turn did not answer in time; {least}"


def _slots(entry: TaskEntry, state: SlotState) -> list[Slot]:
    return [slot for slot in entry.slots if slot.state is state]


def _workers(state: LedgerState, slots: list[Slot]) -> str:
    return ", ".join(name_of(state, slot.worker) for slot in slots)
