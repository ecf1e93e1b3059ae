"""The commands about credits, their options and help texts."""

from ambientd.cli.parsing import amount, command, group

_AMOUNT = "how much: 1500 or 1500msat, or 1.5sat"


def add_account(commands: object) -> None:
    """Add `account`."""
    account = group(commands, "account", "what a node has: pass it on, put it at risk, get it back")
    show = command(account, "show", "account_commands:show", "balance, bond, and what is under way")
    show.add_argument(
        "node",
        metavar="NODE",
        nargs="?",
        help="its id, or an unambiguous start of it (default: this node)",
    )
    transfer = command(
        account, "transfer", "account_commands:transfer", "send credits of this node to another"
    )
    transfer.add_argument(
        "to", metavar="NODE", help="who gets them: its id, or an unambiguous start of it"
    )
    bond = command(account, "bond", "account_commands:bond", "put credits of this node at risk")
    unbond = command(
        account,
        "unbond",
        "account_commands:unbond",
        "ask for bond of this node back, which stays at risk for a while",
    )
    for parser in (transfer, bond, unbond):
        parser.add_argument("amount", metavar="AMOUNT", type=amount, help=_AMOUNT)
        parser.add_argument("--yes", action="store_true", help="do not ask first")
