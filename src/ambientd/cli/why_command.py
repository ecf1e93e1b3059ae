"""ambientctl task why: what a task waits for, and what the scheduler sees in each node."""

from ambientd.api import operations, requests
from ambientd.api.why_replies import Why
from ambientd.cli.console import (
    at_time,
    connect,
    in_words,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.task_commands import TaskArguments, task_name


def why(arguments: TaskArguments) -> ExitCode:
    """Explain why a task is where it is."""
    with connect(arguments) as client:
        request = requests.ExplainTask(task=task_name(arguments.task))
        answer = client.call(operations.TASK_WHY, request)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    print_fields(_fields(answer))
    if answer.nodes:
        print_line()
        rows = [
            (short(each.node), each.name, f"{each.open_slots} of {each.capacity}", each.text)
            for each in answer.nodes
        ]
        print_table(("NODE", "NAME", "IN HAND", "FOR THIS TASK, IT"), rows)
        told, total = len(answer.nodes), sum(each.nodes for each in answer.counts)
        if total > told:
            print_line(f"{told} of {total} nodes; the lines above count them all")
    return ExitCode.DONE


def _fields(answer: Why) -> list[tuple[str, str]]:
    fields = [("task", answer.task_id), ("state", answer.state), ("because", answer.text)]
    if answer.waits_for:
        fields.append(("waits for", answer.waits_for))
        until = "no end of its own: `ambientctl task cancel` takes it back"
        fields.append(("until", until if answer.until_ms is None else at_time(answer.until_ms)))
    fields += [
        (in_words(each.nodes, "node"), each.text if each.nodes == 1 else f"each {each.text}")
        for each in answer.counts
    ]
    return fields
