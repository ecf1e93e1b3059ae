"""Every command, option and help text of ambientctl; the code behind is imported when chosen."""

import os

from ambientd.cli.account_parsers import add_account
from ambientd.cli.parsing import Parser
from ambientd.cli.parsing import add_common as _add_common
from ambientd.cli.parsing import command as _command
from ambientd.cli.parsing import count as _count
from ambientd.cli.parsing import group as _group
from ambientd.cli.parsing import seconds as _seconds
from ambientd.cli.parsing import size as _size
from ambientd.cli.peg_parsers import add_peg
from ambientd.cli.proof_parsers import add_anchor, add_blame, add_headers, add_witness
from ambientd.cli.run_parser import add_run

_DESCRIPTION = "Drive a node of an Ambient mesh: submit tasks, look around, check receipts."
_EPILOG = """\
exit codes: 0 done; 1 the task failed; 2 wrong usage; 3 no daemon answers; 4 verification failed
environment: AMBIENT_DATA_DIR names the node's folder; NO_COLOR switches colours off
"""


def build_parser() -> Parser:
    """Give the parser; each command's `run` default names the function as "module:function"."""
    parser = Parser(prog="ambientctl", description=_DESCRIPTION, epilog=_EPILOG)
    chosen = os.environ.get("AMBIENT_DATA_DIR") or None
    _add_common(parser, data_dir=chosen, as_json=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    _add_looking(commands)
    add_run(commands)
    _add_task(commands)
    _add_receipt(commands)
    add_blame(commands)
    add_headers(commands)
    add_witness(commands)
    _add_module(commands)
    _add_cluster(commands)
    _add_member(commands)
    add_account(commands)
    add_peg(commands)
    _add_backup(commands)
    _add_demo(commands)
    return parser


def _add_looking(commands: object) -> None:
    _command(commands, "status", "node_commands:status", "how this node is")
    _command(commands, "nodes", "node_commands:nodes", "who is in the cluster")
    events = _command(commands, "events", "node_commands:events", "tell what happens, as it does")
    events.add_argument(
        "--task",
        metavar="ID",
        action="append",
        default=[],
        help="of this task only: its id, or an unambiguous start of it",
    )
    add_anchor(commands)
    _command(commands, "version", "node_commands:version", "print the version")


def _add_task(commands: object) -> None:
    task = _group(commands, "task", "look at tasks, take them back")
    listed = _command(task, "list", "task_commands:list_tasks", "tasks, the newest first")
    listed.add_argument(
        "--limit", type=_count, default=50, metavar="N", help="how many (default: 50)"
    )
    listed.add_argument("--state", default="", metavar="STATE", help="in this state only")
    show = _command(task, "show", "task_commands:show", "everything about a task")
    show.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    why = _command(task, "why", "why_command:why", "why a task is where it is")
    why.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    cancel = _command(
        task, "cancel", "task_commands:cancel", "take a task back before its answers are sealed"
    )
    cancel.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    output = _command(task, "output", "task_commands:output", "the output of a task")
    output.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    output.add_argument("--output", metavar="FILE", help="put it there (default: print it)")


def _add_receipt(commands: object) -> None:
    receipt = _group(commands, "receipt", "get and check receipts")
    get = _command(receipt, "get", "receipt_commands:get", "the receipt file of a task")
    get.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    get.add_argument("--output", metavar="FILE", help="where to (default: ID.receipt)")
    verify = _command(
        receipt, "verify", "receipt_commands:verify", "check a receipt; no daemon, no network"
    )
    verify.add_argument("file", metavar="FILE", help="a receipt file")
    verify.add_argument(
        "--cluster", metavar="FINGERPRINT", help="the cluster you trust, from `ambientctl status`"
    )
    verify.add_argument(
        "--epoch", metavar="HASH", help="a recent epoch you trust, from `ambientctl member list`"
    )
    verify.add_argument("--output", metavar="FILE", help="the output, to be compared as well")
    verify.add_argument(
        "--headers", metavar="FILE", help="Bitcoin headers, among which the anchor must be"
    )
    export = _command(
        receipt, "export", "receipt_commands:export", "a receipt's timestamp for other programs"
    )
    export.add_argument("file", metavar="FILE", help="a receipt file with an anchor")
    export.add_argument(
        "--ots",
        metavar="FILE.ots",
        required=True,
        help="put the OpenTimestamps file there, and what it stamps in FILE",
    )
    export.add_argument(
        "--batch", action="store_true", help="stamp the whole batch that the receipt is in"
    )


def _add_module(commands: object) -> None:
    module = _group(commands, "module", "check, prepare, execute and measure modules; no daemon")
    check = _command(
        module,
        "check",
        "module_commands:check",
        "whether nodes take a module; if not, how to fix it",
    )
    prepare = _command(
        module, "prepare", "module_commands:prepare", "write what engines execute of a module"
    )
    prepare.add_argument(
        "--output", metavar="FILE", required=True, help="where to; - is standard output"
    )
    prepare.add_argument(
        "--pausable", action="store_true", help="what is executed when it may have to be paused"
    )
    run = _command(
        module, "run", "module_commands:run", "execute a module here, on one engine or all"
    )
    trace = _command(
        module, "trace", "module_moves:trace", "show the states of an execution; compare engines"
    )
    bench = _command(module, "bench", "module_commands:bench", "measure a module on engines")
    for parser in (run, trace, bench):
        _add_call(parser)
    run.add_argument("--output", metavar="FILE", help="put the output there; - is standard output")
    run.add_argument(
        "--runs", type=_count, default=1, metavar="N", help="executions on each (default: 1)"
    )
    run.add_argument(
        "--log", action="store_true", help="show what the module writes to its standard error"
    )
    run.add_argument(
        "--pause-at",
        type=_count,
        metavar="GAS",
        help="stop as soon as so much gas is taken, and write the state",
    )
    run.add_argument("--state", metavar="FILE", help="where to, with --pause-at")
    run.add_argument(
        "--resume",
        metavar="STATE",
        help="go on from the state in this file, with the limits and seed that it was paused under",
    )
    trace.add_argument(
        "--checkpoints",
        type=_count,
        default=16,
        metavar="N",
        help="roots to show, at most, evenly spread over the gas (default: 16)",
    )
    bench.add_argument(
        "--rounds",
        type=_count,
        metavar="N",
        help="calls after the first (default: 100, or what 10 s allow)",
    )
    for parser in (check, prepare, run, trace, bench):
        parser.add_argument("file", metavar="MODULE.wasm", help="a WebAssembly module")
        parser.add_argument(
            "--sandbox",
            choices=("required", "best-effort"),
            default="required",
            help="whether a platform may lack a protection of worker processes (default: required)",
        )


def _add_call(parser: Parser) -> None:
    parser.add_argument(
        "--input", metavar="FILE", help="the input; - is standard input (default: none)"
    )
    parser.add_argument(
        "--engine",
        default="wasmtime",
        metavar="NAME",
        help="wasmtime, wasmer, wasmi, or all that are installed (default: wasmtime)",
    )
    parser.add_argument(
        "--gas-max", type=_count, metavar="N", help="gas it may use (default: 10000000000)"
    )
    parser.add_argument(
        "--memory-max", type=_size, metavar="SIZE", help="memory it may use (default: 512MiB)"
    )
    parser.add_argument(
        "--wall-max", type=_seconds, metavar="S", help="seconds a call may take (default: 30)"
    )
    parser.add_argument(
        "--seed", metavar="HEX", help="64 digits, feed its random bytes (default: zeros)"
    )


def _add_cluster(commands: object) -> None:
    cluster = _group(commands, "cluster", "found a cluster, invite nodes")
    create = _command(
        cluster, "create", "cluster_commands:create", "write the folders of a new cluster's nodes"
    )
    create.add_argument("dir", metavar="DIR", help="a new or empty folder")
    create.add_argument("--members", type=_count, default=4, metavar="N", help="nodes (default: 4)")
    create.add_argument(
        "--name", default="ambient", metavar="NAME", help="its name (default: ambient)"
    )
    create.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="HOST",
        help="address or name of this machine at which other devices dial the nodes "
        "(default: 127.0.0.1, for this machine alone)",
    )
    create.add_argument(
        "--base-port", type=_count, default=4400, metavar="PORT", help="first port (default: 4400)"
    )
    create.add_argument(
        "--bitcoin",
        choices=("embedded", "rpc", "esplora", "off"),
        default="embedded",
        help="the chain for anchors (default: embedded, a regtest chain on this machine)",
    )
    create.add_argument(
        "--bitcoin-network",
        choices=("regtest", "signet", "testnet4"),
        default="regtest",
        help="its network, with rpc or esplora (default: regtest)",
    )
    create.add_argument(
        "--bitcoin-url",
        metavar="URL",
        default="",
        help="of the Bitcoin node or Esplora server; needed for esplora",
    )
    create.add_argument(
        "--peg",
        action="store_true",
        help="credits come in as bitcoin and go out again; nobody begins with any",
    )
    invite = _command(
        cluster, "invite", "cluster_commands:invite", "a token that brings one more node in"
    )
    invite.add_argument(
        "--expires",
        type=_seconds,
        default=86_400.0,
        metavar="S",
        help="seconds it is good for (default: 86400)",
    )
    _add_join(commands)


def _add_join(commands: object) -> None:
    join = _command(
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
        help="address for peers (default: 0.0.0.0 and the first free port from 4400 up)",
    )
    join.add_argument(
        "--name", default="node", metavar="NAME", help="a name for people (default: node)"
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
    join.add_argument(
        "--owner", default="", metavar="NAME", help="whose it is; replicas go to different owners"
    )
    join.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="something that submitters can ask for; again for more",
    )
    join.add_argument(
        "--refuse",
        action="append",
        default=[],
        metavar="CLASS",
        help="take no tasks of this class; again for more",
    )


def _add_member(commands: object) -> None:
    member = _group(commands, "member", "who keeps the log: ask for a seat, let in, let go")
    _command(member, "list", "member_commands:show", "the committee, and who asks for a seat")
    ask = _command(
        member, "ask", "member_commands:ask", "ask for a seat for this node; a quorum decides"
    )
    ask.add_argument(
        "--bond",
        type=_count,
        default=0,
        metavar="MSAT",
        help="millisatoshi of its balance to put at risk (default: 0)",
    )
    admit = _command(
        member, "admit", "member_commands:admit", "let a node in that asks, as far as this one goes"
    )
    admit.add_argument(
        "--instead",
        action="store_true",
        help="only for a seat that another gives up, or in the place of a member that stands lower",
    )
    remove = _command(
        member, "remove", "member_commands:remove", "let a member go, as far as this one goes"
    )
    for parser in (admit, remove):
        parser.add_argument("node", metavar="NODE", help="its id, or an unambiguous start of it")
    leave = _command(
        member, "leave", "member_commands:leave", "give this node's seat back, or stop asking"
    )
    for parser in (remove, leave):
        parser.add_argument("--yes", action="store_true", help="do not ask first")


def _add_backup(commands: object) -> None:
    backup = _group(commands, "backup", "keep the log in a file, make a node's store of it")
    create = _command(
        backup, "create", "backup_commands:create", "write the log to a file; the node goes on"
    )
    create.add_argument("file", metavar="FILE", help="a new file")
    restore = _command(
        backup,
        "restore",
        "backup_commands:restore",
        "make the store of a node that has none; its key never votes again",
    )
    restore.add_argument("file", metavar="FILE", help="of `ambientctl backup create`")
    restore.add_argument(
        "--height",
        type=_count,
        default=None,
        metavar="H",
        help="as of this block, or a little before (default: all)",
    )


def _add_demo(commands: object) -> None:
    demo = _command(
        commands, "demo", "demo:run", "a whole mesh on this machine, a liar caught, a receipt"
    )
    demo.add_argument("--nodes", type=_count, default=4, metavar="N", help="daemons (default: 4)")
    demo.add_argument(
        "--liars",
        type=_count,
        default=None,
        metavar="K",
        help="of which lie (default: 1, or none where the committee is too small)",
    )
    demo.add_argument("--keep", action="store_true", help="leave the files for a look afterwards")
    demo.add_argument(
        "--dir", metavar="DIR", help="a new or empty folder (default: a temporary one)"
    )
