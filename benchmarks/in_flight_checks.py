"""Whether all tasks of `benchmarks.in_flight` ended as they should: none lost, none paid twice."""

from collections import Counter
from pathlib import Path

from ambientd.api.client import Client
from ambientd.api.offline import check_receipt
from ambientd.api.operations import RECEIPT_GET, STATUS, TASK_SHOW
from ambientd.api.replies import Task
from ambientd.api.requests import GetReceipt, GetStatus, ShowTask
from ambientd.config.places import socket_path_for
from benchmarks.in_flight_ledger import Book, Flight

FAULTS_TOLD = 5
SHOWN_EVERY = 100
"""Of the tasks whose news were all heard, one in so many is looked at as well."""


def check_all(nodes: list[Path], book: Book, receipts: int) -> list[str]:
    """Say what was wrong; nothing when every accepted task ended as it should."""
    accepted = {task: f for task, f in book.flights.items() if f.place is not None}
    if not accepted:
        return ["no task was accepted"]
    faults: list[str] = []
    looked_at = 0
    # node3 has heard of none of them from a caller here.
    with Client(socket_path_for(nodes[2])) as client:
        for number, (task, flight) in enumerate(accepted.items()):
            if flight.is_whole and number % SHOWN_EVERY:
                faults += told_faults(task, flight)
            else:
                looked_at += 1
                shown = client.call(TASK_SHOW, ShowTask(task=task))
                faults += shown_faults(shown, flight)
        final = [task for task, flight in accepted.items() if flight.state == "final"]
        chosen = final[:: max(1, len(final) // max(1, receipts))]
        faults += receipt_faults(client, chosen)
    states = Counter(flight.state or "open" for flight in accepted.values())
    ends = ", ".join(f"{count} {state}" for state, count in states.most_common())
    print(f"  accepted: {len(accepted)}; {ends}; news left off {book.gaps} times")
    print(f"  looked up at {nodes[2].name}: {looked_at}; receipts checked: {len(chosen)}")
    print(f"  faults found: {len(faults) or 'none'}")
    if not final:
        faults.append("no task was executed")
    return [*faults[:FAULTS_TOLD], *([f"{len(faults)} in all"] if len(faults) > 1 else [])]


def told_faults(task: str, flight: Flight) -> list[str]:
    """Say what is wrong with what was told of a task."""
    if flight.state not in {"final", "cancelled"}:
        return [f"{task[:12]} is {flight.state or 'open'}"]
    workers = len(set(flight.paid))
    # Who was under way with a task that is cancelled gets a part, once as well.
    if workers != len(flight.paid) or (flight.state == "final" and not workers):
        return [f"{task[:12]}, {flight.state}: {len(flight.paid)} payments to {workers} workers"]
    return []


def shown_faults(shown: Task, flight: Flight) -> list[str]:
    """Say what is wrong with a task as another node's ledger has it."""
    workers = [pay.worker for pay in shown.payments]
    name = shown.task_id[:12]
    if shown.state not in {"final", "cancelled"} or shown.state != flight.state:
        return [f"{name} is {shown.state}, and was told to be {flight.state or 'open'}"]
    if len(set(workers)) != len(workers):
        return [f"{name}: a worker was paid twice"]
    under_way = {slot.worker for slot in shown.slots if slot.worker}
    if set(workers) != under_way:
        return [f"{name}: {len(workers)} workers were paid, not {len(under_way)}"]
    if shown.state == "final" and shown.outcome != "completed":
        return [f"{name}: {shown.outcome}"]
    spent = shown.paid_msat + shown.refunded_msat + shown.pooled_msat + shown.premium_msat
    if flight.escrow_msat and spent != flight.escrow_msat:
        return [f"{name}: {flight.escrow_msat} msat in escrow, {spent} came of it"]
    return []


def receipt_faults(client: Client, tasks: list[str]) -> list[str]:
    """Say which of these receipts do not hold."""
    pinned = bytes.fromhex(client.call(STATUS, GetStatus()).fingerprint)
    faults = []
    for task in tasks:
        report = check_receipt(client.call(RECEIPT_GET, GetReceipt(task=task)).data, pinned)
        bad = [f"{check.name}: {check.detail}" for check in report.checks if not check.ok]
        if bad or not report.valid:
            faults.append(f"the receipt of {task[:12]} does not hold: {'; '.join(bad)}")
    return faults
