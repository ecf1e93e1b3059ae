"""What is asked about everybody's credits, and what a node answers."""

from ambientd.api.replies import Reply
from ambientd.api.requests import PAGE_MAX, Cursor, NodeName, PageSize, Request


class ListAccounts(Request, frozen=True):
    """What does everybody have?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class ShowHistory(Request, frozen=True):
    """Which tasks moved a node's credits? The newest first; no name means this node."""

    node: NodeName | None = None
    limit: PageSize = 50
    after: Cursor = ""


class AccountLine(Reply, frozen=True):
    """An account in a list."""

    node: str
    name: str
    balance_msat: int
    bond_msat: int
    waiting_msat: int
    """What of its bond is on its way back."""
    tombstoned: bool


class Accounts(Reply, frozen=True):
    """Everybody's accounts in the order of their ids; `next` is where the list goes on."""

    accounts: tuple[AccountLine, ...]
    total: int
    next: str | None = None


class HistoryEntry(Reply, frozen=True):
    """What a task moved: `pay`, `unvested` pay that waits, a `fee`, or what it has in `escrow`.

    What an account gave away is below zero.
    """

    time_ms: int
    kind: str
    task: str
    amount_msat: int


class History(Reply, frozen=True):
    """What tasks moved, as far as the ledger still holds them; it keeps no line of transfers."""

    node: str
    name: str
    entries: tuple[HistoryEntry, ...]
    total: int
    next: str | None = None
