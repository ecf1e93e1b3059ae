"""ambientctl module run --pause-at, run --resume, trace: executions that stop and go on elsewhere.

Every process that executes is locked down, and a state is no more trusted than the module.
"""

from typing import TYPE_CHECKING, Protocol

import msgspec

from ambientd.cli.console import in_words, print_fields, print_json, print_line, print_table, tell
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM, check_writable, read_file, write_file
from ambientd.cli.module_commands import (
    CallArguments,
    RunArguments,
    call_of,
    ending,
    finish_run,
    print_fixes,
)
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.api.module_moves import Pause, Traces
    from ambientd.ports.paused_state import PausedState

_CHECKPOINTS_MAX = 10_000


class TraceArguments(CallArguments, Protocol):
    """Options of `module trace`."""

    checkpoints: int


def run_part(arguments: RunArguments) -> ExitCode:
    """Execute to a gas index or from a state."""
    from ambientd.api.module_moves import Pause, execute_part
    from ambientd.api.module_pausing import encode_file
    from ambientd.api.module_process import engines_named

    _check_options(arguments)
    (engine,) = engines_named(arguments.engine)
    resumed = _resumed(arguments)
    call = call_of(arguments, None if resumed is None else resumed.header)
    done = execute_part(call, engine, arguments.pause_at, resumed, arguments.resume or "")
    if not isinstance(done, Pause):
        ran = done.answers[0].outcome not in ("refused", "aborted")
        if ran and arguments.pause_at is not None:
            tell(f"it ended before gas index {arguments.pause_at:,}; no state was written")
        return finish_run(arguments, done)
    assert arguments.state is not None
    file = encode_file(done.state)
    write_file(arguments.state, file)
    _print_pause(arguments, done, len(file))
    return ExitCode.DONE


def _check_options(arguments: RunArguments) -> None:
    problem = ""
    if (arguments.pause_at is None) != (arguments.state is None):
        problem = "--pause-at and --state belong together: where to pause, and where to write it"
    elif arguments.engine == "all" or arguments.runs != 1:
        problem = "one execution on one engine can be paused; `module trace` compares all engines"
    elif STANDARD_STREAM in (arguments.state, arguments.resume):
        problem = "a state is kept in a file; name one instead of -"
    if problem:
        raise UsageError(problem)
    if arguments.state is not None:
        check_writable(arguments.state)
    if arguments.output is not None:
        check_writable(arguments.output)


def _resumed(arguments: RunArguments) -> "PausedState | None":
    from ambientd.api.module_pausing import FILE_BYTES_MAX, decode_file

    if arguments.resume is None:
        return None
    return decode_file(read_file(arguments.resume, "state", FILE_BYTES_MAX), arguments.resume)


def _print_pause(arguments: RunArguments, pause: "Pause", size_bytes: int) -> None:
    root = pause.state.root.hex()
    if arguments.as_json:
        print_json(
            {
                "outcome": "paused",
                "gas": pause.gas,
                "root": root,
                "state": arguments.state,
                "state_size_bytes": size_bytes,
                "engine": pause.engine,
                "engine_version": pause.engine_version,
                "prepared_sha256": pause.pausable_sha256,
                "wall_ms": pause.wall_ms,
            }
        )
        return
    print_fields(
        [
            ("outcome", "paused"),
            ("gas", f"{pause.gas:,}"),
            ("root", root),
            ("state", f"{arguments.state}, {size_bytes:,} bytes"),
            ("engine", f"{pause.engine} {pause.engine_version}"),
            ("wall time", f"{pause.wall_ms:,.2f} ms"),
        ]
    )


def trace(arguments: TraceArguments) -> ExitCode:
    """Show the roots of an execution's states, and whether engines agree on them."""
    from ambientd.api.module_moves import trace as measure
    from ambientd.api.module_process import engines_named

    if not 1 <= arguments.checkpoints <= _CHECKPOINTS_MAX:
        msg = f"--checkpoints {arguments.checkpoints}: say a number from 1 to {_CHECKPOINTS_MAX:,}"
        raise UsageError(msg)
    engines = engines_named(arguments.engine)
    done = measure(call_of(arguments), engines, arguments.checkpoints)
    if arguments.as_json:
        print_json(_as_json(done))
    else:
        _print_traces(done)
    return ending([item.answer for item in done.traces], done.agreed)


def _as_json(done: "Traces") -> dict[str, object]:
    """Give what was agreed first; where there is nothing, the fields are null."""
    first = done.traces[0]
    alike = done.agreed is not False
    return {
        "agreed": done.agreed,
        "outcome": first.answer.outcome if alike else None,
        "reason": first.answer.reason if alike else None,
        "gas": first.answer.gas if alike else None,
        "checkpoints": first.checkpoints if alike else None,
        "differences": done.differences,
        "engines": [
            {**msgspec.to_builtins(item.answer), "checkpoints": item.checkpoints}
            for item in done.traces
        ],
    }


def _print_traces(done: "Traces") -> None:
    from ambientd.api.module_advice import advice_on

    best = next((item for item in done.traces if item.checkpoints), done.traces[0])
    if best.checkpoints:
        rows = [
            (str(number), f"{point.gas:,}", point.root)
            for number, point in enumerate(best.checkpoints, start=1)
        ]
        print_table(("CHECKPOINT", "GAS", "ROOT"), rows)
    for item in done.traces:
        single = item.answer
        gas = "" if single.gas is None else f", gas {single.gas:,}"
        reason = f": {single.reason}" if single.reason else ""
        count = in_words(len(item.checkpoints), "checkpoint")
        print_line(
            f"{single.engine} {single.engine_version}: {single.outcome}{reason}{gas}, {count}"
        )
    if best.answer.outcome == "refused":
        print_fixes(advice_on(best.answer.reason))
    for difference in done.differences:
        print_line(f"NOT AGREED: {difference}")
    if done.agreed is None:
        print_line("open: an execution was aborted, which is no outcome")
    elif done.agreed and len(done.traces) > 1:
        engines = in_words(len(done.traces), "engine")
        print_line(f"agreed: {engines} gave the same outcome, gas, output and roots")
