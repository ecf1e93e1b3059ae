"""The commands about seats, backups and the demonstration, their options and help texts."""

from argparse import ArgumentParser

from ambientd.cli.parsing import NODE, amount, command, count, group


def add_member(commands: object) -> None:
    """Add `member`."""
    member = group(commands, "member", "who keeps the log: ask for a seat, let in, let go")
    command(member, "list", "member_commands:show", "the committee, and who asks for a seat")
    ask = command(
        member, "ask", "member_commands:ask", "ask for a seat for this node; a quorum decides"
    )
    ask.add_argument(
        "--bond",
        type=amount,
        default=0,
        metavar="AMOUNT",
        help="what of its balance to put at risk: 1500sat, 0.0001btc, or millisatoshi without a "
        "unit (default: nothing)",
    )
    admit = command(
        member, "admit", "member_commands:admit", "let a node in that asks, as far as this one goes"
    )
    admit.add_argument(
        "--instead",
        action="store_true",
        help="only for a seat that another gives up, or in the place of a member that stands lower",
    )
    remove = command(
        member, "remove", "member_commands:remove", "let a member go, as far as this one goes"
    )
    for parser in (admit, remove):
        parser.add_argument("node", metavar="NODE", help=NODE)
    leave = command(
        member, "leave", "member_commands:leave", "give this node's seat back, or stop asking"
    )
    for parser in (remove, leave):
        parser.add_argument("--yes", action="store_true", help="do not ask first")


def add_backup(commands: object) -> None:
    """Add `backup`."""
    backup = group(commands, "backup", "keep the log in a file, make a node's store of it")
    create = command(
        backup, "create", "backup_commands:create", "write the log to a file; the node goes on"
    )
    create.add_argument("file", metavar="FILE", help="a new file, or s3://BUCKET/FOLDER/NAME")
    create.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="AGE1...",
        help="seal it to this public key; say it again for others (default: it lies in the clear)",
    )
    verify = command(
        backup,
        "verify",
        "backup_commands:verify",
        "check every block and certificate of a copy; needs no daemon",
    )
    verify.add_argument("file", metavar="FILE", help="of `backup create`; also s3://...")
    _add_identity(verify)
    _add_restore(backup, "make the store of a node that has none; its key never votes again")
    key = command(
        backup,
        "key",
        "backup_commands:key",
        "draw a secret key that copies can be sealed to; print the public one",
    )
    key.add_argument("file", metavar="FILE", help="a new file; keep it apart from the node")


def add_restore(commands: object) -> None:
    """Add `restore`, by which many look for `backup restore`."""
    _add_restore(commands, "the same as `backup restore`: make a node's store of a copy")


def _add_restore(commands: object, text: str) -> None:
    restore = command(commands, "restore", "backup_commands:restore", text)
    restore.add_argument("file", metavar="FILE", help="of `backup create`; also s3://...")
    restore.add_argument(
        "--height",
        type=count,
        default=None,
        metavar="H",
        help="as of this block, or a little before (default: all)",
    )
    _add_identity(restore)


def _add_identity(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--identity",
        metavar="FILE",
        help="the secret key that opens a sealed copy, of `backup key` or of age",
    )


def add_demo(commands: object) -> None:
    """Add `demo`."""
    demo = command(
        commands, "demo", "demo:run", "a whole mesh on this machine, a liar caught, a receipt"
    )
    demo.add_argument("--nodes", type=count, default=4, metavar="N", help="daemons (default: 4)")
    demo.add_argument(
        "--liars",
        type=count,
        default=None,
        metavar="K",
        help="of which lie (default: 1, or none where the committee is too small)",
    )
    demo.add_argument("--keep", action="store_true", help="leave the files for a look afterwards")
    demo.add_argument(
        "--dir", metavar="DIR", help="a new or empty folder (default: a temporary one)"
    )
