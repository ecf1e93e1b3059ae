"""ambientctl witness: following a receipt log, and proving it when two were shown."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ambientd.api import operations, requests
from ambientd.cli.console import (
    CommonArguments,
    connect,
    in_words,
    print_json,
    print_line,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.files import check_writable, read_file, report_beside, write_file
from ambientd.cli.receipt_commands import fingerprint_of
from ambientd.errors import UnreachableError

if TYPE_CHECKING:
    from ambientd.api.witnessing import Witnessed, WitnessFolder
    from ambientd.model.genesis import Genesis
    from ambientd.model.witness import LogUpdate


class RunArguments(CommonArguments, Protocol):
    """Options of `witness run`."""

    dir: str
    cluster: str | None
    period: float
    once: bool


class TakeArguments(CommonArguments, Protocol):
    """Options of `witness take`."""

    dir: str
    file: str
    cluster: str | None
    offline: bool


class OfferArguments(CommonArguments, Protocol):
    """Options of `witness offer`."""

    file: str
    since: int


class CheckArguments(CommonArguments, Protocol):
    """Options of `witness check`."""

    file: str


def run(arguments: RunArguments) -> ExitCode:
    """Follow the receipt log of this node's cluster until interrupted, or once."""
    from ambientd.api.witnessing import WitnessFolder, read_update

    folder = WitnessFolder(Path(arguments.dir), fingerprint_of(arguments.cluster))
    while True:
        try:
            update = read_update(_ask(arguments, folder.size))
            _warn(arguments.cluster, folder, update)
            found = folder.take(update)
        except (UnreachableError, operations.OperationError) as error:
            if arguments.once:
                raise
            tell(f"this node shows no head now: {error}")
        else:
            code = _tell(arguments, found)
            if arguments.once or code is ExitCode.NOT_VERIFIED:
                return code
        time.sleep(arguments.period)


def take(arguments: TakeArguments) -> ExitCode:
    """Compare the head in a file with the last one that was seen."""
    from ambientd.api.witnessing import WitnessFolder, read_update

    update = read_update(read_file(arguments.file, "update or receipt"))
    folder = WitnessFolder(Path(arguments.dir), fingerprint_of(arguments.cluster))
    _warn(arguments.cluster, folder, update)
    ask = None if arguments.offline else lambda since: _ask(arguments, since)
    try:
        found = folder.take(update, ask)
    except UnreachableError:
        found = folder.take(update)
    return _tell(arguments, found)


def offer(arguments: OfferArguments) -> ExitCode:
    """Write this node's newest head into a file, for witnesses that cannot ask it."""
    check_writable(arguments.file)
    data = _ask(arguments, arguments.since)
    write_file(arguments.file, data)
    with report_beside(arguments.file):
        if arguments.as_json:
            print_json({"file": arguments.file})
        else:
            print_line(f"{arguments.file} written")
    return ExitCode.DONE


def check(arguments: CheckArguments) -> ExitCode:
    """Check evidence of a split view; no daemon, no network."""
    from ambientd.api.witnessing import check_evidence

    found = check_evidence(read_file(arguments.file, "evidence"))
    if isinstance(found, str):
        if arguments.as_json:
            print_json({"split": False, "reason": found})
        else:
            print_line(f"nothing is proven: {found}")
        return ExitCode.NOT_VERIFIED
    evidence, names = found.evidence, _names(found.evidence.genesis)
    heads: list[dict[str, Any]] = [
        {
            "size": head.note.size,
            "root": head.note.root.hex(),
            "signed_by": [member.hex() for member in signers],
        }
        for head, signers in zip((evidence.first, evidence.second), found.signers, strict=True)
    ]
    both = [member.hex() for member in found.both]
    if arguments.as_json:
        cluster = found.cluster.hex()
        print_json({"split": True, "cluster": cluster, "signed_both": both, "heads": heads})
        return ExitCode.DONE
    print_line(f"proven: cluster {found.cluster.hex()} signed two logs that cannot be one")
    for place, head in zip(("one", "other"), heads, strict=True):
        print_line(f"the {place}: {in_words(head['size'], 'receipt')}, root {head['root']}")
        print_line("  signed by " + ", ".join(_called(each, names) for each in head["signed_by"]))
    if evidence.prefix is not None:
        root, first = evidence.prefix.root.hex(), in_words(evidence.prefix.size, "receipt")
        print_line(f"the root of the first {first} of the larger is {root}")
    for member in both:
        print_line(f"member {member} ({names.get(member, 'no founder')}) signed both")
    return ExitCode.DONE


def _names(genesis: "Genesis") -> dict[str, str]:
    return {member.node.hex(): member.profile.name for member in genesis.members}


def _called(member: str, names: dict[str, str]) -> str:
    return f"{names[member]} {short(member)}" if member in names else short(member)


def _warn(pinned: str | None, folder: "WitnessFolder", update: "LogUpdate") -> None:
    """Say that the first head decides which cluster is watched, and anyone can invent one."""
    if pinned is None and folder.size == 0:
        from ambientd.codec.statements import fingerprint

        name = fingerprint(update.genesis).hex()
        warn(f"watching cluster {name}, which anyone can have invented: --cluster pins it")


def _ask(arguments: CommonArguments, since: int) -> bytes:
    with connect(arguments) as client:
        answer = client.call(operations.LOG_UPDATE, requests.GetLogUpdate(since=since))
    return answer.update


def _tell(arguments: CommonArguments, found: "Witnessed") -> ExitCode:
    from ambientd.rules.witnessing import Followed, NothingNew, Refused, Split, Unproven

    code = ExitCode.DONE
    match found.outcome:
        case Followed(head):
            size = in_words(head.note.size, "receipt")
            text = f"followed to {size}, root {short(head.note.root.hex())}"
        case NothingNew():
            text = f"nothing new: {in_words(found.size, 'receipt')} seen"
        case Unproven(reason):
            text, code = f"not followed: {reason}", ExitCode.FAILED
        case Refused(reason):
            text, code = f"refused: {reason}", ExitCode.NOT_VERIFIED
        case Split():
            text = f"SPLIT VIEW: a quorum signed two logs; the evidence is in {found.evidence}"
            code = ExitCode.NOT_VERIFIED
    if arguments.as_json:
        kind = type(found.outcome).__name__.lower()
        evidence = None if found.evidence is None else str(found.evidence)
        print_json({"outcome": kind, "text": text, "size": found.size, "evidence": evidence})
    else:
        print_line(text)
    return code
