"""ambientctl peg address, deposits, withdraw, raise, audit: bitcoin in and out."""

from typing import Protocol

from ambientd.api import operations, peg_values
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_sat,
    print_fields,
    print_json,
    print_line,
    print_table,
    tell,
)
from ambientd.cli.exit_codes import ExitCode

MSAT = 1_000


class WithdrawArguments(CommonArguments, Protocol):
    """Options of `peg withdraw`."""

    address: str
    amount_sat: int
    rate: int
    yes: bool


class RaiseArguments(CommonArguments, Protocol):
    """Options of `peg raise`."""

    payment: int
    fee_sat: int
    yes: bool


def address(arguments: CommonArguments) -> ExitCode:
    """Show where this node pegs in."""
    with connect(arguments) as client:
        answer = client.call(operations.PEG_ADDRESS, peg_values.GetPegAddress())
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    print_fields(
        [
            ("address", answer.address),
            ("network", answer.network),
            ("counts", f"after {answer.confirmations} confirmations"),
            ("least", f"{_sat(answer.least_sat)}; less is lost"),
            ("fee", f"{_sat(answer.fee_sat)} of each peg-in, for sweeping its coin later"),
            ("wallet", f"{answer.wallet}: {answer.descriptor}"),
        ]
    )
    tell("ask again before each peg-in: when the committee changes, so does the address")
    return ExitCode.DONE


def deposits(arguments: CommonArguments) -> ExitCode:
    """List what came in for this node, and what goes out."""
    with connect(arguments) as client:
        answer = client.call(operations.PEG_LIST, peg_values.ListPeg())
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if answer.peg_ins:
        rows = [(each.outpoint, _sat(each.value_sat), _seen(each)) for each in answer.peg_ins]
        print_table(("PEG-IN", "AMOUNT", "STATE"), rows)
    if answer.payments:
        _print_payments(answer.payments)
    if not answer.peg_ins and not answer.payments:
        print_line("nothing has come in for this node; see `ambientctl peg address`")
    return ExitCode.DONE


def withdraw(arguments: WithdrawArguments) -> ExitCode:
    """Send credits to a Bitcoin address."""
    amount = _sat(arguments.amount_sat)
    question = f"withdraw {amount}, less the fee, to {arguments.address}? it cannot be taken back"
    if not confirm(question, is_sure=arguments.yes):
        tell("nothing was withdrawn")
        return ExitCode.FAILED
    request = peg_values.Withdraw(
        address=arguments.address, amount_sat=arguments.amount_sat, rate_msat_vb=arguments.rate
    )
    with connect(arguments) as client:
        answer = client.call(operations.PEG_WITHDRAW, request)
    return _report(arguments, answer)


def raise_fee(arguments: RaiseArguments) -> ExitCode:
    """Pay more for a payment that waits."""
    question = f"pay {_sat(arguments.fee_sat)} in all for payment {arguments.payment}?"
    if not confirm(question, is_sure=arguments.yes):
        tell("nothing was raised")
        return ExitCode.FAILED
    request = peg_values.RaiseFee(payment=arguments.payment, fee_sat=arguments.fee_sat)
    with connect(arguments) as client:
        answer = client.call(operations.PEG_RAISE, request)
    return _report(arguments, answer)


def audit(arguments: CommonArguments) -> ExitCode:
    """Compare coins with what is owed; fail when they do not cover it, or nobody looked."""
    with connect(arguments) as client:
        answer = client.call(operations.PEG_AUDIT, peg_values.AuditPeg())
    is_seen = all(coin.is_unspent is not None for coin in answer.coins)
    is_sound = is_seen and not answer.fault and not answer.missing_sat
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE if is_sound else ExitCode.NOT_VERIFIED
    print_fields(
        [
            ("network", answer.network),
            ("coins", f"{_sat(answer.held_sat)}, and {_sat(answer.reserved_sat)} being spent"),
            ("owed", in_sat(answer.owed_msat)),
            ("came in", _sat(answer.in_sat)),
            ("went out", f"{_sat(answer.out_sat)}, and {_sat(answer.fees_sat)} in fees"),
            ("books", answer.fault or "reserves equal liabilities"),
            ("chain", _chain(answer)),
        ]
    )
    for each in answer.descriptors:
        print_line(each)
    rows = [
        (each.outpoint, _sat(each.value_sat), each.address, _on_chain(each.is_unspent))
        for each in answer.coins
    ]
    if rows:
        print_table(("COIN", "AMOUNT", "ADDRESS", "CHAIN"), rows)
    if answer.payments:
        _print_payments(answer.payments)
    return ExitCode.DONE if is_sound else ExitCode.NOT_VERIFIED


def _report(arguments: CommonArguments, payment: peg_values.PaymentInfo) -> ExitCode:
    if arguments.as_json:
        print_json(payment)
    else:
        _print_payments((payment,))
    return ExitCode.DONE


def _print_payments(payments: tuple[peg_values.PaymentInfo, ...]) -> None:
    rows = [
        (
            str(each.payment),
            each.kind,
            f"{each.state} ({each.signatures} of {each.needed})",
            _sat(each.amount_sat),
            _sat(each.fee_sat),
            each.txid,
        )
        for each in payments
    ]
    print_table(("PAYMENT", "KIND", "STATE", "AMOUNT", "FEE", "TRANSACTION"), rows)


def _seen(peg_in: peg_values.PegInInfo) -> str:
    if peg_in.state == "claimed":
        return f"seen by {peg_in.members}"
    return peg_in.state


def _chain(answer: peg_values.PegAudit) -> str:
    if any(coin.is_unspent is None for coin in answer.coins):
        return "this node has none: compare the coins below with one"
    if answer.missing_sat:
        return f"{_sat(answer.missing_sat)} that the ledger holds are NOT THERE"
    return "every coin that the ledger holds is there"


def _on_chain(is_unspent: bool | None) -> str:
    return {None: "?", True: "unspent", False: "gone"}[is_unspent]


def _sat(amount: int) -> str:
    return in_sat(amount * MSAT)
