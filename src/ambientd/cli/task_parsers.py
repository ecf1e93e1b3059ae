"""The commands about tasks and receipts, their options and help texts."""

from ambientd.cli.parsing import WHERE_TO, add_engine, command, count, group, limit, seconds, word
from ambientd.cli.run_parser import add_run


def add_task(commands: object) -> None:
    """Add `task`."""
    task = group(commands, "task", "look at tasks, take them back")
    add_run(task, "the same as `run`: execute a module on the mesh")
    listed = command(task, "list", "task_commands:list_tasks", "tasks, the newest first")
    listed.add_argument(
        "--limit", type=limit, default=50, metavar="N", help="how many (default: 50)"
    )
    listed.add_argument("--state", type=word, metavar="STATE", help="in this state only")
    show = command(task, "show", "task_commands:show", "everything about a task")
    show.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    why = command(task, "why", "why_command:why", "why a task is where it is")
    why.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    watch = command(task, "watch", "watch_command:watch", "a task's timeline, live, to its end")
    watch.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    watch.add_argument(
        "--wait-anchor", action="store_true", help="wait until the receipt is in a Bitcoin block"
    )
    watch.add_argument(
        "--timeout",
        type=seconds,
        default=31_536_000.0,
        metavar="S",
        help="seconds to watch (default: a year)",
    )
    logs = command(
        task,
        "logs",
        "logs_command:logs",
        "execute a task again here, for what its module writes to its standard error",
    )
    logs.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    logs.add_argument(
        "--item", type=count, metavar="K", help="of a bundle, the one of this place; the first is 0"
    )
    logs.add_argument(
        "--engine",
        default="wasmtime",
        metavar="NAME",
        help="wasmtime, wasmer or wasmi (default: wasmtime)",
    )
    logs.add_argument(
        "--sandbox",
        choices=("required", "best-effort"),
        default="required",
        help="whether a platform may lack a protection of worker processes (default: required)",
    )
    cancel = command(
        task,
        "cancel",
        "task_commands:cancel",
        "take a task back before its answers are sealed, or while it waits for the log",
    )
    cancel.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    output = command(
        task, "output", "task_commands:output", "the output of a task, or of one item of a bundle"
    )
    output.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    output.add_argument(
        "--item", type=count, metavar="K", help="of a bundle, the one of this place; the first is 0"
    )
    output.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"{WHERE_TO} (default: print it)",
    )


def add_receipt(commands: object) -> None:
    """Add `receipt`."""
    receipt = group(commands, "receipt", "get and check receipts")
    get = command(
        receipt,
        "get",
        "receipt_commands:get",
        "the receipt file of a task, or of one item of a bundle",
    )
    get.add_argument("task", metavar="ID", help="its id, or an unambiguous start of it")
    get.add_argument(
        "--item", type=count, metavar="K", help="of a bundle, the one of this place; the first is 0"
    )
    get.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help=f"{WHERE_TO} (default: ID.receipt)",
    )
    verify = command(
        receipt, "verify", "receipt_commands:verify", "check a receipt; no daemon, no network"
    )
    verify.if_too_many = ": one receipt is checked at a time, so name the files one after the other"
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
    verify.add_argument(
        "--proof", metavar="FILE", help="the proof that a proven task's receipt names, to verify it"
    )
    verify.add_argument(
        "--module", metavar="FILE", help="with --proof: the module that it must be about"
    )
    verify.add_argument(
        "--images",
        metavar="FILE",
        help="with --proof: what members say of the module's own image, from `image show -o`",
    )
    verify.add_argument(
        "--image", metavar="ID|FILE", help="with --proof: the image that the module becomes"
    )
    verify.add_argument(
        "--verifier",
        metavar="PATH",
        help="with --proof: the program ambient-verify (default: beside Python, or on the path)",
    )
    _add_replay(receipt)
    export = command(
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


def _add_replay(receipt: object) -> None:
    replay = command(
        receipt,
        "replay",
        "replay_commands:replay",
        "execute its task again, and see whose mark or answer was false; no daemon",
    )
    replay.add_argument("file", metavar="FILE", help="a receipt file")
    replay.add_argument("--module", metavar="FILE", required=True, help="the task's module")
    replay.add_argument("--input", metavar="FILE", required=True, help="the task's input")
    replay.add_argument(
        "--cluster", metavar="FINGERPRINT", help="the cluster you trust, from `ambientctl status`"
    )
    add_engine(replay)
