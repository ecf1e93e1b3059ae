"""The commands that found and grow a cluster, their options and help texts."""

from ambientd.cli.parsing import Parser, command, count, group, seconds


def add_cluster(commands: object) -> None:
    """Add `cluster` and `join`."""
    cluster = group(commands, "cluster", "found a cluster, invite nodes, see who keeps its log")
    create = command(
        cluster, "create", "cluster_commands:create", "write the folders of a new cluster's nodes"
    )
    create.add_argument("dir", metavar="DIR", help="a new or empty folder")
    create.add_argument("--members", type=count, default=4, metavar="N", help="nodes (default: 4)")
    create.add_argument(
        "--state-version",
        type=count,
        metavar="N",
        help="whose rules hold from the first block on (default: the newest that this program "
        "knows); an earlier one, where the program of some founder is older",
    )
    create.add_argument(
        "--name", default="ambient", metavar="NAME", help="its name (default: ambient)"
    )
    create.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address or name of this machine at which other devices dial the nodes "
        "(default: 127.0.0.1, for this machine alone); with {} for the node's number, of one "
        "machine for each, all at the same port",
    )
    create.add_argument(
        "--base-port", type=count, default=4400, metavar="PORT", help="first port (default: 4400)"
    )
    create.add_argument(
        "--bitcoin",
        choices=("embedded", "rpc", "esplora", "off"),
        default="embedded",
        help="the chain for anchors (default: embedded, a regtest chain on this machine)",
    )
    create.add_argument(
        "--bitcoin-network",
        choices=("regtest", "signet", "testnet4", "main"),
        default="regtest",
        help="its network, with rpc or esplora (default: regtest); "
        "on main, anchors are paid with real bitcoin",
    )
    create.add_argument(
        "--bitcoin-url",
        metavar="URL",
        default="",
        help="of the Bitcoin node (default: on this machine, at its network's usual port) or "
        "Esplora server",
    )
    _add_peg(create)
    _add_sayings(create)
    invite = command(
        cluster, "invite", "cluster_commands:invite", "a token that brings one more node in"
    )
    invite.add_argument(
        "--expires",
        type=seconds,
        default=86_400.0,
        metavar="S",
        help="seconds it is good for (default: 86400)",
    )
    command(cluster, "members", "member_commands:show", "the same as `member list`")
    _add_join(commands)


def _add_peg(create: Parser) -> None:
    """Add what founders decide on a peg."""
    create.add_argument(
        "--peg",
        action="store_true",
        help="credits come in as bitcoin and go out again; nobody begins with any",
    )
    create.add_argument(
        "--peg-sat-max",
        type=count,
        default=0,
        metavar="SAT",
        help="the most that the peg holds (default: no bound; on main 1000000, at most 10000000)",
    )
    create.add_argument(
        "--accept-unaudited-mainnet-peg",
        action="store_true",
        help="let the peg hold REAL BITCOIN, though NOBODY HAS AUDITED its code and rules, the "
        "keys that lie on online machines, the committee's threshold, the libraries and machines "
        "beneath, and though it never ran with real bitcoin: all of it may be lost",
    )


def _add_join(commands: object) -> None:
    join = command(
        commands, "join", "cluster_commands:join", "make this device a node of a cluster"
    )
    join.add_argument(
        "token",
        metavar="TOKEN",
        help="of `ambientctl cluster invite`; - reads it from standard input",
    )
    join.add_argument(
        "--listen",
        default="",
        metavar="HOST:PORT",
        help="address for peers (default: the first free port from 4400 up, on 0.0.0.0, or on "
        "127.0.0.1 if only this machine can use the token)",
    )
    join.add_argument(
        "--name", default="", metavar="NAME", help="a name for people (default: the host's)"
    )
    join.add_argument(
        "--region",
        default="local",
        metavar="REGION",
        help="where it stands, in a word for people (default: local)",
    )
    join.add_argument(
        "--kind",
        choices=("gateway", "compute", "edge", "mobile"),
        default="compute",
        help="what it is (default: compute)",
    )
    _add_sayings(join)


def _add_sayings(parser: Parser) -> None:
    """Add what owners say of their nodes."""
    parser.add_argument(
        "--owner", default="", metavar="NAME", help="whose it is; replicas go to different owners"
    )
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="something that submitters can ask for; again for more",
    )
    parser.add_argument(
        "--refuse",
        action="append",
        default=[],
        metavar="CLASS",
        help="take no tasks of this class; again for more",
    )
