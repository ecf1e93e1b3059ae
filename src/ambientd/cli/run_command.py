"""ambientctl run: submit a task, wait for it, put output and receipt where they belong."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import ceil
from typing import Any, Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.quotes import Quote
from ambientd.api.requests import LABEL_CHARS_MAX, LABELS_MAX
from ambientd.cli.console import (
    CommonArguments,
    Gauge,
    confirm,
    connect,
    counting,
    in_sat,
    in_words,
    is_terminal,
    is_watched,
    print_json,
    print_line,
    sending,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import (
    STANDARD_STREAM,
    check_writable,
    print_bytes,
    read_file,
    read_module,
    report_beside,
    write_file,
)
from ambientd.cli.named_modules import brought, is_named, with_module
from ambientd.cli.task_steps import steps_of
from ambientd.errors import UnreachableError, UsageError

TASKS = "`ambientctl task list` and `ambientctl task list --state waiting`"
"""Where to look for a task of which it is not known how far it came."""

RECEIPT_WAIT_S = 30.0
"""So long `--receipt` waits for what makes a receipt one that strangers believe."""

TERMINAL_STATES = frozenset({"final", "cancelled", "expired"})
_WAIT_MS_MAX = 3_600_000
_NONCE_BYTES = 16
_LARGE_BYTES = 4 << 20
_UNSEEN_MS = 700
"""How long a wait is not worth drawing anything."""


class RunArguments(CommonArguments, Protocol):
    """Options of `run`."""

    module: str
    input: str | None
    inputs: str | None
    bundle: int
    assurance: tuple[str, int]
    cycles_max: int
    cycle_price: int
    replicas: int
    colluders_permille: int
    task_class: str | None
    labels: list[str]
    distinct: list[str] | None
    priority: int
    deadline: float
    attempts: int
    marks: int
    strategy: str | None
    gas_max: int
    memory_max: int
    wall_max: float
    output_max: int
    price: int
    nonce: str | None
    output: str | None
    receipt: str | None
    no_wait: bool
    wait_anchor: bool
    timeout: float
    yes: bool


def run(arguments: RunArguments) -> ExitCode:
    """Execute a module on the mesh."""
    if arguments.inputs is not None:
        from ambientd.cli.run_inputs import run_inputs

        return run_inputs(arguments)
    if arguments.bundle:
        raise UsageError("--bundle says how many inputs make a task; give --inputs, too")
    request = request_of(arguments)
    with connect(arguments) as client:
        size_bytes = len(request.module)
        if is_named(arguments.module):
            info = brought(client, arguments.module)
            size_bytes = info.shown.module_size_bytes
            request = with_module(request, info)
        if not is_wanted(arguments, client, request, size_bytes):
            warn("ambientctl: nothing was submitted")
            return ExitCode.FAILED
        submitted = _submit(client, request)
        tell(f"task {submitted.task_id} {'is known already' if submitted.known else 'accepted'}")
        if arguments.no_wait:
            _report_unfinished(arguments, submitted.task_id)
            return ExitCode.DONE
        with _staying(submitted.task_id):
            task = wait_for(client, submitted.task_id, "final", arguments.timeout)
        if task.state not in TERMINAL_STATES:
            warn(
                f"ambientctl: the task is {task.state} after {arguments.timeout:g} s and goes on; "
                f"`ambientctl task why {short(task.task_id)}` says what it waits for, "
                "`ambientctl task cancel` takes it back"
            )
            _report(arguments, task, None)
            return ExitCode.FAILED
        return _finish(arguments, client, task)


def _submit(client: Client, request: requests.SubmitTask) -> replies.Submitted:
    """Hand the task to the node; large ones take long enough to be seen."""
    size_bytes = len(request.module) + len(request.input) + sum(map(len, request.items))
    with ExitStack() as stack:
        if size_bytes > _LARGE_BYTES:
            stack.enter_context(sending(client, "handing it to the node"))
        stack.enter_context(handing())
        try:
            return client.call(operations.TASK_SUBMIT, request)
        except UnreachableError as error:
            hint = f"it may have taken the task; once it runs, {TASKS} show it if so"
            raise UnreachableError(f"{error}; {hint}") from None


@contextmanager
def handing() -> Iterator[None]:
    """Say on Ctrl-C that the task may have been submitted before that."""
    try:
        yield
    except KeyboardInterrupt:
        warn(f"ambientctl: the node may have taken the task by now; see {TASKS}")
        raise


@contextmanager
def _staying(task: str) -> Iterator[None]:
    """Say that the task is taken back neither by Ctrl-C nor by a daemon that ends."""
    try:
        yield
    except UnreachableError as error:
        hint = (
            f"task {short(task)} was accepted and goes on: "
            "`ambientctl task list` shows it once the daemon runs"
        )
        raise UnreachableError(f"{error}; {hint}") from None
    except KeyboardInterrupt:
        warn(f"ambientctl: the task goes on; `ambientctl task cancel {short(task)}` takes it back")
        raise


def request_of(arguments: RunArguments) -> requests.SubmitTask:
    """Give what is asked for, but for the items of a bundle; raise UsageError."""
    if arguments.no_wait and (arguments.output or arguments.receipt or arguments.wait_anchor):
        msg = "--no-wait gives no output and no receipt; leave the other options away"
        raise UsageError(msg)
    level, size = arguments.assurance
    if level in {"none", "audited", "proven"} and arguments.replicas > 1:
        msg = f"--assurance {level} takes one replica; leave --replicas away or choose replicated"
        raise UsageError(msg)
    if size and arguments.replicas:
        raise UsageError("--assurance quorum:K says how many replicas; leave --replicas away")
    replicas = size or arguments.replicas
    if arguments.colluders_permille and (level != "quorum" or replicas):
        msg = "--colluders says how large a quorum must be: for `--assurance quorum` without a size"
        raise UsageError(msg)
    if replicas > 64:
        msg = f"--replicas {replicas}: at most 64 can be asked for"
        raise UsageError(msg)
    _check_labels(arguments.labels)
    _check_streams(arguments)
    module = b"" if is_named(arguments.module) else read_module(arguments.module)
    data = read_file(arguments.input, "input") if arguments.input else b""
    output = arguments.output if arguments.inputs is None else None  # else a folder
    for path in (output, arguments.receipt):
        if path:
            check_writable(path)
    return requests.SubmitTask(
        module=module,
        input=data,
        assurance=level,
        replicas=replicas,
        colluders_permille=arguments.colluders_permille,
        gas_max=arguments.gas_max,
        memory_bytes_max=arguments.memory_max,
        wall_ms_max=ceil(arguments.wall_max * 1000),
        output_bytes_max=arguments.output_max,
        price_msat_per_mgas=arguments.price,
        cycles_max=arguments.cycles_max,
        price_msat_per_mcycle=arguments.cycle_price,
        task_class=arguments.task_class or "",
        constraints=tuple(arguments.labels),
        distinct=None if arguments.distinct is None else tuple(arguments.distinct),
        priority=arguments.priority,
        deadline_ms=_deadline_ms(arguments.deadline),
        attempts_max=arguments.attempts,
        marks_max=arguments.marks,
        strategy=arguments.strategy or "",
        nonce=_nonce(arguments.nonce),
    )


def _check_streams(arguments: RunArguments) -> None:
    if arguments.module == arguments.input == STANDARD_STREAM:
        msg = "module and input cannot both come from standard input; name a file for one"
        raise UsageError(msg)
    if arguments.receipt == STANDARD_STREAM and arguments.output in {None, STANDARD_STREAM}:
        raise UsageError("output and receipt cannot both go to standard output; name files")


def _check_labels(labels: Sequence[str]) -> None:
    if len(labels) > LABELS_MAX:
        msg = f"--label is given {len(labels)} times; at most {LABELS_MAX} can be asked for"
        raise UsageError(msg)
    long = next((each for each in labels if len(each) > LABEL_CHARS_MAX), None)
    if long is not None:
        msg = f"--label {long[:20]}... has {len(long)} characters; at most {LABEL_CHARS_MAX} can be"
        raise UsageError(msg)


def _deadline_ms(seconds: float) -> int:
    return int((time.time() + seconds) * 1000) if seconds else 0  # noqa: TID251


def is_wanted(
    arguments: RunArguments,
    client: Client,
    request: requests.SubmitTask,
    size_bytes: int,
    *,
    tasks: int = 1,
) -> bool:
    """Say what the task may cost and who sees it, and ask whether that is meant.

    Of several `tasks`, this one is the largest.

    Where nobody can be asked, small amounts are spent: a script that runs much says --yes.
    """
    terms: dict[str, Any] = {
        name: getattr(request, name) for name in requests.Terms.__struct_fields__
    }
    terms["module_size_bytes"] = size_bytes
    terms["input_size_bytes"] = len(request.input) + sum(map(len, request.items))
    terms["items"] = len(request.items)
    quote = client.call(operations.TASK_QUOTE, requests.QuoteTask(**terms))
    streams = {arguments.module, arguments.input, arguments.inputs}
    can_ask = is_terminal() and STANDARD_STREAM not in streams
    if not (can_ask or arguments.yes) and tasks * quote.escrow_msat > quote.ask_above_msat:
        held, most = in_sat(tasks * quote.escrow_msat), in_sat(quote.ask_above_msat)
        what = "the task holds" if tasks == 1 else f"the {tasks} tasks hold"
        msg = (
            f"{what} {held}, and nobody can be asked about more than {most} "
            "([limits] spend_unasked_msat_max); if you are sure, add --yes"
        )
        raise UsageError(msg)
    for line in cost_lines(quote):
        tell(line)
    if tasks > 1:
        tell(f"so much for each of {tasks} tasks, {in_sat(tasks * quote.escrow_msat)} in all")
    return not can_ask or confirm("submit it?", is_sure=arguments.yes)


def cost_lines(quote: Quote) -> tuple[str, ...]:
    """Say what a task costs in the worst case and usually, and what everybody learns."""
    each = f"{in_sat(quote.slot_fee_msat)} for each replica that uses all {quote.gas_max:,} gas"
    if quote.replicas_max > quote.replicas:
        each += f", {in_words(quote.replicas_max, 'replica')} unless the worker drawn is trusted"
    reserve = "an audit" if quote.replicas_max == 1 else "referees"
    lines = (
        f"cost: {in_sat(quote.likely_msat)} expected at most, "
        f"{in_words(quote.replicas, 'replica')}: {each}",
        f"held until it ends: {in_sat(quote.escrow_msat)} of {in_sat(quote.balance_msat)}, "
        f"{in_sat(quote.reserve_msat)} of it for {reserve}; what is not used comes back",
        "workers see the module and the input in the clear",
    )
    if quote.suited >= quote.replicas:
        return lines
    here = f"{in_words(quote.suited, 'node')} of the cluster can take it now"
    return (*lines, f"{here}, {quote.replicas} are needed: it waits until more can{_less(quote)}")


def _less(quote: Quote) -> str:
    """Name what could be asked for instead of more replicas than there are nodes for."""
    from ambientd.rules.terms import QUORUM_MIN

    if quote.assurance == "quorum" and quote.suited >= QUORUM_MIN:
        return f"; `--assurance quorum:{quote.suited}` is possible now"
    if quote.assurance in {"quorum", "replicated"} and quote.suited >= 2:
        return f"; `--assurance replicated --replicas {quote.suited}` is possible now"
    return ""


def _nonce(text: str | None) -> bytes:
    if text is None:
        return os.urandom(_NONCE_BYTES)
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if not 1 <= len(nonce) <= 64:
        msg = f"--nonce {text!r} is not hex of 1 to 64 bytes"
        raise UsageError(msg)
    return nonce


def wait_for(
    client: Client, task_id: str, until: str, timeout_s: float, *, is_told: bool = True
) -> replies.Task:
    """Wait until a task is final or anchored, or the time is over; give it as it then stands."""
    deadline_s = time.monotonic() + timeout_s
    is_receipt, is_shown = until != "final", is_told and is_watched()
    seen = ""
    gauge: Gauge | None = None
    with ExitStack() as stack:
        while True:
            left_ms = max(0, int((deadline_s - time.monotonic()) * 1000))
            most_ms = _UNSEEN_MS if is_shown else _WAIT_MS_MAX
            wait_ms = min(left_ms, most_ms) if seen else 0  # look first, then wait for a change
            request = requests.WaitForTask(task=task_id, until=until, seen=seen, timeout_ms=wait_ms)
            task = client.call(operations.TASK_WAIT, request)
            state = task.receipt.state if is_receipt else task.state
            if state != seen and is_told:
                tell(f"receipt {state}" if is_receipt else f"task {state}")
            elif state == seen and is_shown and gauge is None:
                gauge = stack.enter_context(counting(f"waiting until the task is {until}", "steps"))
            if gauge is not None and not is_receipt:
                _, done, total = steps_of(task)
                gauge.told(done, total)
            seen = state
            if _is_reached(task, until) or left_ms == 0:
                return task


def _is_reached(task: replies.Task, until: str) -> bool:
    """Tell whether a task, or its receipt, has come so far, or goes no further."""
    if until == "anchored":
        return task.receipt.state in {"anchored", "none"}
    if until == "batched":
        return task.receipt.state in {"batched", "anchored", "none"}
    return task.state in TERMINAL_STATES


def _finish(arguments: RunArguments, client: Client, task: replies.Task) -> ExitCode:
    code = ExitCode.DONE
    if arguments.wait_anchor and task.state == "final":
        task = wait_for(client, task.task_id, "anchored", arguments.timeout)
        if task.receipt.state != "anchored":
            warn(
                f"ambientctl: the receipt is not anchored after {arguments.timeout:g} s; get it "
                f"later with `ambientctl receipt get {short(task.task_id)}`; "
                "`ambientctl anchor status` says what it waits for"
            )
            code = ExitCode.FAILED
    elif arguments.receipt and task.state == "final":
        task = _with_receipt(arguments, client, task)
    output: bytes | None = None
    if task.outcome == "completed":
        output = client.call(operations.TASK_OUTPUT, requests.GetOutput(task=task.task_id)).data
    if output is not None and arguments.output:
        write_file(arguments.output, output)
    receipt = _save_receipt(arguments, client, task)
    if output is None:
        reason = f": {task.reason}" if task.reason else ""
        warn(f"ambientctl: task {short(task.task_id)} ended {_ending(task)}{reason}{_remedy(task)}")
        code = ExitCode.FAILED
    if task.liars:
        tell(f"liars named: {', '.join(short(liar) for liar in task.liars)}")
    streamed = STANDARD_STREAM in {arguments.output, arguments.receipt}
    with report_beside(STANDARD_STREAM if streamed else None):
        _report(arguments, task, receipt)
    if output is not None and not arguments.output and not arguments.as_json:
        instead = f"the task is done: `ambientctl task output {short(task.task_id)} -o FILE` has it"
        print_bytes(output, instead=instead)
    return code


def _with_receipt(arguments: RunArguments, client: Client, task: replies.Task) -> replies.Task:
    """Wait until a quorum has signed for the receipt; say so when it has not in time."""
    limit_s = min(arguments.timeout, RECEIPT_WAIT_S)
    if task.receipt.state == "settled":
        tell(f"waiting up to {limit_s:g} s until a quorum has signed for the receipt")
        task = wait_for(client, task.task_id, "batched", limit_s)
    if task.receipt.state == "settled":
        warn(
            f"ambientctl: after {limit_s:g} s no quorum has signed for the receipt; what is "
            "written has no anchor to come: get it again later with "
            f"`ambientctl receipt get {short(task.task_id)}`"
        )
    return task


def _remedy(task: replies.Task) -> str:
    """Say what lets a task go further that came to the end of its gas, or its time."""
    if task.state == "expired":
        return f": see `ambientctl task why {short(task.task_id)}`"
    if task.outcome != "out_of_gas":
        return ""
    more = f"--gas-max {2 * task.gas_max}, say"
    return f"; it used all {task.gas_max:,} gas: give it more with {more}"


def _ending(task: replies.Task) -> str:
    if task.state != "final":
        return task.state
    return task.outcome if task.outcome != "none" else f"without an outcome ({task.verdict})"


def _save_receipt(arguments: RunArguments, client: Client, task: replies.Task) -> str | None:
    if not arguments.receipt or task.state != "final":
        return None
    answer = client.call(operations.RECEIPT_GET, requests.GetReceipt(task=task.task_id))
    write_file(arguments.receipt, answer.data)
    tell(f"receipt in {arguments.receipt} ({answer.receipt.state})")
    return arguments.receipt


def _report(arguments: RunArguments, task: replies.Task, receipt: str | None) -> None:
    if arguments.as_json:
        print_json(
            {
                "task_id": task.task_id,
                "outcome": task.outcome if task.state == "final" else task.state,
                "gas": task.gas,
                "output_sha256": task.output_sha256,
                "receipt": receipt,
                "replicas": task.replicas,
                "state": task.state,
                "verdict": task.verdict,
                "liars": task.liars,
                "reason": task.reason,
            }
        )
    elif task.gas is not None:
        tell(f"outcome {task.outcome}, verdict {task.verdict}, gas {task.gas:,}")


def _report_unfinished(arguments: RunArguments, task_id: str) -> None:
    if not arguments.as_json:
        print_line(task_id)
        return
    print_json(
        {
            "task_id": task_id,
            "outcome": None,
            "gas": None,
            "output_sha256": None,
            "receipt": None,
            "replicas": arguments.assurance[1] or arguments.replicas or None,
        }
    )
