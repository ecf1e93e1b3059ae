"""The commands that check or fetch proofs and need no daemon."""

from ambientd.cli.parsing import Parser, command, count, group, seconds


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
        "--network", choices=("main", "testnet4", "signet", "regtest"), required=True, help="which"
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
        type=seconds,
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
