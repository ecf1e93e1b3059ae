"""ambientctl blame: who was convicted, and evidence that a stranger checks by itself."""

from contextlib import closing
from dataclasses import replace as with_words
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ambientd.api import operations, requests
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    connect,
    print_json,
    print_line,
    print_table,
    short,
    tell,
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
from ambientd.cli.receipt_commands import epoch_of, fingerprint_of, report_lines
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ambientd.api.blame_replay import Replay
    from ambientd.api.module_pausing import PausingProcess
    from ambientd.model.blame import BlameFile
    from ambientd.rules.blame_check import BlameReport

# What convicts, in the words of people; a kind that is not here is shown as it is.
KINDS = {
    "divergent-output": "another result than a quorum of members found",
    "false-step": "a step that the execution does not take",
    "proof": "a proof that a quorum of members found wrong",
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


class ReplayArguments(CommonArguments, Protocol):
    """Options of what executes a certificate's step again."""

    file: str
    cluster: str | None
    module: str | None
    input: str | None
    engine: str
    sandbox: str


def show(arguments: CommonArguments) -> ExitCode:
    """List who was convicted."""
    with connect(arguments) as client:
        every = pages(client.call, operations.BLAME_LIST, requests.ListBlames())
        answer = whole(every, "blames")
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
    with report_beside(path):
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
            return ExitCode.DONE
        tell(f"{answer.name} signed {KINDS.get(answer.kind, answer.kind)}")
        if path != STANDARD_STREAM:
            print_line(path)
    return ExitCode.DONE


class MakeArguments(ReplayArguments, Protocol):
    """Options of what makes another file of a certificate."""

    output: str | None


class VerifyArguments(ReplayArguments, Protocol):
    """Options of `blame verify`."""

    proof: str | None
    images: str | None
    epoch: str | None
    verifier: str | None


def _started(arguments: ReplayArguments) -> "PausingProcess":
    """Start a process: it takes as long as the checks to import, so both begin at once."""
    from ambientd.api.module_pausing import PausingProcess
    from ambientd.api.module_process import engines_named

    (engine,) = engines_named(arguments.engine)
    return PausingProcess(engine, sandbox_required=arguments.sandbox == "required")


def _read(arguments: ReplayArguments, process: "PausingProcess") -> "tuple[bytes, Replay]":
    from ambientd.api.blame_replay import Replay
    from ambientd.rules.blame_check import FILE_BYTES_MAX

    data = read_file(arguments.file, "blame certificate", FILE_BYTES_MAX)
    module = read_module(arguments.module) if arguments.module else None
    data_in = read_file(arguments.input, "input") if arguments.input else None
    return data, Replay(process, module, data_in)


def slim(arguments: MakeArguments) -> ExitCode:
    """Write a certificate anew, without the pages of memory that its step does not touch."""
    path = arguments.output or f"{Path(arguments.file).stem}-slim.blame"
    found = _made(arguments, path, _slimmed)
    if found is None:
        return ExitCode.NOT_VERIFIED
    data, made = found
    with report_beside(path):
        if arguments.as_json:
            sizes = {"size_bytes": len(made), "size_bytes_before": len(data)}
            print_json({"blame": path, **sizes})
        elif path != STANDARD_STREAM:
            print_line(f"{path}: {len(made):,} bytes instead of {len(data):,}")
    return ExitCode.DONE


def step(arguments: MakeArguments) -> ExitCode:
    """Write what is to be given to the image of steps, with the pages that the step touches."""
    path = arguments.output or f"{Path(arguments.file).stem}.words"
    found = _made(arguments, path, _words)
    if found is None:
        return ExitCode.NOT_VERIFIED
    with report_beside(path):
        if arguments.as_json:
            print_json({"words": path, "size_bytes": len(found[1])})
        elif path != STANDARD_STREAM:
            print_line(f"{path}: {len(found[1]):,} bytes; prove it with")
            print_line(f"ambient-prove prove step.elf --step {path} --proof FILE")
    return ExitCode.DONE


# Imported while the process starts.
def _slimmed(file: "BlameFile", replay: "Replay") -> bytes:
    from ambientd.api.blame_slim import slimmed

    return slimmed(file, replay)


def _words(file: "BlameFile", replay: "Replay") -> bytes:
    from ambientd.api.blame_steps import words_of

    return words_of(file, replay)


def _made(
    arguments: MakeArguments, path: str, make: "Callable[[BlameFile, Replay], bytes]"
) -> tuple[bytes, bytes] | None:
    """Give a certificate and what was made of it; tell why not if it does not hold."""
    check_writable(path)
    pinned = fingerprint_of(arguments.cluster)
    with closing(_started(arguments)) as process:
        from ambientd.api.blame_replay import check_words

        data, replay = _read(arguments, process)
        report = check_words(data, pinned)
        if report.file is None or not report.valid:
            for line in report_lines(Path(arguments.file).name, report):
                print_line(line)
            return None
        try:
            made = make(report.file, replay)
        except UsageError as error:
            msg = f"{arguments.file}: {error}"
            raise UsageError(msg) from error
    write_file(path, made)
    return data, made


def _checked_by_proof(arguments: VerifyArguments, path: str, pinned: bytes | None) -> "BlameReport":
    from ambientd.api.blame_steps import check_blame_by_proof
    from ambientd.api.proof_program import find_verifier
    from ambientd.rules.blame_check import FILE_BYTES_MAX
    from ambientd.rules.proofs import PROOF_BYTES_MAX

    if arguments.module or arguments.input or arguments.images:
        msg = "--proof takes the place of --module, --input and --images: give one or the other"
        raise UsageError(msg)
    data = read_file(arguments.file, "blame certificate", FILE_BYTES_MAX)
    proof = read_file(path, "proof", PROOF_BYTES_MAX)
    return check_blame_by_proof(data, pinned, proof, find_verifier(arguments.verifier))


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a certificate offline, and do again what it is about, or check a proof of that."""
    pinned, epoch = fingerprint_of(arguments.cluster), epoch_of(arguments.epoch)
    if epoch is not None and arguments.images is None:
        msg = "--epoch is one that the words of --images lead through: name their file as well"
        raise UsageError(msg)
    if arguments.proof is not None:
        return _told(arguments, _checked_by_proof(arguments, arguments.proof, pinned))
    with closing(_started(arguments)) as process:
        from ambientd.api.blame_replay import check_blame

        data, replay = _read(arguments, process)
        if arguments.images is not None:
            from ambientd.cli.image_commands import words_in

            replay = with_words(replay, images=words_in(arguments.images), epoch=epoch)
        return _told(arguments, check_blame(data, pinned, replay))


def _told(arguments: VerifyArguments, report: "BlameReport") -> ExitCode:
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
