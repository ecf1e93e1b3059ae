"""ambientctl member list, ask, admit, remove, leave: the committee and its seats."""

from typing import Protocol

from ambientd.api import operations, replies, requests
from ambientd.cli.console import (
    CommonArguments,
    connect,
    in_sat,
    in_words,
    print_json,
    print_line,
    print_table,
    short,
    tell,
)
from ambientd.cli.exit_codes import ExitCode


class AskArguments(CommonArguments, Protocol):
    """Options of `member ask`."""

    bond: int


class NodeArguments(CommonArguments, Protocol):
    """Options of `member remove`."""

    node: str


class AdmitArguments(NodeArguments, Protocol):
    """Options of `member admit`."""

    instead: bool


def show(arguments: CommonArguments) -> ExitCode:
    """Show the committee, and who asks for a seat in it."""
    with connect(arguments) as client:
        answer = client.call(operations.MEMBER_LIST, requests.ListMembers())
    if arguments.as_json:
        print_json(answer)
        return ExitCode.DONE
    members = sum(seat.member for seat in answer.seats)
    print_line(
        f"epoch {answer.epoch} since block {answer.since_height}: "
        f"{in_words(members, 'member')}, {answer.quorum} are a quorum"
    )
    print_line(f"its hash, for `trusted_epoch` elsewhere: {answer.epoch}:{answer.epoch_hash}")
    columns = ("ID", "NAME", "SEAT", "NEXT", "STANDING", "BOND", "IN", "OUT")
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
    return _vote(arguments, arguments.node, "instead" if arguments.instead else "in")


def _warn(answer: replies.Members, node: str) -> None:
    """Tell what the committee needs once a node has a seat in it."""
    from ambientd.rules.verdicts import quorum

    members = len({seat.id for seat in answer.seats if seat.member} | {node})
    needed = quorum(members)
    tell(
        f"with it {in_words(members, 'member')} keep the log: {needed} are a quorum, "
        f"{members - needed} may fail"
    )


def remove(arguments: NodeArguments) -> ExitCode:
    """Let a member go, as far as this node goes."""
    return _vote(arguments, arguments.node, "out")


def leave(arguments: CommonArguments) -> ExitCode:
    """Give this node's seat back."""
    return _vote(arguments, "", "out")


def _vote(arguments: CommonArguments, node: str, wish: str) -> ExitCode:
    with connect(arguments) as client:
        request = requests.VoteOnSeat(wish=wish, node=node.lower())
        answer = client.call(operations.MEMBER_VOTE, request)
        if wish == "in" and not arguments.as_json:
            _warn(client.call(operations.MEMBER_LIST, requests.ListMembers()), answer.node)
    if arguments.as_json:
        print_json(answer)
    elif answer.epoch_due is None:
        print_line(f"said: {short(answer.node)} {answer.wish}; epoch {answer.epoch} goes on")
    else:
        print_line(f"said: {short(answer.node)} {answer.wish}; epoch {answer.epoch_due} is due")
    return ExitCode.DONE
