"""ambientctl top: nodes, load, tasks and the log, looked at again and again."""

import sys
import time
from typing import NamedTuple, Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.cli.console import (
    CommonArguments,
    connect,
    in_words,
    is_drawn,
    print_json,
    print_line,
    short,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.node_commands import all_nodes, node_state, trouble_fields
from ambientd.cli.parts import Fields, Part, Table, print_parts

NODES_SHOWN = 30
TASKS_SHOWN = 15
_OVER = ("final", "cancelled", "expired")
_LATE_MS = 15_000
"""At rest a block comes every 13 s."""


class TopArguments(CommonArguments, Protocol):
    """Options of `top`."""

    every: float
    times: int | None


class Look(NamedTuple):
    """What one look found, and when."""

    at_ms: int
    status: replies.Status
    nodes: replies.Nodes
    tasks: replies.Tasks


def top(arguments: TopArguments) -> ExitCode:
    """Look again and again, until interrupted or so often as was asked for."""
    with connect(arguments) as client:
        if is_drawn() and not arguments.as_json and arguments.times is None:
            from ambientd.cli.drawing import picture

            with picture(whole=True) as show:
                _follow(arguments, client, lambda look, past: show(parts_of(look, past)))
        else:
            _follow(arguments, client, lambda look, past: _print(arguments, look, past))
    return ExitCode.DONE


class _Show(Protocol):
    def __call__(self, look: Look, past: Look | None, /) -> None: ...


def _follow(arguments: TopArguments, client: Client, show: _Show) -> None:
    past, looks = None, 0
    while True:
        look = _look(client)
        show(look, past)
        past, looks = look, looks + 1
        if looks == arguments.times:
            return
        time.sleep(arguments.every)


def _look(client: Client) -> Look:
    return Look(
        at_ms=client.call(operations.PING, requests.Ping()).now_ms,
        status=client.call(operations.STATUS, requests.GetStatus()),
        nodes=all_nodes(client),
        tasks=client.call(
            operations.TASK_LIST, requests.ListTasks(limit=TASKS_SHOWN, state="open")
        ),
    )


def _print(arguments: TopArguments, look: Look, past: Look | None) -> None:
    if arguments.as_json:
        print_json({"status": look.status, "nodes": look.nodes, "tasks": look.tasks})
        return
    if past is not None:
        print_line()
    print_parts(parts_of(look, past))
    sys.stdout.flush()


def parts_of(look: Look, past: Look | None) -> list[Part]:
    """Give what is shown of one look; rates need the one before."""
    parts: list[Part] = [Fields(_summary(look, past)), _nodes(look)]
    more = len(look.nodes.nodes) - NODES_SHOWN
    if more > 0:
        parts.append(f"and {in_words(more, 'node')} more: `ambientctl nodes` lists all")
    if look.tasks.tasks:
        parts.append(_tasks(look))
    return parts


def _summary(look: Look, past: Look | None) -> list[tuple[str, str]]:
    status = look.status
    names = {node.id: node.name for node in look.nodes.nodes}
    who = "none yet"
    if status.coordinator is not None:
        who = f"{names.get(status.coordinator, '')} {short(status.coordinator)}".strip()
    return [
        ("cluster", f"{status.cluster}, seen from {status.name} {short(status.node)}"),
        ("term", f"{status.term} of epoch {status.epoch}, coordinator {who}"),
        ("log", _log(status)),
        ("committee", _committee(look)),
        ("tasks", _counts(look, past)),
        *trouble_fields(status.troubles),
    ]


def _log(status: replies.Status) -> str:
    late = ", LATE" if status.silent_ms > _LATE_MS else ""
    age = f"the last {status.silent_ms / 1000:.1f} s ago{late}"
    return f"{in_words(status.committed_height, 'block')} committed, {age}"


def _committee(look: Look) -> str:
    members = [node for node in look.nodes.nodes if node.committee]
    away = [node.name for node in members if not node.connected]
    here = f"{len(members) - len(away)} of {in_words(len(members), 'member')} here"
    return f"{here}; away: {', '.join(away)}" if away else here


def _counts(look: Look, past: Look | None) -> str:
    counts = [f"{count} {name}" for name, count in sorted(look.status.tasks.items()) if count]
    text = ", ".join(counts) or "none"
    if past is None:
        return text
    ended = sum(look.status.tasks.get(each, 0) - past.status.tasks.get(each, 0) for each in _OVER)
    passed_ms = max(look.at_ms - past.at_ms, 1)
    return f"{text}; {max(0, ended) * 1000 / passed_ms:.1f} ended a second"


def _nodes(look: Look) -> Table:
    columns = ("NAME", "ID", "STATE", "HEALTH", "LOAD", "WORK", "LATENCY", "REPUTATION", "ROLE")
    order = sorted(look.nodes.nodes, key=lambda each: (not each.committee, each.name, each.id))
    return Table(columns, [_node_row(look, each) for each in order[:NODES_SHOWN]])


def _node_row(look: Look, node: replies.NodeInfo) -> tuple[str, ...]:
    role = "committee" if node.committee else "worker"
    if node.id == look.status.coordinator:
        role = "coordinator"
    return (
        node.name,
        short(node.id),
        node_state(node, look.nodes.self_id),
        "-" if node.health_percent is None else f"{node.health_percent} %",
        "-" if node.load_percent is None else f"{node.load_percent} %",
        "-" if node.capacity is None else f"{node.open_slots} of {node.capacity}",
        "-" if node.latency_us is None else f"{node.latency_us / 1000:.1f} ms",
        f"{node.reputation:.3f}",
        role,
    )


def _tasks(look: Look) -> Table:
    names = {node.id: node.name for node in look.nodes.nodes}
    rows = [
        (
            short(task.task_id),
            task.state,
            f"{max(0, look.at_ms - task.submitted_ms) / 1000:.0f} s ago",
            in_words(task.replicas, "replica"),
            names.get(task.submitter, short(task.submitter)),
        )
        for task in look.tasks.tasks
    ]
    return Table((f"OPEN TASK ({look.tasks.total})", "STATE", "SUBMITTED", "FOR", "BY"), rows)
