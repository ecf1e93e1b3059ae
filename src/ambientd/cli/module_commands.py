"""ambientctl module check, prepare, run, bench: modules without a daemon (module_moves.py: trace).

The file may be anyone's: it is prepared, compiled and executed in locked-down processes only.
"""

import statistics
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from ambientd.cli.console import (
    CommonArguments,
    in_words,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import (
    STANDARD_STREAM,
    check_writable,
    read_file,
    read_module,
    report_beside,
    write_file,
)
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.api.module_bench import Figures
    from ambientd.api.module_check import Extent, ModuleReport
    from ambientd.api.module_runs import Answer, ModuleCall, Runs
    from ambientd.model.execution import ExecutionLimits
    from ambientd.wasm.state import StateHeader

_CHECKED_WITH = "wasmtime"
_RUNS_MAX = 10_000
_SEED_CHARS = 64
_OPTIONS = {
    "memory_bytes_max": "--memory-max",
    "wall_ms_max": "--wall-max",
    "gas_max": "--gas-max",
}


class FileArguments(CommonArguments, Protocol):
    """Options of every command about a module."""

    file: str
    sandbox: str


class PrepareArguments(FileArguments, Protocol):
    """Options of `module prepare`."""

    output: str
    pausable: bool


class CallArguments(FileArguments, Protocol):
    """What `module run` and `module bench` have in common."""

    input: str | None
    engine: str
    gas_max: int | None
    memory_max: int | None
    wall_max: float | None
    seed: str | None


class RunArguments(CallArguments, Protocol):
    """Options of `module run`."""

    output: str | None
    log: bool
    runs: int
    pause_at: int | None
    state: str | None
    resume: str | None


class BenchArguments(CallArguments, Protocol):
    """Options of `module bench`."""

    rounds: int | None


def check(arguments: FileArguments) -> ExitCode:
    """Tell whether nodes take a module; if not, why not and how to fix it."""
    report, _ = _report_on(arguments)
    if arguments.as_json:
        print_json(report)
    elif report.accepted:
        print_line(f"{arguments.file}: accepted")
        print_fields(_accepted(report))
    else:
        _print_refusal(arguments.file, report)
    return ExitCode.DONE if report.accepted else ExitCode.FAILED


def prepare(arguments: PrepareArguments) -> ExitCode:
    """Write the prepared module, which is what engines execute."""
    check_writable(arguments.output)
    report, prepared = _report_on(arguments, pausable=arguments.pausable)
    if prepared is not None:
        write_file(arguments.output, prepared)
    with report_beside(arguments.output):
        if prepared is None:
            if arguments.as_json:
                print_json(report)
            else:
                _print_refusal(arguments.file, report)
            return ExitCode.FAILED
        if arguments.as_json:
            print_json({**msgspec.to_builtins(report), "output": arguments.output})
        else:
            print_line(f"{arguments.output}: {report.prepared_sha256}")
    return ExitCode.DONE


def run(arguments: RunArguments) -> ExitCode:
    """Execute a module here, on one engine or all, and compare the answers; or a part of it."""
    if (arguments.pause_at, arguments.state, arguments.resume) != (None, None, None):
        from ambientd.cli.module_moves import run_part

        return run_part(arguments)
    from ambientd.api.module_process import engines_named
    from ambientd.api.module_runs import verify_determinism

    if not 1 <= arguments.runs <= _RUNS_MAX:
        msg = f"--runs {arguments.runs}: say a number from 1 to {_RUNS_MAX}"
        raise UsageError(msg)
    if arguments.output:
        check_writable(arguments.output)
    engines = engines_named(arguments.engine)
    return finish_run(arguments, verify_determinism(call_of(arguments), engines, arguments.runs))


def finish_run(arguments: RunArguments, done: "Runs") -> ExitCode:
    """Write the output, print the answers and say how the command ends."""
    output = done.output if done.agreed else None
    if arguments.output and output is not None:
        write_file(arguments.output, output)
    with report_beside(arguments.output):
        if arguments.as_json:
            print_json(_run_as_json(arguments, done, written=output is not None))
        else:
            _print_run(arguments, done)
    if arguments.log and not arguments.as_json:
        for line in done.log.decode("utf-8", "replace").splitlines():
            warn(line)
    return ending(done.answers, done.agreed)


def bench(arguments: BenchArguments) -> ExitCode:
    """Measure a module on one engine or all."""
    from ambientd.api.module_bench import bench as measure
    from ambientd.api.module_process import engines_named

    if arguments.rounds is not None and arguments.rounds < 1:
        msg = f"--rounds {arguments.rounds}: say a number from 1 on"
        raise UsageError(msg)
    engines = engines_named(arguments.engine)
    call = call_of(arguments)
    found: list[Figures] = []
    for engine in engines:
        if not arguments.as_json:
            tell(f"measuring {engine}")
        found.append(measure(call, engine, arguments.rounds))
    answers = [figures.answer for figures in found]
    same = len({answer.agreed_part() for answer in answers}) == 1
    agreed = same and all(figures.agreed for figures in found)
    if arguments.as_json:
        engines_as_json = [
            {**msgspec.to_builtins(figures.answer), **msgspec.to_builtins(figures)}
            for figures in found
        ]
        for entry in engines_as_json:
            del entry["answer"], entry["wall_ms"]
        print_json({"agreed": agreed, "engines": engines_as_json})
    else:
        _print_figures(found)
        _print_reasons(answers)
        if not agreed:
            print_line("NOT AGREED: the engines gave different outcomes, gas or outputs")
    return ending(answers, agreed)


def _sandbox_required(arguments: FileArguments) -> bool:
    return arguments.sandbox == "required"


def _report_on(
    arguments: FileArguments, *, pausable: bool = False
) -> "tuple[ModuleReport, bytes | None]":
    from ambientd.api.module_check import check_module

    return check_module(
        read_module(arguments.file),
        _CHECKED_WITH,
        sandbox_required=_sandbox_required(arguments),
        pausable=pausable,
    )


def _accepted(report: "ModuleReport") -> list[tuple[str, str]]:
    prepared_bytes = report.prepared_size_bytes or 0
    fields = [
        ("interface", report.interface or ""),
        ("imports", ", ".join(report.imports) or "none"),
        ("size", f"{report.size_bytes:,} bytes, prepared {prepared_bytes:,} bytes"),
        ("memory", _extent(report.memory_bytes, "bytes")),
        *(("table", _extent(table, "elements")) for table in report.table_elements),
        ("prepared", f"{report.prepared_sha256} (rewriter version {report.rewriter_version})"),
        ("validated", f"by {report.engine} {report.engine_version}"),
    ]
    if report.imports_without_effect:
        idle = ", ".join(report.imports_without_effect)
        fields.append(
            ("note", f"nodes have no files and no sockets: {idle} can only give an error")
        )
    return fields


def _extent(extent: "Extent | None", unit: str) -> str:
    if extent is None:
        return "none"
    return f"starts with {extent.initial:,} {unit}, may grow to {extent.maximum:,}"


def _print_refusal(file: str, report: "ModuleReport") -> None:
    if report.accepted is None:
        print_line(f"{file}: neither accepted nor refused: {report.reason}")
        return
    print_line(f"{file}: refused: {report.reason}")
    if report.detail:
        print_line(f"{report.engine} says: {' '.join(report.detail.split())}")
    print_fixes(report.fixes)


def print_fixes(fixes: Iterable[str]) -> None:
    """Say what helps against a refusal."""
    lines = list(fixes)
    if lines:
        print_line("how to fix it:")
    for line in lines:
        print_line(f"  {line}")


def call_of(arguments: CallArguments, resumed: "StateHeader | None" = None) -> "ModuleCall":
    """Read module, input and limits; what is not said is as in the state that is resumed."""
    from ambientd.api.module_runs import ModuleCall

    if arguments.file == arguments.input == STANDARD_STREAM:
        msg = "module and input cannot both come from standard input; name a file for one"
        raise UsageError(msg)
    seed = arguments.seed or (resumed.seed.hex() if resumed else "0" * _SEED_CHARS)
    if len(seed) != _SEED_CHARS or seed.lower().strip("0123456789abcdef"):
        msg = f"--seed {seed!r} is not a seed; write {_SEED_CHARS} hex digits"
        raise UsageError(msg)
    return ModuleCall(
        module=read_module(arguments.file),
        data=read_file(arguments.input, "input") if arguments.input else b"",
        limits=_limits(arguments, resumed),
        seed=bytes.fromhex(seed),
        sandbox_required=_sandbox_required(arguments),
    )


def _limits(arguments: CallArguments, resumed: "StateHeader | None") -> "ExecutionLimits":
    from ambientd.model.execution import ExecutionLimits

    usual = resumed.limits if resumed else ExecutionLimits()
    wall_s = arguments.wall_max
    gas, memory = arguments.gas_max, arguments.memory_max
    try:
        return ExecutionLimits(
            gas_max=usual.gas_max if gas is None else gas,
            memory_bytes_max=usual.memory_bytes_max if memory is None else memory,
            wall_ms_max=usual.wall_ms_max if wall_s is None else int(wall_s * 1000),
            output_bytes_max=usual.output_bytes_max,
            log_bytes_max=usual.log_bytes_max,
        )
    except ValueError as error:
        field, _, problem = str(error).partition(" ")
        unit = ", in milliseconds" if field == "wall_ms_max" else ""
        msg = f"{_OPTIONS[field]}: the value {problem}{unit}"
        raise UsageError(msg) from error


def _run_as_json(arguments: RunArguments, done: "Runs", *, written: bool) -> dict[str, object]:
    """Give the agreed outcome first; where there is none, its fields are null."""
    first = msgspec.to_builtins(done.answers[0])
    alike = done.agreed is not False
    report = {
        "outcome": first["outcome"] if alike else None,
        "gas": first["gas"] if alike else None,
        "output_sha256": first["output_sha256"] if alike else None,
        "engine": arguments.engine,
        "reason": first["reason"] if alike else None,
        "agreed": done.agreed,
        "output": arguments.output if written else None,
        "fixes": done.fixes,
        "executions": done.answers,
    }
    if arguments.log:
        report["log"] = done.log.decode("utf-8", "replace")
    return report


def _print_run(arguments: RunArguments, done: "Runs") -> None:
    first = done.answers[0]
    if len(done.answers) == 1:
        print_fields(_fields(first))
        print_fixes(done.fixes)
    else:
        _print_answers(done.answers)
        _print_reasons(done.answers)
        print_fixes(done.fixes)
        print_line(_agreement(done))
    if arguments.engine == "all" and len({answer.engine for answer in done.answers}) == 1:
        tell(f"only {first.engine} is installed, so no engines were compared; see `make engines`")


def _fields(answer: "Answer") -> list[tuple[str, str]]:
    digest = answer.output_sha256
    gas, size_bytes = answer.gas, answer.output_size_bytes
    return [
        ("outcome", answer.outcome + (f": {answer.reason}" if answer.reason else "")),
        ("gas", "-" if gas is None else f"{gas:,}"),
        ("output", "-" if digest is None else f"{size_bytes:,} bytes, sha256 {digest}"),
        ("engine", f"{answer.engine} {answer.engine_version}"),
        ("wall time", f"{answer.wall_ms:,.2f} ms"),
        (
            "prepared",
            f"{answer.prepared_sha256 or '-'} (rewriter version {answer.rewriter_version})",
        ),
    ]


def _print_answers(answers: "tuple[Answer, ...]") -> None:
    """Print one row for each engine and each thing it said."""
    groups: dict[tuple[object, ...], list[Answer]] = {}
    for answer in answers:
        groups.setdefault((answer.engine, *answer.agreed_part()), []).append(answer)
    rows = []
    for alike in groups.values():
        answer = alike[0]
        rows.append(
            (
                f"{answer.engine} {answer.engine_version}",
                str(len(alike)),
                answer.outcome,
                "-" if answer.gas is None else f"{answer.gas:,}",
                short(answer.output_sha256),
                short(answer.prepared_sha256),
                f"{statistics.median(item.wall_ms for item in alike):,.2f}",
            )
        )
    print_table(("ENGINE", "RUNS", "OUTCOME", "GAS", "OUTPUT", "PREPARED", "WALL MS"), rows)


def _print_reasons(answers: "Iterable[Answer]") -> None:
    for engine, reason in dict.fromkeys((item.engine, item.reason) for item in answers):
        if reason:
            print_line(f"{engine}: {reason}")


def _agreement(done: "Runs") -> str:
    engines = len({answer.engine for answer in done.answers})
    count = f"{in_words(len(done.answers), 'execution')} on {in_words(engines, 'engine')}"
    match done.agreed:
        case True:
            return f"agreed: {count} gave the same outcome, gas and output"
        case None:
            return f"open: of {count} some were aborted, which is no outcome"
        case False:
            return f"NOT AGREED: {count} gave different outcomes, gas, outputs or prepared modules"


def _print_figures(found: "list[Figures]") -> None:
    columns = ("ENGINE", "OUTCOME", "PREPARE MS", "COMPILE MS", "FIRST MS", "MEDIAN MS", "P99 MS",
               "ROUNDS", "GAS", "GAS/S", "PEAK MIB")  # fmt: skip
    rows = []
    for figures in found:
        answer = figures.answer
        times = (figures.prepare_ms, figures.compile_ms, figures.first_call_ms,
                 figures.call_ms_median, figures.call_ms_p99)  # fmt: skip
        peak = figures.memory_peak_bytes
        rows.append(
            (
                f"{answer.engine} {answer.engine_version}",
                answer.outcome,
                *("-" if time_ms is None else f"{time_ms:,.2f}" for time_ms in times),
                str(figures.rounds),
                "-" if answer.gas is None else f"{answer.gas:,}",
                "-" if figures.gas_per_s is None else f"{figures.gas_per_s:,}",
                "-" if peak is None else f"{peak / (1 << 20):,.1f}",
            )
        )
    print_table(columns, rows)


def ending(answers: "Iterable[Answer]", agreed: bool | None) -> ExitCode:
    """Disagreement is what matters most; then whether the module did what it is for."""
    if agreed is False:
        return ExitCode.NOT_VERIFIED
    completed = all(answer.outcome == "completed" for answer in answers)
    return ExitCode.DONE if completed else ExitCode.FAILED
