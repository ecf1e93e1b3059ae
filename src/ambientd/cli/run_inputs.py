"""ambientctl run --inputs: a module over many inputs, a line for what each came to.

Inputs are the lines of a file or of standard input, or the files of a folder. So many of them
travel as one task, a bundle; each has its own outcome, and its own receipt.
"""

import base64
import json
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.operation import OperationError
from ambientd.cli.console import (
    Gauge,
    connect,
    counting,
    in_words,
    print_line,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM, check_writable, write_file
from ambientd.cli.many_inputs import Input, read_inputs
from ambientd.cli.named_modules import brought, is_named, with_module
from ambientd.cli.run_command import (
    TASKS,
    TERMINAL_STATES,
    RunArguments,
    handing,
    is_wanted,
    request_of,
    wait_for,
)
from ambientd.codec.bundles import read_outcomes
from ambientd.errors import AmbientError, RemoteProtocolError, UnreachableError, UsageError
from ambientd.model.bundle import ITEMS_MAX, ItemOutcome
from ambientd.model.execution import OutcomeKind

UNDER_WAY = 8
"""So many tasks at once; of fewer inputs than would fill them, each gets the same share."""

LOOK_S = 0.5
"""So often a bar is brought up to date."""

_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True)
class Part:
    """The inputs of one task, and what they are called."""

    task_id: str
    names: Sequence[str]


def run_inputs(arguments: RunArguments) -> ExitCode:
    """Execute a module on each of many inputs."""
    assert arguments.inputs is not None, "asked for with --inputs only"
    _check(arguments)
    inputs = read_inputs(arguments.inputs)
    _check_outputs(arguments, inputs)
    if arguments.bundle > ITEMS_MAX:
        raise UsageError(f"--bundle {arguments.bundle}: a task has at most {ITEMS_MAX} inputs")
    size = arguments.bundle or min(ITEMS_MAX, -(-len(inputs) // UNDER_WAY))
    request = request_of(arguments)
    with connect(arguments) as client:
        size_bytes = len(request.module)
        if is_named(arguments.module):
            info = brought(client, arguments.module)
            size_bytes, request = info.shown.module_size_bytes, with_module(request, info)
        tasks = -(-len(inputs) // size)
        tell(f"{in_words(len(inputs), 'input')}, {in_words(tasks, 'task')} of {_up_to(size)}")
        first = replace(request, items=tuple(data for _, data in inputs[:size]))
        if not is_wanted(arguments, client, first, size_bytes, tasks=tasks):
            warn("ambientctl: nothing was submitted")
            return ExitCode.FAILED
        with counting("executing", "inputs") as gauge:
            batch = Batch(arguments, client, gauge, len(inputs))
            failed = sum(batch.failures(request, inputs, size))
    if failed:
        warn(f"ambientctl: {failed} of {len(inputs)} inputs have no output")
    return ExitCode.FAILED if failed else ExitCode.DONE


def _up_to(size: int) -> str:
    return "one each" if size == 1 else f"up to {size} each"


def _check(arguments: RunArguments) -> None:
    for name, is_given in (
        ("--input", arguments.input is not None),
        ("--nonce", arguments.nonce is not None),
        ("--no-wait", arguments.no_wait),
        ("--wait-anchor", arguments.wait_anchor),
    ):
        if is_given:
            raise UsageError(f"{name} is for one input; leave it away, or leave --inputs away")
    if arguments.receipt is not None:
        msg = "--receipt is for one input; `ambientctl receipt get ID --item K` gives those of many"
        raise UsageError(msg)
    if arguments.output is not None and not Path(arguments.output).is_dir():
        msg = f"-o {arguments.output}: is no folder; with --inputs each output is a file in one"
        raise UsageError(msg)


def _check_outputs(arguments: RunArguments, inputs: Sequence[Input]) -> None:
    """Refuse outputs that cannot be written, or would replace the inputs, before all is paid."""
    assert arguments.inputs is not None, "asked for with --inputs only"
    if arguments.output is None:
        return
    given, folder = Path(arguments.inputs), Path(arguments.output)
    if arguments.inputs != STANDARD_STREAM and given.is_dir() and given.samefile(folder):
        msg = f"-o {folder}: is the folder of the inputs, which the outputs would replace"
        raise UsageError(f"{msg}; name another")
    for name, _ in inputs:
        check_writable(str(folder / name))


class Batch:
    """Tasks under way, the oldest first: what came of them is told in the order of the inputs."""

    def __init__(self, arguments: RunArguments, client: Client, gauge: Gauge, total: int) -> None:
        self._arguments = arguments
        self._client = client
        self._gauge = gauge
        self._total = total
        self._told = 0
        self._under_way: deque[Part] = deque()

    def failures(
        self, request: requests.SubmitTask, inputs: Sequence[Input], size: int
    ) -> Iterator[int]:
        """Submit and await the tasks, a few at once; give how many inputs of each failed."""
        self._gauge.told(0, self._total)
        with _staying(self._under_way):
            for start in range(0, len(inputs), size):
                if len(self._under_way) == UNDER_WAY:
                    yield self._first_ended()
                part = inputs[start : start + size]
                items, nonce = tuple(data for _, data in part), os.urandom(_NONCE_BYTES)
                submitted = _submit(self._client, replace(request, items=items, nonce=nonce))
                self._under_way.append(Part(submitted.task_id, [name for name, _ in part]))
            while self._under_way:
                yield self._first_ended()

    def _first_ended(self) -> int:
        part = self._under_way[0]
        task = self._awaited(part)
        with self._gauge.aside():
            failed = _tell(self._arguments, self._client, part, task)
        self._under_way.popleft()
        self._told += len(part.names)
        self._gauge.told(self._told, self._total)
        return failed

    def _awaited(self, part: Part) -> replies.Task:
        """Wait for a task's end; whoever looks sees meanwhile how many others have come to it."""
        until_s = time.monotonic() + self._arguments.timeout
        while True:
            left_s = max(0.0, until_s - time.monotonic())
            wait_s = min(left_s, LOOK_S) if self._gauge.is_seen else left_s
            task = wait_for(self._client, part.task_id, "final", wait_s, is_told=False)
            if task.state in TERMINAL_STATES or wait_s == left_s:
                return task
            others = (each for each in self._under_way if each is not part)
            ended = sum(len(each.names) for each in others if self._has_ended(each))
            self._gauge.told(self._told + ended, self._total)

    def _has_ended(self, part: Part) -> bool:
        now = requests.WaitForTask(task=part.task_id, until="final", seen="", timeout_ms=0)
        return self._client.call(operations.TASK_WAIT, now).state in TERMINAL_STATES


@contextmanager
def _staying(under_way: deque[Part]) -> Iterator[None]:
    """Name the tasks that go on when this ends early, by whatever it is."""
    try:
        yield
    except (KeyboardInterrupt, AmbientError, OSError):
        if under_way:
            tasks = ", ".join(short(part.task_id) for part in under_way)
            which = in_words(len(under_way), "task")
            hint = "`ambientctl task cancel ID` takes one back"
            warn(f"ambientctl: {which} may go on: {tasks}; {hint}")
        raise


def _submit(client: Client, request: requests.SubmitTask) -> replies.Submitted:
    """Hand a bundle to the node; one that was not taken in time cannot be asked for again."""
    try:
        with handing():
            return client.call(operations.TASK_SUBMIT, request)
    except OperationError as error:
        if "--nonce" not in error.hint:  # which is for one input
            raise
        hint = f"it may be taken later: look at {TASKS} before you ask again"
        raise OperationError(error.code, error.message, hint) from None
    except UnreachableError as error:
        hint = f"it may have taken one task more; see {TASKS} once it is there again"
        raise UnreachableError(f"{error}; {hint}") from None


def _tell(arguments: RunArguments, client: Client, part: Part, task: replies.Task) -> int:
    """Put what a task's inputs came to where it belongs; give how many of them failed."""
    if task.state not in TERMINAL_STATES:
        hint = f"it goes on; `ambientctl task why {short(task.task_id)}` says what it waits for"
        warn(f"ambientctl: a task is {task.state} after {arguments.timeout:g} s; {hint}")
    outcomes: tuple[ItemOutcome, ...] = ()
    if task.outcome == "completed":
        output = client.call(operations.TASK_OUTPUT, requests.GetOutput(task=task.task_id))
        try:
            outcomes = read_outcomes(output.data, len(part.names))
        except RemoteProtocolError as error:  # the other tasks go on
            warn(
                f"ambientctl: task {short(task.task_id)} was answered by one worker alone: {error}"
            )
            task = replace(task, outcome="none", reason="the answer holds no outcomes of its items")
    elif task.reason == "output_too_large" and len(part.names) > 1:
        warn("ambientctl: the outputs of a bundle are too large together; try a smaller --bundle")
    failed = 0
    for item, name in enumerate(part.names):
        outcome = outcomes[item] if item < len(outcomes) else None
        shown: dict[str, Any] = {"input": name, "task_id": task.task_id, "item": item}
        print_line(json.dumps(shown | _came(arguments, task, outcome, name)))
        failed += outcome is None or outcome.kind != OutcomeKind.COMPLETED
    return failed


def _came(
    arguments: RunArguments, task: replies.Task, outcome: ItemOutcome | None, name: str
) -> dict[str, Any]:
    """Say what one input came to; what came of the whole where it has no outcome of its own."""
    if outcome is None:
        ending = task.outcome if task.state == "final" else task.state
        return {"outcome": ending, "reason": task.reason, "gas": None}
    kind = OutcomeKind(outcome.kind)
    shown: dict[str, Any] = {"outcome": kind.name.lower(), "gas": outcome.gas}
    if kind is not OutcomeKind.COMPLETED:
        return shown | {"reason": outcome.reason}
    if arguments.output is not None:
        path = str(Path(arguments.output) / name)
        write_file(path, outcome.output)
        return shown | {"output_file": path}
    try:
        return shown | {"output": outcome.output.decode("utf-8")}
    except UnicodeDecodeError:
        return shown | {"output_base64": base64.b64encode(outcome.output).decode("ascii")}
