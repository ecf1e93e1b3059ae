"""The command that executes a module on the mesh, its options and help texts."""

import argparse
import re

from ambientd.cli.parsing import (
    WHERE_TO,
    Parser,
    assurance,
    command,
    positive,
    seconds,
    size,
    span,
    word,
)


def add_run(commands: object, text: str = "execute a module on the mesh") -> None:
    """Add `run`, or `task run`, by which others know it."""
    run = command(commands, "run", "run_command:run", text)
    run.add_argument(
        "module",
        metavar="MODULE.wasm",
        help="a file, or PUBLISHER/NAME@VERSION as published",
    )
    run.add_argument(
        "--input", metavar="FILE", help="the input; - is standard input (default: none)"
    )
    run.add_argument(
        "--inputs",
        metavar="FILE|FOLDER",
        help="one input for each line of a file (- is standard input) or each file of a folder "
        "that is not hidden; prints a line of JSON for each",
    )
    run.add_argument(
        "--bundle",
        type=positive,
        default=0,
        metavar="N",
        help="of --inputs, so many make one task, 256 at most (default: an eighth of them)",
    )
    _add_choices(run)
    run.add_argument(
        "--gas-max",
        type=positive,
        default=0,
        metavar="N",
        help="gas it may use (default: [execution] gas_max of this node)",
    )
    _add_limits(run)
    run.add_argument(
        "--price",
        type=positive,
        default=0,
        metavar="N",
        help="millisatoshi for a million gas (default: the least that the cluster takes)",
    )
    run.add_argument(
        "--nonce",
        metavar="HEX",
        help="same nonce, module, input and terms: same task, executed once (default: random)",
    )
    run.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"the output: {WHERE_TO}, and of --inputs a folder (default: print it)",
    )
    run.add_argument("--receipt", metavar="FILE", help="put the receipt there")
    run.add_argument("--no-wait", action="store_true", help="print the task's id and leave")
    run.add_argument(
        "--wait-anchor", action="store_true", help="wait until the receipt is in a Bitcoin block"
    )
    run.add_argument(
        "--timeout",
        type=seconds,
        default=120.0,
        metavar="S",
        help="seconds to wait for the end of the task, and as long again for --wait-anchor "
        "(default: 120)",
    )
    run.add_argument("--yes", action="store_true", help="do not ask first")


def _add_choices(run: Parser) -> None:
    """Add how the task is verified, and who shall work on it."""
    run.add_argument(
        "--assurance",
        metavar="LEVEL",
        type=assurance,
        default=("replicated", 0),
        help="how the task is verified: none, audited, replicated, quorum or quorum:K, whose K is "
        "by default enough for one in five who collude, or proven (default: replicated)",
    )
    _add_proof(run)
    run.add_argument(
        "--replicas",
        type=positive,
        default=0,
        metavar="K",
        help="executions to compare (default: 2 when replicated)",
    )
    run.add_argument(
        "--colluders",
        dest="colluders_permille",
        type=_colluders,
        default=0,
        metavar="PERCENT",
        help="with quorum: so many nodes that collude shall not make all of it (default: 20%%)",
    )
    _add_placement(run)


def _add_placement(run: Parser) -> None:
    """Add which nodes are asked, when, and how often."""
    run.add_argument(
        "--class",
        dest="task_class",
        type=word,
        metavar="NAME",
        help="the sort of task it is, of those the cluster knows (default: general)",
    )
    run.add_argument(
        "--label",
        dest="labels",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only on nodes that are this, or are not: KEY!=VALUE; of owner, region, kind, engine "
        "and the owners' own labels",
    )
    run.add_argument(
        "--distinct",
        action="append",
        metavar="KEY",
        help="replicas differ in this label, where nodes allow (default: owner and region)",
    )
    run.add_argument(
        "--priority",
        type=int,
        choices=range(10),
        default=4,
        metavar="N",
        help="0 to 9: each step counts as a minute of waiting (default: 4)",
    )
    run.add_argument(
        "--deadline",
        type=span,
        default=0.0,
        metavar="S",
        help="give up, and get the fee back, if not all have answered in S seconds",
    )
    run.add_argument(
        "--attempts",
        type=positive,
        default=0,
        metavar="N",
        help="workers to try for each replica (default: the cluster's)",
    )
    run.add_argument(
        "--marks",
        type=positive,
        default=0,
        metavar="N",
        help="let who has the task next go on from up to N states of it, 1 to 16, if its worker is "
        "lost or too hot (assurance none only; each costs a 64th of the fee)",
    )
    run.add_argument(
        "--strategy",
        type=word,
        metavar="NAME",
        help="weighted, round-robin, least-loaded, latency-aware, carbon-aware or locality-aware "
        "(default: the cluster's)",
    )


def _add_limits(run: Parser) -> None:
    """Add what an execution may use besides gas; a bundle's outputs share theirs."""
    run.add_argument(
        "--memory-max",
        type=_some_bytes,
        default=0,
        metavar="SIZE",
        help="memory it may use (default: [execution] memory_bytes_max of this node)",
    )
    run.add_argument(
        "--wall-max",
        type=span,
        default=0.0,
        metavar="S",
        help="seconds an execution may take (default: [execution] wall_ms_max of this node)",
    )
    run.add_argument(
        "--output-max",
        type=_some_bytes,
        default=0,
        metavar="SIZE",
        help="output it may have (default: 16MiB, or less where this node's [limits] say so)",
    )


def _some_bytes(text: str) -> int:
    """Read a number of bytes that is not 0, as 0 stands for what the node allows."""
    value = size(text)
    if value == 0:
        msg = f"{text!r} is too little: 1 byte or more; without it holds what the node allows"
        raise argparse.ArgumentTypeError(msg)
    return value


def _colluders(text: str) -> int:
    """Read a share of all nodes, up to half; give it in permille."""
    number = text.removesuffix("%")
    value = int(number) if re.fullmatch("[0-9]{1,3}", number) else 0
    if not 1 <= value <= 50:
        msg = f"{text!r} is no share from 1% to 50%: more colluders than that are the cluster"
        raise argparse.ArgumentTypeError(msg)
    return value * 10


def _add_proof(run: Parser) -> None:
    """Add what the proof of a proven task may take and pays."""
    run.add_argument(
        "--cycles-max",
        type=positive,
        default=0,
        metavar="N",
        help="with proven: the most cycles to prove, a small task has 65536 (default: 1048576)",
    )
    run.add_argument(
        "--cycle-price",
        type=positive,
        default=0,
        metavar="MSAT",
        help="with proven: for a million cycles (default: what a million gas cost at least)",
    )
