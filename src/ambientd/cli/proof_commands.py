"""ambientctl proof: validity proofs, checked by the program that is built for it (protocols/18)."""

import re
from typing import TYPE_CHECKING, Protocol

from ambientd.api import operations, requests
from ambientd.api.proof_program import Told, ask_verifier, find_verifier
from ambientd.cli.console import CommonArguments, connect, print_json, print_line, short
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import (
    STANDARD_STREAM,
    check_writable,
    read_module,
    readable_place,
    report_beside,
    write_file,
)
from ambientd.cli.receipt_commands import epoch_of, fingerprint_of
from ambientd.cli.task_commands import task_name
from ambientd.errors import UsageError

if TYPE_CHECKING:
    from ambientd.rules.images import Vouched

ANY_CLUSTER = (
    "that the cluster is the one you mean: anyone can invent a cluster; compare its fingerprint "
    "with one you got elsewhere, or check again with --cluster"
)
# It verifies in milliseconds; a machine that is this busy should be asked again.
_WAIT_S = 60
_UNCHECKED = "not checked:"
_HASH = re.compile("[0-9a-fA-F]{64}")


class VerifyArguments(CommonArguments, Protocol):
    """Options of `proof verify`."""

    file: str
    image: str | None
    images: str | None
    cluster: str | None
    epoch: str | None
    module: str | None
    prepared: str | None
    input: str | None
    output: str | None
    salt: str | None
    verifier: str | None


class GetArguments(CommonArguments, Protocol):
    """Options of `proof get`."""

    task: str
    output: str | None


def get(arguments: GetArguments) -> ExitCode:
    """Fetch the proof of a proven task."""
    name = task_name(arguments.task)
    if arguments.output:
        check_writable(arguments.output)
    with connect(arguments) as client:
        answer = client.call(operations.TASK_OUTPUT, requests.GetOutput(task=name, proof=True))
    path = arguments.output or f"{short(answer.task_id)}.proof"
    write_file(path, answer.data)
    with report_beside(path):
        if arguments.as_json:
            about = {"task_id": answer.task_id, "proof": path, "proof_sha256": answer.sha256}
            print_json(about | {"size_bytes": len(answer.data)})
        elif path != STANDARD_STREAM:
            print_line(path)
    return ExitCode.DONE


def verify(arguments: VerifyArguments) -> ExitCode:
    """Check a validity proof; no daemon, no network."""
    from ambientd.api.image_files import NotVouchedError

    asked = _asked(arguments)
    try:
        vouched = _vouched(arguments)
    except NotVouchedError as fault:
        vouched = None
        told = Told(valid=False, text=f"not verified: {arguments.images}: {fault}", fields={})
    else:
        asked += [] if vouched is None else ["--image", vouched.image.hex()]
        told = ask_verifier([find_verifier(arguments.verifier), *asked], _WAIT_S)
    trust = [] if vouched is None or not told.valid else [vouched.trust_text]
    trust += [ANY_CLUSTER] if trust and arguments.cluster is None else []
    if arguments.as_json:
        reason = "" if told.valid else told.text.strip()
        # The program says it in a line of its own, which people read below.
        unchecked = [line for line in told.text.splitlines() if line.startswith(_UNCHECKED)]
        answer = {"valid": told.valid, "reason": reason, **told.fields}
        print_json(answer | {"trust": [*unchecked, *trust]})
    else:
        for line in (*told.text.splitlines(), *(f"trusted: {each}" for each in trust)):
            print_line(line)
    return ExitCode.DONE if told.valid else ExitCode.NOT_VERIFIED


def _vouched(arguments: VerifyArguments) -> "Vouched | None":
    """Give the image that members say is the module's; raise NotVouchedError where they do not."""
    if arguments.images is None:
        if arguments.cluster is not None or arguments.epoch is not None:
            raise UsageError("--cluster and --epoch go with --images: they say who is believed")
        return None
    if arguments.module is None or arguments.image is not None:
        raise UsageError("--images goes with --module, and without --image: it names the image")
    from ambientd.api.image_files import read_images
    from ambientd.cli.image_commands import words_in
    from ambientd.codec.digest import sha256
    from ambientd.model.base import Digest

    return read_images(
        words_in(arguments.images),
        Digest(sha256(read_module(arguments.module))),
        fingerprint_of(arguments.cluster),
        epoch_of(arguments.epoch),
    )


def _asked(arguments: VerifyArguments) -> list[str]:
    """Give what the program is asked; raise UsageError for what it cannot even read."""
    asked = [readable_place(arguments.file, "proof")]
    for option in ("module", "prepared", "input", "output"):
        if (path := getattr(arguments, option)) is not None:
            asked += [f"--{option}", readable_place(path, option)]
    if (image := arguments.image) is not None:
        asked += ["--image", image if _HASH.fullmatch(image) else readable_place(image, "image")]
    if (salt := arguments.salt) is not None:
        if not _HASH.fullmatch(salt):
            msg = f"--salt {salt!r} is no salt: 64 hexadecimal digits"
            raise UsageError(msg)
        asked += ["--salt", salt]
    return asked
