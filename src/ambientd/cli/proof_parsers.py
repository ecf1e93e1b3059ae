"""The commands about anchors, and those that check or fetch proofs and need no daemon."""

from ambientd.cli.parsing import (
    WHERE_TO,
    Parser,
    add_engine,
    command,
    count,
    group,
    limit,
    positive,
    rate,
    span,
)

_MODULE = "MODULE.wasm|SHA256"


def add_anchor(commands: object) -> None:
    """Add `anchor` and its commands."""
    anchor = group(commands, "anchor", "the way of receipts into Bitcoin blocks")
    for name, run, text, most in (
        ("status", "status", "chain and latest anchors", 10),
        ("list", "show", "batches with their anchors and fees, the newest first", 50),
    ):
        listed = command(anchor, name, f"anchor_commands:{run}", text)
        listed.add_argument(
            "--limit", type=limit, default=most, metavar="N", help=f"how many (default: {most})"
        )
    command(anchor, "retry", "anchor_commands:retry", "look at the chain and send again, now")
    plan = command(
        anchor, "plan", "anchor_commands:plan", "what anchors cost, before anything is spent"
    )
    plan.add_argument(
        "--rate",
        type=rate,
        action="append",
        default=[],
        metavar="SAT_VB",
        help="a fee rate in sat/vB; may be given again (default: the chain's estimate and a few)",
    )
    plan.add_argument(
        "--receipts-a-day",
        type=positive,
        default=10_000,
        metavar="N",
        help="receipts that share a day's anchors (default: 10000)",
    )
    plan.add_argument(
        "--every",
        type=span,
        default=0.0,
        metavar="S",
        help="seconds from one anchor to the next (default: as configured)",
    )


def add_blame(commands: object) -> None:
    """Add `blame` and its commands."""
    blame = group(commands, "blame", "who was convicted, and proof of it for strangers")
    command(blame, "list", "blame_commands:show", "who was convicted, and by what")
    export = command(
        blame, "export", "blame_commands:export", "write the certificate against a node"
    )
    export.add_argument(
        "about",
        metavar="NODE|TASK",
        help="a convicted node's name or id, or the id of the task that convicted one",
    )
    export.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"{WHERE_TO} (default: NODE.blame)",
    )
    export.add_argument(
        "--with-module", action="store_true", help="put the module and the input into it as well"
    )
    verify = command(
        blame,
        "verify",
        "blame_commands:verify",
        "check a certificate, and do again what it is about; no daemon, no network",
    )
    _add_replay(verify)
    verify.add_argument(
        "--proof", metavar="FILE", help="a proof of its step, instead of module and input"
    )
    verify.add_argument(
        "--images",
        metavar="FILE",
        help="what members say of the module's own image, where a wrong proof is by another",
    )
    verify.add_argument(
        "--epoch",
        metavar="HASH",
        help="with --images: a recent epoch of the cluster, from `ambientctl member list`",
    )
    _add_verifier(verify)
    step = command(
        blame,
        "step",
        "blame_commands:step",
        "write what the image of steps reads to prove a certificate's step; no daemon",
    )
    _add_replay(step)
    step.add_argument("-o", "--output", metavar="FILE", help=f"{WHERE_TO} (default: NAME.words)")
    slim = command(
        blame,
        "slim",
        "blame_commands:slim",
        "write a certificate without the memory that its step does not touch; no daemon",
    )
    _add_replay(slim)
    slim.add_argument(
        "-o", "--output", metavar="FILE", help=f"{WHERE_TO} (default: NAME-slim.blame)"
    )


def _add_replay(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="a blame certificate")
    parser.add_argument(
        "--cluster", metavar="FINGERPRINT", help="the cluster you trust, from `ambientctl status`"
    )
    parser.add_argument("--module", metavar="FILE", help="the task's module, if it is not inside")
    parser.add_argument("--input", metavar="FILE", help="the task's input, if it is not inside")
    add_engine(parser)


def add_proof(commands: object) -> None:
    """Add `proof` and its commands."""
    proof = group(commands, "proof", "validity proofs: check an execution without repeating it")
    verify = command(
        proof, "verify", "proof_commands:verify", "check a validity proof; no daemon, no network"
    )
    get = command(proof, "get", "proof_commands:get", "fetch the proof of a proven task")
    get.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    get.add_argument("-o", "--output", metavar="FILE", help=f"{WHERE_TO} (default: ID.proof)")
    verify.add_argument("file", metavar="FILE", help="a validity proof")
    verify.add_argument(
        "--image", metavar="ID|FILE", help="the module's image, or its id: what must be proven"
    )
    about = verify.add_mutually_exclusive_group()
    about.add_argument("--module", metavar="FILE", help="the module that it must be about")
    about.add_argument(
        "--prepared",
        metavar="FILE",
        help="the prepared module that it must be about, where the image is the universal one",
    )
    verify.add_argument(
        "--images",
        metavar="FILE",
        help="what members say that the module's image is, from `ambientctl image show -o FILE`",
    )
    verify.add_argument(
        "--cluster", metavar="FINGERPRINT", help="the cluster whose members you believe"
    )
    verify.add_argument(
        "--epoch", metavar="HASH", help="a recent epoch of it, from `ambientctl member list`"
    )
    verify.add_argument("--input", metavar="FILE", help="the input that it must be about")
    verify.add_argument("--output", metavar="FILE", help="the output that it must be about")
    verify.add_argument(
        "--salt", metavar="HEX", help="the salt, where input and output are named by salted hashes"
    )
    _add_verifier(verify)


def add_image(commands: object) -> None:
    """Add `image` and its commands."""
    image = group(commands, "image", "what modules' own images are, and who says so")
    name = command(
        image, "name", "image_commands:name", "say as this node what a module's own image is"
    )
    show = command(image, "show", "image_commands:show", "a module's own image, and who says so")
    show.add_argument("module", metavar=_MODULE, help="a module, or its SHA-256")
    show.add_argument(
        "-o", "--output", metavar="FILE", help=f"the members' words, for strangers; {WHERE_TO}"
    )
    check = command(
        image, "check", "image_commands:check", "compare an image made here with what nodes say"
    )
    for parser in (name, check):
        parser.add_argument("module", metavar=_MODULE, help="a module, or its SHA-256")
        parser.add_argument(
            "image",
            metavar="IMAGE.elf|ID",
            help="what `python -m scripts.proof_image` made of it, or its id",
        )
        _add_verifier(parser)
    name.add_argument("--yes", action="store_true", help="do not ask first")


def _add_verifier(parser: Parser) -> None:
    parser.add_argument(
        "--verifier",
        metavar="PATH",
        help="the program ambient-verify (default: beside Python, or on the search path)",
    )


def add_headers(commands: object) -> None:
    """Add `headers` and its commands."""
    headers = group(commands, "headers", "fetch and check Bitcoin headers; no daemon")
    check = command(
        headers, "check", "headers_commands:check", "check every header; show the chain's tip"
    )
    check.add_argument("file", metavar="FILE", help="a file of headers")
    sync = command(
        headers, "sync", "headers_commands:sync", "bring a file of headers to its network's tip"
    )
    sync.add_argument("file", metavar="FILE", help="a file of headers, or a new one")
    sync.add_argument(
        "--network",
        choices=("main", "testnet4", "signet", "regtest"),
        default="",
        help="whose headers (default: FILE's; a new file needs it)",
    )
    sync.add_argument("--rpc", metavar="URL", default="", help="a Bitcoin node, http://host:port")
    sync.add_argument(
        "--login", metavar="FILE", default="", help="the node's user:password, such as its .cookie"
    )
    sync.add_argument("--esplora", metavar="URL", default="", help="an Esplora server")
    sync.add_argument(
        "--whole",
        action="store_true",
        help="begin a new file at height 0, not at the newest checkpoint of this program",
    )
    export = command(
        headers, "export", "headers_commands:export", "the headers that this node's daemon keeps"
    )
    export.add_argument("file", metavar="FILE", help="where to write them")


def add_witness(commands: object) -> None:
    """Add `witness` and its commands."""
    witness = group(commands, "witness", "follow a receipt log, and prove it when two are shown")
    run = command(witness, "run", "witness_commands:run", "follow the log of this node's cluster")
    _add_folder(run)
    run.add_argument(
        "--period",
        type=span,
        default=60.0,
        metavar="S",
        help="seconds between two looks (default: 60)",
    )
    run.add_argument("--once", action="store_true", help="look once")
    take = command(
        witness, "take", "witness_commands:take", "compare the head in a receipt or update"
    )
    _add_folder(take)
    take.add_argument("file", metavar="FILE", help="a receipt, or an update that was offered")
    take.add_argument(
        "--offline", action="store_true", help="do not ask this node's daemon for a missing proof"
    )
    offer = command(
        witness, "offer", "witness_commands:offer", "write this node's newest head into a file"
    )
    offer.add_argument("file", metavar="FILE", help="where to write it")
    offer.add_argument(
        "--since",
        type=count,
        default=0,
        metavar="SIZE",
        help="prove that it grew from the head of this size",
    )
    check = command(
        witness, "check", "witness_commands:check", "check evidence of a split view; no daemon"
    )
    check.add_argument("file", metavar="FILE", help="a file of evidence")


def _add_folder(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the witness's folder, or a new one")
    parser.add_argument(
        "--cluster", metavar="FINGERPRINT", help="the cluster to watch, from `ambientctl status`"
    )
