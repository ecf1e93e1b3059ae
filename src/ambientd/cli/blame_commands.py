"""ambientctl blame: who was convicted, and evidence that a stranger checks by itself."""

from pathlib import Path
from typing import Protocol

from ambientd.api import operations, requests
from ambientd.cli.console import (
    CommonArguments,
    check_writable,
    connect,
    print_json,
    print_line,
    print_table,
    read_file,
    read_module,
    short,
    tell,
    write_file,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.receipt_commands import fingerprint_of, report_lines

# What convicts, in the words of people; a kind that is not here is shown as it is.
KINDS = {
    "divergent-output": "another result than a quorum of members found",
    "false-step": "a step that the execution does not take",
    "receipt": "two receipts for one assignment",
    "verdict": "two findings on one task",
    "trace": "two traces of one round",
    "segment": "two findings on one stretch",
    "telemetry": "two telemetry batches of one number",
    "log": "two votes or blocks in one place of the log",
}


class ExportArguments(CommonArguments, Protocol):
    """Options of `blame export`."""

    about: str
    output: str | None
    with_module: bool


class VerifyArguments(CommonArguments, Protocol):
    """Options of `blame verify`."""

    file: str
    cluster: str | None
    module: str | None
    input: str | None
    engine: str
    sandbox: str


def show(arguments: CommonArguments) -> ExitCode:
    """List who was convicted."""
    with connect(arguments) as client:
        answer = client.call(operations.BLAME_LIST, requests.ListBlames())
    if arguments.as_json:
        print_json(answer)
    elif not answer.blames:
        print_line("nobody was convicted")
    else:
        rows = [
            (each.name, KINDS.get(each.kind, each.kind), short(each.task) if each.task else "-")
            for each in answer.blames
        ]
        print_table(("NODE", "SIGNED", "TASK"), rows)
    return ExitCode.DONE


def export(arguments: ExportArguments) -> ExitCode:
    """Write the certificate against a node."""
    if arguments.output:
        check_writable(arguments.output)
    request = requests.ExportBlame(about=arguments.about, with_module=arguments.with_module)
    with connect(arguments) as client:
        answer = client.call(operations.BLAME_EXPORT, request)
    path = arguments.output or f"{short(answer.node)}.blame"
    write_file(path, answer.data)
    if arguments.as_json:
        print_json(
            {
                "node": answer.node,
                "kind": answer.kind,
                "task": answer.task,
                "blame": path,
                "size_bytes": len(answer.data),
            }
        )
    else:
        tell(f"{answer.name} signed {KINDS.get(answer.kind, answer.kind)}")
        print_line(path)
    return ExitCode.DONE


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a certificate offline, and do again what it is about."""
    from ambientd.api.blame_replay import Replay, check_blame
    from ambientd.api.module_process import engines_named
    from ambientd.rules.blame_check import FILE_BYTES_MAX

    pinned = fingerprint_of(arguments.cluster)
    data = read_file(arguments.file, "blame certificate", FILE_BYTES_MAX)
    (engine,) = engines_named(arguments.engine)
    replay = Replay(
        engine=engine,
        module=read_module(arguments.module) if arguments.module else None,
        input=read_file(arguments.input, "input") if arguments.input else None,
        sandbox_required=arguments.sandbox == "required",
    )
    report = check_blame(data, pinned, replay)
    culprit = None if report.file is None else report.file.culprit.hex()
    if arguments.as_json:
        print_json(
            {
                "valid": report.valid,
                "node": culprit,
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail}
                    for check in report.checks
                ],
                "trust": list(report.trust),
            }
        )
    else:
        name = Path(arguments.file).name
        for line in report_lines(name, report):
            print_line(line)
        if report.valid:
            print_line(f"node {culprit} lied")
    return ExitCode.DONE if report.valid else ExitCode.NOT_VERIFIED
