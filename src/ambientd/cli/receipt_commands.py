"""ambientctl receipt: getting one, checking it by oneself, and handing it to other programs."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ambientd.api import operations, requests
from ambientd.cli.console import CommonArguments, connect, print_json, print_line, short, tell, warn
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import STANDARD_STREAM, check_writable, read_file, report_beside, write_file
from ambientd.cli.task_commands import receipt_sentence, task_name
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.api.proof_checks import OwnImage
    from ambientd.rules.receipt_check import ReceiptReport

OTS_SUFFIX = ".ots"
_DIGEST_CHARS = 64


class GetArguments(CommonArguments, Protocol):
    """Options of `receipt get`."""

    task: str
    output: str | None
    item: int | None


class CheckedArguments(CommonArguments, Protocol):
    """A receipt that is checked."""

    file: str
    cluster: str | None


class VerifyArguments(CheckedArguments, Protocol):
    """Options of `receipt verify`."""

    epoch: str | None
    output: str | None
    headers: str | None
    proof: str | None
    module: str | None
    image: str | None
    images: str | None
    verifier: str | None


class ExportArguments(CommonArguments, Protocol):
    """Options of `receipt export`."""

    file: str
    ots: str
    batch: bool


def get(arguments: GetArguments) -> ExitCode:
    """Fetch a task's receipt file."""
    name = task_name(arguments.task)
    if arguments.output:
        check_writable(arguments.output)
    with connect(arguments) as client:
        answer = client.call(
            operations.RECEIPT_GET, requests.GetReceipt(task=name, item=arguments.item)
        )
    place = "" if arguments.item is None else f"-{arguments.item}"
    path = arguments.output or f"{short(answer.task_id)}{place}.receipt"
    write_file(path, answer.data)
    with report_beside(path):
        if arguments.as_json:
            print_json(
                {
                    "task_id": answer.task_id,
                    "receipt": path,
                    "size_bytes": len(answer.data),
                    "state": answer.receipt.state,
                    "standing": answer.standing,
                    "height": answer.receipt.height,
                    "confirmations": answer.receipt.confirmations,
                }
            )
            return ExitCode.DONE
        tell(f"receipt: {receipt_sentence(answer.receipt)}")
        if answer.standing:
            warn(f"answer: {answer.standing}")
        if path != STANDARD_STREAM:
            print_line(path)
    return ExitCode.DONE


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a receipt file offline."""
    from ambientd.api.offline import (
        HEADERS_BYTES_MAX,
        RECEIPT_BYTES_MAX,
        check_receipt,
        read_headers,
    )

    pinned = fingerprint_of(arguments.cluster)
    epoch = epoch_of(arguments.epoch)
    data = read_file(arguments.file, "receipt", RECEIPT_BYTES_MAX)
    output = read_file(arguments.output, "output") if arguments.output else None
    headers = None
    if arguments.headers:
        check_headers_there(arguments.headers)
        found = read_file(arguments.headers, "Bitcoin headers", HEADERS_BYTES_MAX)
        headers = read_headers(found, arguments.headers)
    report = check_receipt(data, pinned, output, headers, epoch)
    if arguments.proof:
        report = _with_proof(report, arguments)
    elif any((arguments.module, arguments.verifier, arguments.image, arguments.images)):
        msg = "--module, --image, --images and --verifier are for a proof; name it with --proof"
        raise UsageError(msg)
    return told(arguments, report)


def told(arguments: CheckedArguments, report: "ReceiptReport") -> ExitCode:
    """Print what the check of a receipt found."""
    if arguments.as_json:
        print_json(
            {
                "valid": report.valid,
                "checks": [
                    {"name": check.name, "ok": check.ok, "detail": check.detail}
                    for check in report.checks
                ],
                "trust": list(report.trust) if report.valid else [],
            }
        )
    else:
        for line in report_lines(Path(arguments.file).name, report):
            print_line(line)
    return ExitCode.DONE if report.valid else ExitCode.NOT_VERIFIED


def _with_proof(report: "ReceiptReport", arguments: VerifyArguments) -> "ReceiptReport":
    from ambientd.api.image_files import NotVouchedError
    from ambientd.api.proof_checks import with_proof_checked
    from ambientd.api.proof_program import find_verifier
    from ambientd.rules.file_checks import Check

    assert arguments.proof is not None, "asked for only with one"
    verifier = find_verifier(arguments.verifier)
    proof = read_file(arguments.proof, "proof")
    module = read_file(arguments.module, "module") if arguments.module else None
    try:
        own = _own_image(report, arguments, verifier)
    except NotVouchedError as fault:
        check = Check("image", False, f"{arguments.images}: {fault}")
        return replace(report, checks=(*report.checks, check))
    return with_proof_checked(report, proof, module, verifier, own)


def _own_image(
    report: "ReceiptReport", arguments: VerifyArguments, verifier: str
) -> "OwnImage | None":
    """Give what the task's module becomes: by members of the receipt's cluster, or by the user."""
    from ambientd.api.image_files import read_images
    from ambientd.api.proof_checks import OwnImage
    from ambientd.cli.image_commands import image_of, words_in
    from ambientd.codec.statements import fingerprint
    from ambientd.model.base import Digest

    if arguments.image is not None:
        if arguments.images is not None:
            raise UsageError("--image and --images both name the image: leave one away")
        return OwnImage(Digest(bytes.fromhex(image_of(arguments.image, verifier))))
    if arguments.images is None or report.file is None:
        return None
    # Anyone can invent a cluster that says anything: these words must be of the receipt's own.
    file, epoch = report.file, epoch_of(arguments.epoch)
    words, cluster = words_in(arguments.images), fingerprint(file.genesis)
    vouched = read_images(words, file.spec.module, cluster, epoch)
    return OwnImage(vouched.image, vouched.sentence)


def check_headers_there(path: str) -> None:
    """Refuse a file of headers that is not there, and say how to get one."""
    if path != STANDARD_STREAM and not Path(path).exists():
        msg = (
            f"--headers {path}: there is no such file; `ambientctl headers export FILE` writes the "
            "headers that a node keeps, "
            "`ambientctl headers sync FILE --network NETWORK --esplora URL`"
            " fetches them without one"
        )
        raise UsageError(msg)


def export(arguments: ExportArguments) -> ExitCode:
    """Write a receipt's timestamp as the OpenTimestamps client reads it, and what it stamps."""
    from ambientd.api.offline import RECEIPT_BYTES_MAX, stamp

    target = Path(arguments.ots)
    if target.suffix != OTS_SUFFIX:
        msg = f"--ots {arguments.ots}: its name must end in {OTS_SUFFIX}, as the client wants it"
        raise UsageError(msg)
    data = read_file(arguments.file, "receipt", RECEIPT_BYTES_MAX)
    stamped = stamp(data, batch=arguments.batch)
    document = str(target.with_suffix(""))
    _check_unlike(document, stamped.document)
    was_there = Path(document).exists()
    write_file(document, stamped.document)
    try:
        write_file(arguments.ots, stamped.timestamp)
    except UsageError:
        if not was_there:
            Path(document).unlink()
        raise
    if arguments.as_json:
        print_json(
            {"document": document, "ots": arguments.ots, "size_bytes": len(stamped.timestamp)}
        )
    else:
        tell(
            f"{document}: what is stamped; check both with: ots verify {shlex.quote(arguments.ots)}"
        )
        print_line(arguments.ots)
    return ExitCode.DONE


def _check_unlike(document: str, data: bytes) -> None:
    """Refuse to put what is stamped in the place of another file, such as the receipt itself."""
    if Path(document).is_file() and read_file(document, "file that is there") != data:
        msg = f"{document}: is there already and is not what is stamped; give --ots another name"
        raise UsageError(msg)


class _Check(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def detail(self) -> str: ...


class Report(Protocol):
    """What a check of a receipt found."""

    @property
    def valid(self) -> bool:
        """Whether every check held."""
        ...

    @property
    def checks(self) -> tuple[_Check, ...]:
        """Each check."""
        ...

    @property
    def trust(self) -> tuple[str, ...]:
        """What remains to be trusted."""
        ...


def report_lines(name: str, report: Report) -> list[str]:
    """Say each check, what remains to be trusted where all held, and the conclusion."""
    width = max((len(check.name) for check in report.checks), default=0)
    lines = [
        f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {check.detail}".rstrip()
        for check in report.checks
    ]
    if report.trust and report.valid:
        lines += ["", "What you still have to trust:"]
        lines += [f"- {sentence}" for sentence in report.trust]
    return [*lines, "", f"{name}: {'valid' if report.valid else 'NOT VALID'}"]


def fingerprint_of(text: str | None) -> bytes | None:
    """Read a cluster's fingerprint; None when none was given."""
    if text is None:
        return None
    digest = _digest(text)
    if digest is None:
        msg = f"--cluster {text!r} is not a fingerprint; `ambientctl status` prints its 64 digits"
        raise UsageError(msg)
    return digest


def epoch_of(text: str | None) -> bytes | None:
    """Read an epoch's hash, with its number before it or without; None when none was given."""
    if text is None:
        return None
    digest = _digest(text.rpartition(":")[2])
    if digest is None:
        msg = f"--epoch {text!r} is no epoch's hash; `ambientctl member list` prints its 64 digits"
        raise UsageError(msg)
    return digest


def _digest(text: str) -> bytes | None:
    if len(text) != _DIGEST_CHARS or text.lower().strip("0123456789abcdef"):
        return None
    return bytes.fromhex(text)
