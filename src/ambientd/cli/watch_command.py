"""ambientctl task watch: a task's timeline as it grows, until the task has ended."""

import sys
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.counting import outcome_in_words
from ambientd.api.why_replies import Why
from ambientd.cli.console import (
    at_time,
    connect,
    is_drawn,
    print_json,
    print_line,
    short,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.parts import Fields, Part, Table
from ambientd.cli.run_command import TERMINAL_STATES
from ambientd.cli.task_commands import TaskArguments, receipt_sentence, task_name
from ambientd.cli.task_steps import steps_of

LINES_DRAWN = 25
_LOOK_MS = 1_000
_LAST_LOOK_MS = 300


class WatchArguments(TaskArguments, Protocol):
    """Options of `task watch`."""

    timeout: float
    wait_anchor: bool


class Seen(NamedTuple):
    """A task, and why it is where it is while it has not ended."""

    task: replies.Task
    why: Why | None


def watch(arguments: WatchArguments) -> ExitCode:
    """Follow a task to its end."""
    with connect(arguments) as client:
        if is_drawn() and not arguments.as_json:
            from ambientd.cli.drawing import picture

            with picture(whole=False) as show:
                task = _follow(arguments, client, lambda seen: show(parts_of(seen)))
        else:
            task = _follow(arguments, client, _Lines(as_json=arguments.as_json).show)
    if not _has_come(arguments, task):
        warn(
            f"ambientctl: the task is {task.state}, its receipt {task.receipt.state}, after "
            f"{arguments.timeout:g} s; `ambientctl task why {short(task.task_id)}` says what it "
            "waits for"
        )
        return ExitCode.FAILED
    has_all = task.items_completed is None or task.items_completed == task.items
    return ExitCode.DONE if task.outcome == "completed" and has_all else ExitCode.FAILED


def _follow(
    arguments: WatchArguments, client: Client, show: Callable[[Seen], None]
) -> replies.Task:
    """Show a task whenever it may have changed, until it has come far enough or time is over."""
    start_s = time.monotonic()
    name = task_name(arguments.task)
    task = client.call(operations.TASK_SHOW, requests.ShowTask(task=name))
    is_over = False
    while True:
        is_open = task.state not in TERMINAL_STATES
        why = requests.ExplainTask(task=task.task_id)
        show(Seen(task, client.call(operations.TASK_WHY, why) if is_open else None))
        if is_over:
            return task
        left_s = max(0.0, arguments.timeout - (time.monotonic() - start_s))
        is_over = _has_come(arguments, task) or left_s == 0
        wait = requests.WaitForTask(
            task=task.task_id,
            until="final" if is_open else "anchored",
            seen=task.state if is_open else task.receipt.state,
            # Who pays and is paid is told a moment after the state has changed.
            timeout_ms=_LAST_LOOK_MS if is_over else min(_LOOK_MS, int(left_s * 1000)),
        )
        client.call(operations.TASK_WAIT, wait)
        task = client.call(operations.TASK_SHOW, requests.ShowTask(task=task.task_id))


def _has_come(arguments: WatchArguments, task: replies.Task) -> bool:
    if task.state not in TERMINAL_STATES:
        return False
    return not arguments.wait_anchor or task.receipt.state in {"anchored", "none"}


def _ended(task: replies.Task) -> str:
    return outcome_in_words(task.outcome, task.items, task.items_completed)


def _standing(task: replies.Task) -> tuple[str, str, replies.ReceiptState]:
    return task.state, _ended(task), task.receipt


def parts_of(seen: Seen) -> list[Part]:
    """Give what a terminal shows of a task."""
    task, why = seen
    fields = [
        ("task", task.task_id),
        ("state", task.state),
        ("outcome", f"{_ended(task)}{task.reason and ': '}{task.reason}"),
        ("verdict", task.verdict + (f"; {task.standing}" if task.standing else "")),
        ("receipt", receipt_sentence(task.receipt)),
    ]
    if why is not None:
        fields.append(("because", why.text))
    if why is not None and why.waits_for:
        fields.append(("waits for", why.waits_for))
    rows = [(str(s.slot), str(s.attempt), short(s.worker), s.state) for s in task.slots]
    parts: list[Part] = [Fields(fields)]
    if task.state not in TERMINAL_STATES:
        parts.append(steps_of(task))
    parts.append(Table(("SLOT", "ATTEMPT", "WORKER", "STATE"), rows))
    if task.history:
        latest = [(at_time(line.time_ms), line.text) for line in task.history[-LINES_DRAWN:]]
        parts.append(Table(("TIME", "WHAT HAPPENED"), latest))
    return parts


class _Lines:
    """What is new of a task, line by line, for pipes and programs."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._told: replies.Task | None = None
        self._waits_for = ""

    def show(self, seen: Seen) -> None:
        """Print what was not there before."""
        task, before = seen.task, self._told
        self._told = task
        if self._as_json:
            if task != before:
                print_json(task)
            return
        for line in task.history[0 if before is None else len(before.history) :]:
            print_line(f"{at_time(line.time_ms)}  {line.text}")
        waits_for = "" if seen.why is None else seen.why.waits_for
        if waits_for and waits_for != self._waits_for:
            print_line(f"{'waits for':<12}  {waits_for}")
        self._waits_for = waits_for
        if before is None or _standing(task) != _standing(before):
            receipt = receipt_sentence(task.receipt)
            ended = f"{task.state}, outcome {_ended(task)}, receipt {receipt}"
            print_line(f"{'task':<12}  {ended}")
        sys.stdout.flush()
