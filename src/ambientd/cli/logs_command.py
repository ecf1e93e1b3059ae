"""ambientctl task logs: what a task's module wrote to its standard error, executed again here.

No worker is asked: an execution depends on module, input, seed and limits alone, so this machine
comes to the same end, and sees by the way whether it is the one that the ledger has.
"""

from typing import Protocol

import msgspec

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.material_values import GetMaterial
from ambientd.api.task_ends import ABORTED, agrees, as_item
from ambientd.cli.console import connect, print_json, print_line, short, tell, warn, working
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.run_command import TERMINAL_STATES
from ambientd.cli.task_commands import TaskArguments, task_name
from ambientd.codec.bundles import read_outcomes
from ambientd.errors import RemoteProtocolError


class LogsArguments(TaskArguments, Protocol):
    """Options of `task logs`."""

    engine: str
    sandbox: str
    item: int | None


def logs(arguments: LogsArguments) -> ExitCode:
    """Execute a task again here, and print what its module says on the way."""
    from ambientd.api.module_process import engines_named
    from ambientd.api.module_runs import call_of, verify_determinism

    (engine,) = engines_named(arguments.engine)
    name = task_name(arguments.task)
    with connect(arguments) as client:
        material = client.call(
            operations.TASK_MATERIAL, GetMaterial(task=name, item=arguments.item)
        )
        task = client.call(operations.TASK_SHOW, requests.ShowTask(task=material.task_id))
        if arguments.item is not None and task.outcome == "completed":
            task = _item_of(client, task, arguments.item)
    call = call_of(material, sandbox_required=arguments.sandbox == "required")
    with working("executing the task again here"):
        done = verify_determinism(call, (engine,), 1)
    [answer] = done.answers
    same = agrees(task, answer.outcome, answer.gas, answer.output_sha256)
    log = done.log.decode("utf-8", "replace")
    if arguments.as_json:
        shown = msgspec.to_builtins(answer)
        print_json({"task_id": task.task_id, "log": log, "agrees": same, **shown})
    else:
        for line in log.splitlines():
            print_line(line)
        if not log:
            tell("the module wrote nothing to its standard error")
    if answer.outcome == ABORTED:
        warn(f"ambientctl: the execution here did not end: {answer.reason}; try another --engine")
        return ExitCode.FAILED
    here = f"executed again here on {answer.engine}: {answer.outcome}, {answer.gas:,} gas"
    if same is False:
        warn(
            f"ambientctl: {here}, output {short(answer.output_sha256)}; the ledger has "
            f"{task.outcome}, {task.gas or 0:,} gas, output {short(task.output_sha256)}: see "
            f"`ambientctl task show {short(task.task_id)}`"
        )
        return ExitCode.NOT_VERIFIED
    tell(f"{here}, {'as the ledger has it' if same else _why_unknown(task)}")
    return ExitCode.DONE


def _item_of(client: Client, task: replies.Task, item: int) -> replies.Task:
    """Give a bundle as if it were the task of one of its items, to compare that with."""
    whole = client.call(operations.TASK_OUTPUT, requests.GetOutput(task=task.task_id))
    try:
        return as_item(task, read_outcomes(whole.data, task.items or 0)[item])
    except RemoteProtocolError:
        return as_item(task, None)


def _why_unknown(task: replies.Task) -> str:
    """Say why the ledger has no end that this one could be compared with."""
    if task.state not in TERMINAL_STATES:
        return f"which the ledger has not yet: the task is {task.state}"
    how = "is without an answer" if task.state == "final" else f"was {task.state}"
    return f"which nothing confirms: the task {how}, and the ledger will never have one"
