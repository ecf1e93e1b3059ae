"""Accounts: credits passed on, put at risk, and asked back (protocols/03 section 9).

A bond that is asked back answers for what its owner has done: it waits as long as the cluster
keeps tasks, and longer while its owner sits in the committee or works on a task that is open.
Whoever is convicted meanwhile loses it.
"""

from typing import assert_never

from msgspec.structs import replace

from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import NodeEntry, seat_key
from ambientd.ledger.events import BondAskedBack, BondRaised, BondReturned, Transferred
from ambientd.ledger.seat_entries import SeatEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.record import Bond, Record, Transfer, Unbond

DUE_LOOKED_AT_MAX = 64
"""Bonds that are due and that a block looks at, at most; the next blocks look at the rest."""

Move = Transfer | Bond | Unbond


def move(draft: Draft, record: Record, body: Move) -> str | None:
    """Move a node's money as its owner says, whose words count once and in their order."""
    author, entry = record.author, draft.node(record.author)
    if entry is None or entry.tombstoned:
        return "only nodes that were never convicted move money"
    if body.said_ms <= draft.moves(author).said_ms:
        return "the account has been moved since"
    if not body.amount_msat:
        return "an amount of nothing"
    match body:
        case Transfer():
            fault = _transfer(draft, author, body)
        case Bond():
            fault = _bond(draft, author, entry, body)
        case Unbond():
            fault = _unbond(draft, author, entry, body)
        case _:
            assert_never(body)
    if fault is None:
        draft.put_moves(author, replace(draft.moves(author), said_ms=body.said_ms))
    return fault


def _transfer(draft: Draft, author: NodeId, body: Transfer) -> str | None:
    """Pass credits on to another node."""
    recipient = draft.node(body.to)
    if recipient is None:
        return "the recipient is no known node"
    if recipient.tombstoned:
        return "the recipient was convicted: it could not move what it gets"
    if body.to == author:
        return "the recipient is the author"
    if body.amount_msat > draft.balance_msat(author):
        return _too_little(draft, author, body.amount_msat)
    draft.credit(author, -body.amount_msat)
    draft.credit(body.to, body.amount_msat)
    draft.tell(Transferred(author, body.to, body.amount_msat, body.said_ms))
    return None


def _bond(draft: Draft, author: NodeId, entry: NodeEntry, body: Bond) -> str | None:
    """Move some of a node's balance to its bond."""
    if body.amount_msat > draft.balance_msat(author):
        return _too_little(draft, author, body.amount_msat)
    draft.credit(author, -body.amount_msat)
    draft.put_node(author, replace(entry, bond_msat=entry.bond_msat + body.amount_msat))
    draft.tell(BondRaised(author, body.amount_msat, body.said_ms))
    return None


def _unbond(draft: Draft, author: NodeId, entry: NodeEntry, body: Unbond) -> str | None:
    """Let some of a node's bond wait for its way back; what waits already waits anew with it."""
    if is_seated(draft.state, author):
        return "the node has a seat in the committee, or gets one: its bond stays with it"
    seat = draft.get(seat_key(author))
    if isinstance(seat, SeatEntry) and seat.is_asking:
        return "the node asks for a seat, and the members decide on what it has at risk"
    if body.amount_msat > entry.bond_msat:
        return f"the bond is {entry.bond_msat} msat, less than {body.amount_msat} msat"
    draft.put_node(author, replace(entry, bond_msat=entry.bond_msat - body.amount_msat))
    moves = draft.moves(author)
    waiting_msat, due_ms = moves.waiting_msat + body.amount_msat, _wait_end(draft)
    draft.put_moves(author, replace(moves, waiting_msat=waiting_msat, due_ms=due_ms))
    draft.tell(BondAskedBack(author, body.amount_msat, due_ms, body.said_ms))
    return None


def wait_anew(draft: Draft, node: NodeId) -> None:
    """Let what waits of a bond answer for the seat as well that its owner has just left."""
    moves = draft.moves(node)
    if moves.waiting_msat:
        draft.put_moves(node, replace(moves, due_ms=_wait_end(draft)))


def give_back(draft: Draft) -> None:
    """Give back what has waited long enough, where nothing of its owner's is open."""
    state = draft.state
    start = draft.context.index * DUE_LOOKED_AT_MAX
    for node in state.bonds_due(draft.context.time_ms, start, DUE_LOOKED_AT_MAX):
        if not is_seated(state, node) and not state.tasks_by.has_work(node):
            moves = draft.moves(node)
            draft.credit(node, moves.waiting_msat)
            draft.put_moves(node, replace(moves, waiting_msat=0, due_ms=0))
            draft.tell(BondReturned(node, moves.waiting_msat))


def is_seated(state: LedgerState, node: NodeId) -> bool:
    """Tell whether a node has a seat in the committee, or gets one with the next epoch."""
    due = state.epoch_due
    return node in state.members or (due is not None and node in due.members)


def _wait_end(draft: Draft) -> int:
    return draft.context.time_ms + draft.state.genesis.rules.keep_ms


def _too_little(draft: Draft, node: NodeId, amount_msat: int) -> str:
    return f"the balance is {draft.balance_msat(node)} msat, less than {amount_msat} msat"
