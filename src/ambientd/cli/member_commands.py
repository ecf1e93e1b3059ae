"""ambientctl member list, ask, admit, remove, leave: the committee and its seats."""

from typing import Protocol

from ambientd.api import operations, replies, requests
from ambientd.api.client import Client
from ambientd.api.whole_lists import pages, whole
from ambientd.cli.console import (
    CommonArguments,
    confirm,
    connect,
    in_sat,
    in_words,
    print_json,
    print_line,
    print_table,
    short,
    tell,
    warn,
)
from ambientd.cli.exit_codes import ExitCode
from ambientd.cli.seat_words import still_waits


class AskArguments(CommonArguments, Protocol):
    """Options of `member ask`."""

    bond: int


class LeaveArguments(CommonArguments, Protocol):
    """Options of `member leave`."""

    yes: bool


class RemoveArguments(LeaveArguments, Protocol):
    """Options of `member remove`."""

    node: str


class AdmitArguments(CommonArguments, Protocol):
    """Options of `member admit`."""

    node: str
    instead: bool


def show(arguments: CommonArguments) -> ExitCode:
    """Show the committee, and who asks for a seat in it."""
    with connect(arguments) as client:
        answer = _committee(client)
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    members = sum(seat.member for seat in answer.seats)
    print_line(
        f"epoch {answer.epoch} since block {answer.since_height}: "
        f"{in_words(members, 'member')}, {answer.quorum} are a quorum"
    )
    print_line(f"its hash, for `trusted_epoch` elsewhere: {answer.epoch}:{answer.epoch_hash}")
    knowing = sum(seat.known_version > answer.state_version for seat in answer.seats)
    following = f"; {knowing} of them know version {answer.state_version + 1}" if knowing else ""
    print_line(f"state version {answer.state_version}{following}")
    columns = ("ID", "NAME", "SEAT", "NEXT", "STANDING", "BOND", "IN", "OUT", "KNOWS")
    print_table(columns, [_row(seat, answer.self_id) for seat in answer.seats])
    return ExitCode.DONE


def _row(seat: replies.SeatInfo, self_id: str) -> tuple[str, ...]:
    name = f"{seat.name} (this node)" if seat.id == self_id else seat.name
    state = "member" if seat.member else "asks" if seat.asking else "none"
    following = "" if seat.next is None else "member" if seat.next else "none"
    out = sum(word.wish == "out" for word in seat.words)
    return (
        short(seat.id),
        name,
        f"{state}, convicted" if seat.tombstoned else state,
        following,
        str(seat.standing),
        in_sat(seat.bond_msat),
        str(len(seat.words) - out),
        str(out),
        str(seat.known_version) if seat.member else "",
    )


def ask(arguments: AskArguments) -> ExitCode:
    """Ask for a seat for this node."""
    with connect(arguments) as client:
        request = requests.AskForSeat(bond_msat=arguments.bond)
        answer = client.call(operations.MEMBER_ASK, request)
    if arguments.as_json:
        print_json(answer)
    else:
        print_line("asked; each member's owner decides with `ambientctl member admit`:")
        print_line(f"  ambientctl member admit {answer.node}")
    return ExitCode.DONE


def admit(arguments: AdmitArguments) -> ExitCode:
    """Let a node in, as far as this node goes."""
    wish = "instead" if arguments.instead else "in"
    with connect(arguments) as client:
        request = requests.VoteOnSeat(wish=wish, node=arguments.node)
        answer = client.call(operations.MEMBER_VOTE, request)
        if wish == "in" and not arguments.as_json:
            members = _members(client) | {answer.node}
            tell(f"with it {in_words(len(members), 'member')} keep the log: {_needs(members)}")
        elif answer.epoch_due is None and not arguments.as_json:
            tell(still_waits(_committee(client), answer.node))
    return _report(arguments, answer)


def remove(arguments: RemoveArguments) -> ExitCode:
    """Let a member go, as far as this node goes."""
    return _let_go(arguments, arguments.node)


def leave(arguments: LeaveArguments) -> ExitCode:
    """Give this node's seat back."""
    return _let_go(arguments, None)


def _let_go(arguments: LeaveArguments, name: str | None) -> ExitCode:
    """Say what is lost with a member, and ask; who only asks for a seat can lose none."""
    with connect(arguments) as client:
        node = client.call(operations.ACCOUNT_SHOW, requests.ShowAccount(node=name))
        members = _members(client)
        left = members - {node.node}
        if left and left != members:
            loss = f"of {in_words(len(members), 'member')} {len(left)} stay: {_needs(left)}"
            who = "this node" if name is None else f"{node.name} {node.node}"
            if arguments.yes:
                tell(loss)
            if not confirm(f"{loss}; let {who} go?", is_sure=arguments.yes):
                warn("nothing was said")
                return ExitCode.FAILED
        request = requests.VoteOnSeat(wish="out", node=node.node)
        answer = client.call(operations.MEMBER_VOTE, request)
    return _report(arguments, answer)


def _committee(client: Client) -> replies.Members:
    return whole(pages(client.call, operations.MEMBER_LIST, requests.ListMembers()), "seats")


def _members(client: Client) -> set[str]:
    answer = _committee(client)
    return {seat.id for seat in answer.seats if seat.member}


def _needs(members: set[str]) -> str:
    """Say what a committee needs."""
    from ambientd.rules.verdicts import quorum

    needed = quorum(len(members))
    return f"{needed} are a quorum, {len(members) - needed} may fail"


def _report(arguments: CommonArguments, answer: replies.SeatSaid) -> ExitCode:
    if arguments.as_json:
        print_json(answer)
    elif answer.epoch_due is None:
        print_line(f"said: {short(answer.node)} {answer.wish}; epoch {answer.epoch} goes on")
    else:
        print_line(f"said: {short(answer.node)} {answer.wish}; epoch {answer.epoch_due} is due")
    return ExitCode.DONE
