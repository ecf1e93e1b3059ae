"""The commands about the peg, their options and help texts."""

from ambientd.cli.parsing import command, group, outpoint, positive, rate, whole_sat

_AMOUNT = "with its unit: 20000sat or 0.0002btc"


def add_peg(commands: object) -> None:
    """Add `peg`."""
    peg = group(commands, "peg", "bitcoin in and out of a cluster whose credits it stands behind")
    command(peg, "address", "peg_commands:address", "where this node pegs in")
    command(peg, "deposits", "peg_commands:deposits", "what came in for this node, and goes out")
    withdraw = command(
        peg, "withdraw", "peg_commands:withdraw", "send credits of this node to a Bitcoin address"
    )
    withdraw.add_argument("address", metavar="ADDRESS", help="of the cluster's Bitcoin network")
    withdraw.add_argument(
        "amount_sat", metavar="AMOUNT", type=whole_sat, help=f"how much, {_AMOUNT}"
    )
    withdraw.add_argument(
        "--rate",
        metavar="SAT/VB",
        type=rate,
        default=0,
        help="fee rate; the fee is taken from the amount (default: 2)",
    )
    back = command(
        peg, "return", "peg_commands:give_back", "send back what came in and is never credited"
    )
    back.add_argument(
        "outpoint", metavar="OUTPOINT", type=outpoint, help="as `peg deposits` names it"
    )
    back.add_argument("address", metavar="ADDRESS", help="where to, on the same Bitcoin network")
    back.add_argument(
        "--rate",
        metavar="SAT/VB",
        type=rate,
        default=0,
        help="fee rate; the fee is taken from what goes back (default: 2)",
    )
    raised = command(peg, "raise", "peg_commands:raise_fee", "pay more for a payment that waits")
    raised.add_argument("payment", metavar="PAYMENT", type=positive, help="its number")
    raised.add_argument(
        "fee_sat", metavar="AMOUNT", type=whole_sat, help=f"the whole fee, {_AMOUNT}"
    )
    for parser in (withdraw, back, raised):
        parser.add_argument("--yes", action="store_true", help="do not ask first")
    command(peg, "audit", "peg_commands:audit", "whether the coins cover what the ledger owes")
