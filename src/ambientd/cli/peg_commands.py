"""ambientctl peg address, deposits, withdraw, return, raise, audit: bitcoin in and out."""

from typing import Protocol, assert_never

from ambientd.api import operations, peg_values
from ambientd.api.peg_values import PegInState
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_sat,
    in_words,
    print_fields,
    print_json,
    print_line,
    print_table,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode

MSAT = 1_000


class WithdrawArguments(CommonArguments, Protocol):
    """Options of `peg withdraw`."""

    address: str
    amount_sat: int
    rate: int
    yes: bool


class ReturnArguments(CommonArguments, Protocol):
    """Options of `peg return`."""

    outpoint: str
    address: str
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
            ("counts", f"after {in_words(answer.confirmations, 'confirmation')}"),
            ("least", f"{_sat(answer.least_sat)}; less is not credited, see `peg return`"),
            ("room", _room(answer)),
            ("fee", f"{_sat(answer.fee_sat)} of each peg-in, for sweeping its coin later"),
            ("wallet", f"{answer.wallet}: {answer.descriptor}"),
        ]
    )
    _warn_of(answer.unaudited)
    tell("ask again before each peg-in: when the committee changes, so does the address")
    return ExitCode.DONE


def deposits(arguments: CommonArguments) -> ExitCode:
    """List what came in for this node, and what goes out."""
    with connect(arguments) as client:
        found = pages(client.call, operations.PEG_LIST, peg_values.ListPeg())
        answer = whole(found, "peg_ins", "payments")
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if answer.peg_ins:
        rows = [(each.outpoint, _sat(each.value_sat), _progress(each)) for each in answer.peg_ins]
        print_table(("PEG-IN", "AMOUNT", "STATE"), rows)
    if answer.payments:
        _print_payments(answer.payments)
    if not answer.peg_ins and not answer.payments:
        print_line("nothing has come in for this node; see `ambientctl peg address`")
    if answer.unseen:
        tell(f"peg-ins that do not count yet may be missing here: {answer.unseen}")
    return ExitCode.DONE


def withdraw(arguments: WithdrawArguments) -> ExitCode:
    """Send credits to a Bitcoin address."""
    wanted = peg_values.QuoteWithdrawal(
        address=arguments.address, amount_sat=arguments.amount_sat, rate_msat_vb=arguments.rate
    )
    with connect(arguments) as client:
        quote = client.call(operations.PEG_QUOTE, wanted)
        text = (
            f"{_sat(quote.amount_sat)} go off the balance, {_sat(quote.fee_sat)} of it in fees; "
            f"{_sat(quote.arrives_sat)} arrive at {arguments.address}"
        )
        if arguments.yes:
            tell(text)
        if not confirm(f"{text}; it cannot be taken back: withdraw?", is_sure=arguments.yes):
            warn("nothing was withdrawn")
            return ExitCode.FAILED
        request = peg_values.Withdraw(
            address=arguments.address, amount_sat=arguments.amount_sat, fee_sat=quote.fee_sat
        )
        answer = client.call(operations.PEG_WITHDRAW, request)
    return _report(arguments, answer)


def give_back(arguments: ReturnArguments) -> ExitCode:
    """Send back what came in and is never credited."""
    wanted = peg_values.QuoteReturn(
        outpoint=arguments.outpoint, address=arguments.address, rate_msat_vb=arguments.rate
    )
    with connect(arguments) as client:
        quote = client.call(operations.PEG_RETURN_QUOTE, wanted)
        text = (
            f"{_sat(quote.value_sat)} go back, {_sat(quote.fee_sat)} of it in fees; "
            f"{_sat(quote.arrives_sat)} arrive at {arguments.address}"
        )
        if arguments.yes:
            tell(text)
        if not confirm(f"{text}; it cannot be taken back: return it?", is_sure=arguments.yes):
            warn("nothing was returned")
            return ExitCode.FAILED
        request = peg_values.ReturnPegIn(
            outpoint=arguments.outpoint, address=arguments.address, fee_sat=quote.fee_sat
        )
        answer = client.call(operations.PEG_RETURN, request)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    if answer.payment:
        print_line(f"payment {answer.payment} brings it back: see `ambientctl peg deposits`")
    else:
        print_line("it goes back once enough members have seen it: see `ambientctl peg deposits`")
    return ExitCode.DONE


def raise_fee(arguments: RaiseArguments) -> ExitCode:
    """Pay more for a payment that waits."""
    paid = f"pay {_sat(arguments.fee_sat)} in all for payment {arguments.payment}"
    question = f"{paid}? as much less arrives as that is above its last fee"
    if not confirm(question, is_sure=arguments.yes):
        warn("nothing was raised")
        return ExitCode.FAILED
    request = peg_values.RaiseFee(payment=arguments.payment, fee_sat=arguments.fee_sat)
    with connect(arguments) as client:
        answer = client.call(operations.PEG_RAISE, request)
    return _report(arguments, answer)


def audit(arguments: CommonArguments) -> ExitCode:
    """Compare coins with what is owed; fail when they do not cover it, or nobody looked."""
    with connect(arguments) as client:
        found = pages(client.call, operations.PEG_AUDIT, peg_values.AuditPeg())
        answer = whole(found, "coins")
    is_seen = all(coin.is_unspent is not None for coin in answer.coins)
    is_sound = is_seen and not answer.unseen and not answer.fault and not answer.missing_sat
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE if is_sound else ExitCode.NOT_VERIFIED
    print_fields(
        [
            ("network", answer.network),
            ("at most", _sat(answer.most_sat) if answer.most_sat else "no bound"),
            ("coins", f"{_sat(answer.held_sat)}, and {_sat(answer.reserved_sat)} being spent"),
            ("waiting", f"{_sat(answer.waiting_sat)} besides, which does not count yet"),
            ("owed", in_sat(answer.owed_msat)),
            ("came in", _sat(answer.in_sat)),
            ("went out", f"{_sat(answer.out_sat)}, and {_sat(answer.fees_sat)} in fees"),
            ("books", answer.fault or "reserves equal liabilities"),
            ("chain", _chain(answer)),
        ]
    )
    _warn_of(answer.unaudited)
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


def _room(answer: peg_values.PegAddressReply) -> str:
    if not answer.most_sat:
        return "no bound"
    return (
        f"{_sat(answer.room_sat)} of {_sat(answer.most_sat)} that the peg holds at most; "
        "a peg-in that does not fit waits, one above that for ever"
    )


def _warn_of(unaudited: tuple[str, ...]) -> None:
    for each in unaudited:
        warn(f"REAL BITCOIN, NOT AUDITED: {each}")


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
            _sat(each.arrives_sat),
            each.txid,
        )
        for each in payments
    ]
    print_table(("PAYMENT", "KIND", "STATE", "AMOUNT", "FEE", "ARRIVES", "TRANSACTION"), rows)


def _progress(peg_in: peg_values.PegInInfo) -> str:
    deep = f"{peg_in.confirmations} of {in_words(peg_in.confirmations_needed, 'confirmation')}"
    after = ", then brought over from the earlier wallet" if peg_in.is_late else ""
    match peg_in.state:
        case PegInState.TOO_SMALL:
            return f"too small to count: {_way_back(peg_in)}"
        case PegInState.CONFIRMING:
            return f"{deep}, {_when(peg_in)}{after}"
        case PegInState.AWAITED:
            return f"{deep}, waits for the members to see it{after}"
        case PegInState.CLAIMED:
            return f"seen by {peg_in.members} of the {peg_in.members_needed} members needed{after}"
        case PegInState.WAITING:
            waits = "waits: the peg holds as much as it may, until enough has gone out"
            return f"{waits}{after}; or {_way_back(peg_in)}"
        case PegInState.TOO_LARGE:
            return f"above the most that the peg may ever take at once: {_way_back(peg_in)}"
        case PegInState.TOO_LONG:
            return (
                "never counts, nor can it go back: without its witness its transaction has more "
                "than the 100,000 bytes that the log takes"
            )
        case PegInState.LATE:
            return f"credited when payment {peg_in.payment} has brought it over"
        case PegInState.COUNTED:
            return "counted"
        case PegInState.RETURN_ASKED:
            seen = f"{peg_in.members} of the {peg_in.members_needed} members needed"
            return f"goes back once it is deep enough and seen by {seen}"
        case PegInState.RETURNING:
            return f"goes back with payment {peg_in.payment}"
        case PegInState.RETURNED:
            return "went back"
        case _:
            assert_never(peg_in.state)


def _way_back(peg_in: peg_values.PegInInfo) -> str:
    if not peg_in.return_sat:
        return "nor would enough be left after the fee to send it back"
    return (
        f"`ambientctl peg return {peg_in.outpoint} ADDRESS` sends it back "
        f"for {_sat(peg_in.return_sat)} or more"
    )


def _when(peg_in: peg_values.PegInInfo) -> str:
    if peg_in.due_s is not None:
        return f"credited in about {in_words(peg_in.due_s // 60, 'minute')}"
    left = peg_in.confirmations_needed - (peg_in.confirmations or 0)
    return f"credited after {in_words(left, 'Bitcoin block')} more"


def _chain(answer: peg_values.PegAudit) -> str:
    if answer.unseen:
        return f"NOT ALL IS KNOWN: {answer.unseen}"
    if any(coin.is_unspent is None for coin in answer.coins):
        return "this node has none: compare the coins below with one"
    if answer.missing_sat:
        return f"{_sat(answer.missing_sat)} that the ledger holds are NOT THERE"
    return "every coin that the ledger holds is there"


def _on_chain(is_unspent: bool | None) -> str:
    return {None: "?", True: "unspent", False: "gone"}[is_unspent]


def _sat(amount: int) -> str:
    return in_sat(amount * MSAT)
