"""ambientctl task why: what a task waits for, and what the scheduler sees or saw in each node."""

from ambientd.api import operations, requests
from ambientd.api.why_replies import NodeWhy, SlotWhy, StandingCount, Why
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
        _print_nodes("FOR THIS TASK, IT", answer.nodes)
        told, total = len(answer.nodes), sum(each.nodes for each in answer.counts)
        if total > told:
            print_line(f"{told} of {total} nodes; the lines above count them all")
    for slot in answer.slots:
        print_line()
        print_line(_giving(slot))
        if slot.given_ms is not None:
            print_fields(_counted(slot.counts))
            _print_nodes("WHEN THE SLOT WAS GIVEN, IT", slot.nodes)
    return ExitCode.DONE


def _print_nodes(heading: str, nodes: tuple[NodeWhy, ...]) -> None:
    print_line()
    rows = [
        (short(each.node), each.name, f"{each.open_slots} of {each.capacity}", each.text)
        for each in nodes
    ]
    print_table(("NODE", "NAME", "IN HAND", heading), rows)


def _giving(slot: SlotWhy) -> str:
    """Say who has a slot and how it came to be, or that this is not known any more."""
    attempt = f" in attempt {slot.attempt + 1}" if slot.attempt else ""
    went = f"slot {slot.slot} went to {slot.name}{attempt}"
    if slot.given_ms is None:
        return (
            f"{went}; among whom is not known any more here: a daemon remembers its last "
            "choices, and none from before its start"
        )
    how = f"{went}, at {at_time(slot.given_ms)}, by the strategy {slot.strategy}"
    if slot.chance_percent is None:
        return how
    return f"{how}, in which it had {slot.chance_percent} of 100 chances"


def _counted(counts: tuple[StandingCount, ...]) -> list[tuple[str, str]]:
    return [
        (in_words(each.nodes, "node"), each.text if each.nodes == 1 else f"each {each.text}")
        for each in counts
    ]


def _fields(answer: Why) -> list[tuple[str, str]]:
    fields = [("task", answer.task_id), ("state", answer.state), ("because", answer.text)]
    if answer.waits_for:
        fields.append(("waits for", answer.waits_for))
        until = "no end of its own: `ambientctl task cancel` takes it back"
        fields.append(("until", until if answer.until_ms is None else at_time(answer.until_ms)))
    return fields + _counted(answer.counts)
