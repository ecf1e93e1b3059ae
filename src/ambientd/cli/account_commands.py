"""ambientctl account show, list, history, transfer, bond, unbond: a node's credits."""

from typing import Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.account_values import AccountLine, ListAccounts, ShowHistory
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_sat,
    in_sat_and_msat,
    on_day,
    print_fields,
    print_json,
    print_line,
    print_table,
    short,
    warn,
)
from ambientd.cli.exit_codes import ExitCode

_HOLDS = {
    "seat": "once it has left the committee and waited again",
    "task": "once the tasks that it works on have ended",
}


class ShowArguments(CommonArguments, Protocol):
    """Options of `account show`."""

    node: str | None


class HistoryArguments(ShowArguments, Protocol):
    """Options of `account history`."""

    limit: int


class AmountArguments(CommonArguments, Protocol):
    """Options of `account bond` and `account unbond`."""

    amount: int
    yes: bool


class TransferArguments(AmountArguments, Protocol):
    """Options of `account transfer`."""

    to: str


def show(arguments: ShowArguments) -> ExitCode:
    """Show what a node has."""
    request = requests.ShowAccount(node=arguments.node)
    with connect(arguments) as client:
        account = client.call(operations.ACCOUNT_SHOW, request)
    if arguments.as_json:
        print_json(account)
    else:
        print_fields(_fields(account))
    return ExitCode.DONE


def list_all(arguments: CommonArguments) -> ExitCode:
    """List everybody's accounts, page by page."""
    with connect(arguments) as client:
        answer = whole(pages(client.call, operations.ACCOUNT_LIST, ListAccounts()), "accounts")
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    rows = [
        (short(each.node), each.name, *map(in_sat, _amounts(each)), "convicted" * each.tombstoned)
        for each in answer.accounts
    ]
    print_table(("ID", "NAME", "BALANCE", "BOND", "ON ITS WAY BACK", ""), rows)
    return ExitCode.DONE


def _amounts(line: AccountLine) -> tuple[int, int, int]:
    return line.balance_msat, line.bond_msat, line.waiting_msat


def history(arguments: HistoryArguments) -> ExitCode:
    """Tell what tasks moved of a node's credits."""
    request = ShowHistory(node=arguments.node)
    with connect(arguments) as client:
        found = pages(client.call, operations.ACCOUNT_HISTORY, request, arguments.limit)
        answer = whole(found, "entries")
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    rows = [
        (on_day(each.time_ms), each.kind, in_sat(each.amount_msat), short(each.task))
        for each in answer.entries
    ]
    print_table(("TIME", "WHAT", "AMOUNT", "TASK"), rows)
    if answer.next is not None:
        print_line(f"{len(rows)} of {answer.total:,} that the ledger still holds")
    return ExitCode.DONE


def transfer(arguments: TransferArguments) -> ExitCode:
    """Send credits to another node."""
    with connect(arguments) as client:
        wanted = requests.ShowAccount(node=arguments.to)
        recipient = client.call(operations.ACCOUNT_SHOW, wanted)
        amount = in_sat_and_msat(arguments.amount)
        who = f"{recipient.name} {recipient.node}"
        if not confirm(f"send {amount} to {who}?", is_sure=arguments.yes):
            return _nothing_moved()
        request = requests.TransferCredits(to=recipient.node, amount_msat=arguments.amount)
        moved = client.call(operations.ACCOUNT_TRANSFER, request)
    return _report(arguments, moved, f"sent {amount} to {recipient.name} {short(recipient.node)}")


def bond(arguments: AmountArguments) -> ExitCode:
    """Put credits at risk."""
    amount = in_sat_and_msat(arguments.amount)
    question = f"put {amount} of this node at risk? it is lost if the node is convicted of a lie"
    if not confirm(question, is_sure=arguments.yes):
        return _nothing_moved()
    with connect(arguments) as client:
        request = requests.RaiseBond(amount_msat=arguments.amount)
        moved = client.call(operations.ACCOUNT_BOND, request)
    return _report(arguments, moved, f"put {amount} at risk")


def unbond(arguments: AmountArguments) -> ExitCode:
    """Ask for bond back."""
    amount = in_sat_and_msat(arguments.amount)
    with connect(arguments) as client:
        account = client.call(operations.ACCOUNT_SHOW, requests.ShowAccount())
        also = in_sat_and_msat(account.waiting_msat)
        anew = f" {also} that wait already wait anew" if account.waiting_msat else ""
        question = f"ask for {amount} of this node's bond back?{anew}"
        if not confirm(question, is_sure=arguments.yes):
            return _nothing_moved()
        request = requests.AskBondBack(amount_msat=arguments.amount)
        moved = client.call(operations.ACCOUNT_UNBOND, request)
    return _report(arguments, moved, f"asked for {amount} of the bond back")


def _nothing_moved() -> ExitCode:
    warn("nothing was moved")
    return ExitCode.FAILED


def _report(arguments: CommonArguments, moved: replies.AccountMoved, text: str) -> ExitCode:
    if arguments.as_json:
        print_json(moved)
    else:
        print_line(f"{text}; the log has it")
        print_fields(_fields(moved.account))
    return ExitCode.DONE


def _fields(account: replies.Account) -> list[tuple[str, str]]:
    fields = [
        ("node", f"{account.name} {account.node}"),
        ("balance", in_sat_and_msat(account.balance_msat)),
        ("in escrow", f"{in_sat_and_msat(account.escrow_msat)} for its open tasks"),
        ("bond", in_sat_and_msat(account.bond_msat)),
    ]
    if account.vests_ms is not None:
        vesting = f"{in_sat_and_msat(account.unvested_msat)}, the first on"
        until = f"{on_day(account.vests_ms)} unless an audit finds it wrong"
        fields.append(("vesting", f"{vesting} {until}"))
    if account.due_ms is not None:
        waiting = f"{in_sat_and_msat(account.waiting_msat)} of the bond, still at risk"
        back = _HOLDS.get(account.held_by, f"on {on_day(account.due_ms)}")
        if account.held_by and account.due_ms > account.time_ms:
            back = f"on {on_day(account.due_ms)}, and {back}"
        fields.append(("coming back", f"{waiting}; {back}"))
    if account.tombstoned:
        fields.append(("convicted", "it moves no money any more"))
    return fields
