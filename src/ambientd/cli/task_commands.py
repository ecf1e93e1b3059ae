"""ambientctl task list, show, cancel, output: looking at tasks and taking them back."""

from typing import Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.counting import outcome_in_words
from ambientd.api.naming import NAME_CHARS_MIN, TAKEN_BACK
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    at_time,
    connect,
    in_sat,
    in_words,
    on_day,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import check_writable, print_bytes, report_beside, write_file
from ambientd.cli.registry_commands import published_fields
from ambientd.errors import UsageError

_ASSURANCES = {
    "none": "compared with none; lies are found by audits alone",
    "audited": "compared with a second unless its worker is trusted; audited by chance",
    "replicated": "compared with each other; the committee decides where they differ",
    "quorum": "all of which must agree; the committee decides where they differ",
    "proven": "its worker proves what came of it; the committee verifies the proof",
}


class ListArguments(CommonArguments, Protocol):
    """Options of `task list`."""

    limit: int
    state: str | None


class TaskArguments(CommonArguments, Protocol):
    """Options of `task show` and `task cancel`."""

    task: str


class OutputArguments(TaskArguments, Protocol):
    """Options of `task output`."""

    output: str | None
    item: int | None


def task_name(text: str) -> str:
    """Check the form of a task's id before a daemon is asked; raise UsageError."""
    name = text.lower()
    least = NAME_CHARS_MIN
    if not least <= len(name) <= 64 or name.strip("0123456789abcdef"):
        msg = f"{text!r} is not the id of a task; give 64 hex digits, or at least the first {least}"
        raise UsageError(msg)
    return name


def list_tasks(arguments: ListArguments) -> ExitCode:
    """List tasks, the newest first."""
    request = requests.ListTasks(state=arguments.state or "")
    with connect(arguments) as client:
        found = pages(client.call, operations.TASK_LIST, request, arguments.limit)
        answer = whole(found, "tasks")
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if not answer.tasks and arguments.state:
        print_line(f"no task is {arguments.state}")
        return ExitCode.DONE
    if not answer.tasks:
        print_line("no tasks yet; submit one with `ambientctl run MODULE.wasm --input FILE`")
        return ExitCode.DONE
    columns = ("TASK", "SUBMITTED", "STATE", "OUTCOME", "VERDICT", "GAS", "REPLICAS", "SUBMITTER")
    print_table(columns, [_task_row(task) for task in answer.tasks])
    if answer.total > len(answer.tasks):
        print_line(f"{len(answer.tasks)} of {answer.total}; more with --limit")
    return ExitCode.DONE


def _task_row(task: replies.TaskLine) -> tuple[str, ...]:
    return (
        short(task.task_id),
        at_time(task.submitted_ms),
        task.state,
        outcome_in_words(task.outcome, task.items, task.items_completed),
        task.verdict,
        "-" if task.gas is None else f"{task.gas:,}",
        str(task.replicas),
        short(task.submitter) if task.audits is None else f"audit of {short(task.audits)}",
    )


def show(arguments: TaskArguments) -> ExitCode:
    """Tell everything about one task."""
    with connect(arguments) as client:
        request = requests.ShowTask(task=task_name(arguments.task))
        task = client.call(operations.TASK_SHOW, request)
    if arguments.as_json:
        print_json(task)
        return ExitCode.DONE
    print_fields(_task_fields(task))
    if task.slots:
        print_line()
        rows = [(str(s.slot), str(s.attempt), short(s.worker), s.state) for s in task.slots]
        print_table(("SLOT", "ATTEMPT", "WORKER", "STATE"), rows)
    for fault in task.evidence:
        print_line()
        print_line(evidence_sentence(fault))
    if task.history:
        print_line()
        for line in task.history:
            print_line(f"{at_time(line.time_ms)}  {line.text}")
    return ExitCode.DONE


def cancel(arguments: TaskArguments) -> ExitCode:
    """Take a task back."""
    with connect(arguments) as client:
        request = requests.CancelTask(task=task_name(arguments.task))
        task = client.call(operations.TASK_CANCEL, request)
    if arguments.as_json:
        print_json(task)
    else:
        print_line(f"task {task.task_id} is {task.state}, {in_sat(task.refunded_msat)} refunded")
        if task.state == TAKEN_BACK:
            print_line(task.reason)
    return ExitCode.DONE


def _task_fields(task: replies.Task) -> list[tuple[str, str]]:
    ended = outcome_in_words(task.outcome, task.items, task.items_completed)
    why = task.reason
    if task.outcome == "completed" and task.items is not None and task.items_completed is None:
        why = f"not known here what each came to: `task output {short(task.task_id)}` brings it"
    reason = f" ({why})" if why else ""
    gas = "-" if task.gas is None else f"{task.gas:,} of {task.gas_max:,}"
    size = "" if task.output_size_bytes is None else f", {task.output_size_bytes:,} bytes"
    energy = "; ".join(energy_sentence(item) for item in task.energy) or "not reported yet"
    held = f"{in_sat(task.fee_msat // max(1, task.replicas))} held for referees"
    if task.replicas == 1:
        held = f"{in_sat(task.premium_msat)} for audits"
    return [
        ("task", task.task_id),
        ("state", task.state),
        ("submitter", task.submitter),
        ("assurance", _assurance(task)),
        *_choices(task),
        ("module", task.module_sha256),
        *published_fields(task.published_as),
        ("input", f"{task.input_sha256}{_items(task)}"),
        ("outcome", f"{ended}{reason}"),
        ("output", f"{task.output_sha256 or '-'}{size}"),
        ("gas", gas),
        ("verdict", task.verdict + (f"; {task.standing}" if task.standing else "")),
        *([("audits", task.audits)] if task.audits else []),
        ("liars", ", ".join(task.liars) or "none"),
        ("fee", f"{in_sat(task.fee_msat)}, and {held}"),
        ("in escrow", in_sat(task.escrow_msat)),
        (
            "paid",
            f"{in_sat(task.paid_msat)}, refunded {in_sat(task.refunded_msat)}, "
            f"to the fee pool {in_sat(task.pooled_msat)}",
        ),
        ("energy", energy),
        ("receipt", receipt_sentence(task.receipt)),
    ]


def _items(task: replies.Task) -> str:
    if task.items is None:
        return ""
    return f", {in_words(task.items, 'item')}, each executed by itself: `task output --item`"


def _assurance(task: replies.Task) -> str:
    """Say how a task is verified."""
    word = _ASSURANCES.get(task.assurance, "")
    return f"{task.assurance}: {in_words(task.replicas, 'replica')}{word and ', '}{word}"


def _choices(task: replies.Task) -> list[tuple[str, str]]:
    """Say what the submitter chose of how, when and by whom; an older daemon does not tell."""
    if not task.task_class:
        return []
    until = "none"
    if task.deadline_ms is not None:
        until = f"all answers by {on_day(task.deadline_ms)}, or the fee comes back"
    fields = [
        ("class", f"{task.task_class}, priority {task.priority} of 0 to 9"),
        ("deadline", until),
        ("scheduling", f"{task.strategy}, {in_words(task.attempts_max, 'attempt')} a replica"),
    ]
    if task.marks_max:
        states = in_words(task.marks_max, "state")
        fields.append(("marks", f"up to {states} for who has it next, on its maker's word"))
    if task.constraints:
        fields.append(("only on", ", ".join(task.constraints)))
    if task.distinct:
        fields.append(("replicas by", f"different {', '.join(task.distinct)}, where nodes allow"))
    return fields


def evidence_sentence(fault: replies.EvidenceInfo) -> str:
    """Say who was convicted of what, and what it cost."""
    text = f"{short(fault.culprit)} convicted of {fault.kind}: {fault.detail}"
    if fault.reputation_before is None or fault.reputation_after is None:
        return text
    return f"{text}; reputation {fault.reputation_before:.3f} -> {fault.reputation_after:.3f}"


def energy_sentence(item: replies.EnergyInfo) -> str:
    """Say what an execution used and who says so."""
    used = "unknown" if item.millijoules is None else f"{item.millijoules / 1000:.3f} J"
    source = f" ({item.source})" if item.source not in ("", "unknown") else ""
    basis = " modelled, not measured" if item.modelled else ""
    doubt = f", implausible: {item.doubt}" if item.doubt else ""
    return f"{short(item.worker)} {used}{basis}{source}{doubt}"


def receipt_sentence(receipt: replies.ReceiptState) -> str:
    """Say how far a receipt has come."""
    if receipt.height is None:
        return receipt.state
    deep = in_words(receipt.confirmations or 0, "confirmation")
    return f"{receipt.state} at height {receipt.height}, {deep}"


def output(arguments: OutputArguments) -> ExitCode:
    """Fetch a task's output."""
    name = task_name(arguments.task)
    if arguments.output:
        check_writable(arguments.output)
    with connect(arguments) as client:
        answer = client.call(
            operations.TASK_OUTPUT, requests.GetOutput(task=name, item=arguments.item)
        )
    if arguments.output:
        write_file(arguments.output, answer.data)
    if answer.standing and not arguments.as_json:
        warn(f"answer: {answer.standing}")
    if arguments.as_json:
        with report_beside(arguments.output):
            print_json(
                {
                    "task_id": answer.task_id,
                    "output_sha256": answer.sha256,
                    "size_bytes": len(answer.data),
                    "output": arguments.output,
                    "standing": answer.standing,
                }
            )
    elif not arguments.output:
        print_bytes(answer.data)
    return ExitCode.DONE
