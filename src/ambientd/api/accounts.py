"""A node's account as its owner sees it: what it has, what is at risk, and how to move it."""

import re
from collections.abc import Iterator

import trio

from ambientd.api import replies, requests
from ambientd.api.account_values import (
    AccountLine,
    History,
    HistoryEntry,
    ListAccounts,
    ShowHistory,
)
from ambientd.api.account_values import Accounts as AccountList
from ambientd.api.deciding import NOT_IN_TIME, outcome_of
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.under_key import came_before, fixed_ms
from ambientd.api.views import find_node
from ambientd.codec.signing import Signer
from ambientd.ledger.accounts import is_seated
from ambientd.ledger.audit_entries import Unvested
from ambientd.ledger.entries import TaskEntry, unvested_key
from ambientd.ledger.events import BondAskedBack, BondRaised, RecordRejected, Transferred
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import Bond, Transfer, Unbond
from ambientd.rules.peg_networks import peg_fault
from ambientd.runtime.service import Parts

_LATEST_MS = 2**53
_PLACE = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"[0-9a-f]{78}[a-z]+")


class Accounts:
    """Answers what concerns credits."""

    def __init__(self, signer: Signer, parts: Parts) -> None:
        self._id = NodeId(signer.public_key)
        self._parts = parts
        self._state = parts.node.ledger
        self._moving = trio.Lock()  # so that each says a later time than the one before

    async def show(self, request: requests.ShowAccount) -> replies.Account:
        """Show one node's account; no name means this node's."""
        return account(self._state, self._find(request.node))

    async def list_all(self, request: ListAccounts) -> AccountList:
        """List everybody's accounts."""
        check_place(request.after, _PLACE)
        nodes = self._state.nodes()
        found, following = page(nodes, bytes.hex, request.limit, request.after)
        lines = (_line(self._state, node) for node in found)
        return AccountList(
            accounts=tuple(each for each in lines if each is not None),
            total=len(nodes),
            next=following,
        )

    async def history(self, request: ShowHistory) -> History:
        """Tell what tasks moved of one node's credits."""
        check_place(request.after, _MOMENT)
        node = self._find(request.node)
        entry = self._state.node(node)
        assert entry is not None, "it was found in the ledger"
        entries = [each for task in self._state.tasks() for each in _moved(self._state, node, task)]
        shown, following = page(entries, _newest_first, request.limit, request.after)
        return History(
            node=node.hex(),
            name=entry.profile.name,
            entries=tuple(shown),
            total=len(entries),
            next=following,
        )

    async def transfer(self, request: requests.TransferCredits) -> replies.AccountMoved:
        """Pass credits of this node on; answer once the ledger has it."""
        to = self._find(request.to)
        if to == self._id:
            msg = f"{request.to} is this node itself, whose credits these are already"
            raise OperationError("invalid", msg, "name another node: `ambientctl nodes` lists them")
        async with self._moving:
            said_ms = await self._said_ms()
            await self._move(Transfer(to=to, amount_msat=request.amount_msat, said_ms=said_ms))
        return self._moved("transfer", request.amount_msat, to)

    async def bond(self, request: requests.RaiseBond) -> replies.AccountMoved:
        """Put credits of this node at risk; answer once the ledger has it."""
        async with self._moving:
            await self._move(Bond(amount_msat=request.amount_msat, said_ms=await self._said_ms()))
        return self._moved("bond", request.amount_msat)

    async def unbond(self, request: requests.AskBondBack) -> replies.AccountMoved:
        """Ask for some of this node's bond back; answer once it waits."""
        async with self._moving:
            await self._move(Unbond(amount_msat=request.amount_msat, said_ms=await self._said_ms()))
        return self._moved("unbond", request.amount_msat)

    def _find(self, name: str | None) -> NodeId:
        if name is None and self._state.node(self._id) is not None:
            return self._id
        if name is None:
            msg = "this node has not seen yet that it is in the cluster"
            raise OperationError("not_ready", msg, "wait until `ambientctl nodes` lists it here")
        return find_node(self._state, name)

    async def _said_ms(self) -> int:
        return await fixed_ms(max(self._parts.now(), self._state.moves(self._id).said_ms + 1))

    async def _move(self, body: Transfer | Bond | Unbond) -> None:
        self._find(None)
        if came_before(self._state.moves(self._id).said_ms) is not None:
            return

        def is_done(event: object) -> bool:
            return isinstance(event, Transferred | BondRaised | BondAskedBack) and (
                (event.node, event.said_ms) == (self._id, body.said_ms)
            )

        event = await outcome_of(self._parts, self._id, body, is_done)
        if isinstance(event, RecordRejected):
            raise self._refusal(body, event.reason)
        if event is not None or self._state.moves(self._id).said_ms == body.said_ms:
            return
        hint = "it may still: look at `ambientctl account show` before you ask again"
        raise OperationError("unavailable", NOT_IN_TIME, hint)

    def _refusal(self, body: Transfer | Bond | Unbond, reason: str) -> OperationError:
        hint = ""
        if isinstance(body, Unbond):
            if is_seated(self._state, self._id):
                hint = "give the seat back first: `ambientctl member leave`"
        elif self._state.balance_msat(self._id) < body.amount_msat:
            hint = hint_on_means(self._state, self._id)
        return OperationError("rejected", f"nothing was moved: {reason}", hint)

    def _moved(self, kind: str, amount_msat: int, to: NodeId | None = None) -> replies.AccountMoved:
        return replies.AccountMoved(
            kind=kind,
            amount_msat=amount_msat,
            to=None if to is None else to.hex(),
            account=account(self._state, self._id),
        )


def account(state: LedgerState, node: NodeId) -> replies.Account:
    """Give a node's account as the ledger has it."""
    entry, moves = state.node(node), state.moves(node)
    assert entry is not None, "accounts are of nodes that the ledger knows"
    unvested = state.vesting.of(node)
    own = (task for _, task in state.open_tasks() if task.submitter == node and task.audits is None)
    return replies.Account(
        node=node.hex(),
        name=entry.profile.name,
        balance_msat=state.balance_msat(node),
        bond_msat=entry.bond_msat,
        waiting_msat=moves.waiting_msat,
        due_ms=moves.due_ms if moves.waiting_msat else None,
        held_by=_held_by(state, node) if moves.waiting_msat else "",
        escrow_msat=sum(task.escrow_msat for task in own),
        tombstoned=entry.tombstoned,
        time_ms=state.meta.time_ms,
        unvested_msat=sum(_unvested_msat(state, node, task) for task, _ in unvested),
        vests_ms=unvested[0][1] if unvested else None,
    )


def _line(state: LedgerState, node: NodeId) -> AccountLine | None:
    entry = state.node(node)
    if entry is None:
        return None
    return AccountLine(
        node=node.hex(),
        name=entry.profile.name,
        balance_msat=state.balance_msat(node),
        bond_msat=entry.bond_msat,
        waiting_msat=state.moves(node).waiting_msat,
        tombstoned=entry.tombstoned,
    )


def _moved(
    state: LedgerState, node: NodeId, item: tuple[TaskId, TaskEntry]
) -> Iterator[HistoryEntry]:
    """Give what one task moved of a node's credits."""
    task, entry = item
    time_ms = entry.ended_ms or entry.admitted_ms
    found = [
        ("unvested" if _unvested_msat(state, node, task) else "pay", each.amount_msat)
        for each in entry.payments
        if each.node == node
    ]
    if entry.submitter == node and entry.audits is None:
        kind = "fee" if entry.ended_ms else "escrow"
        found.append((kind, entry.refunded_msat - entry.escrow_msat))
    for kind, amount_msat in found:
        yield HistoryEntry(time_ms=time_ms, kind=kind, task=task.hex(), amount_msat=amount_msat)


def _newest_first(entry: HistoryEntry) -> str:
    return f"{_LATEST_MS - entry.time_ms:014x}{entry.task}{entry.kind}"


def _unvested_msat(state: LedgerState, node: NodeId, task: TaskId) -> int:
    pay = state.get(unvested_key(node, task))
    return pay.amount_msat if isinstance(pay, Unvested) else 0


def _held_by(state: LedgerState, node: NodeId) -> str:
    """Say what a bond waits for beside its time."""
    if is_seated(state, node):
        return "seat"
    return "task" if state.tasks_by.has_work(node) else ""


def hint_on_means(state: LedgerState, node: NodeId) -> str:
    """Say how a node comes by credits."""
    command = f"ambientctl account transfer {node.hex()[:12]} AMOUNT"
    sent = f"the owner of a node that has credits can send some: `{command}`"
    if peg_fault(state.genesis) is not None:
        return sent
    return f"bring bitcoin in, where `ambientctl peg address` says; or {sent}"
