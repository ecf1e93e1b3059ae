"""The commands about credits, their options and help texts."""

from ambientd.cli.parsing import NODE, amount, command, group, limit

_AMOUNT = "how much: 1500 or 1500msat, 1.5sat or 0.0001btc"


def add_account(commands: object) -> None:
    """Add `account`."""
    account = group(commands, "account", "what a node has: pass it on, put it at risk, get it back")
    show = command(account, "show", "account_commands:show", "balance, bond, and what is under way")
    show.add_argument(
        "node",
        metavar="NODE",
        nargs="?",
        help=f"{NODE} (default: this node)",
    )
    command(account, "list", "account_commands:list_all", "what everybody has")
    history = command(
        account,
        "history",
        "account_commands:history",
        "what tasks moved of a node's credits, the newest first",
    )
    history.add_argument("node", metavar="NODE", nargs="?", help=f"{NODE} (default: this node)")
    history.add_argument(
        "--limit", type=limit, default=50, metavar="N", help="how many (default: 50)"
    )
    transfer = command(
        account, "transfer", "account_commands:transfer", "send credits of this node to another"
    )
    transfer.add_argument("to", metavar="NODE", help=f"who gets them: {NODE}")
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
