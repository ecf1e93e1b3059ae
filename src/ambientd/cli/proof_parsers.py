"""The commands that check or fetch proofs and need no daemon."""

from ambientd.cli.parsing import command, group


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
