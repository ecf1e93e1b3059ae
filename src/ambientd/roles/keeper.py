"""Keeper: bring the states of others' long executions here before their maker can vanish.

Which two members keep a mark's state follows from the task alone (protocols/03 §12). Nothing is
sent back: who goes on from a mark asks them, and finds out by its root whether it is that state.
"""

from ambientd.codec.digest import tagged
from ambientd.ledger.events import LedgerEvent, StateMarked
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.effect import FetchBlob, RoleEffect
from ambientd.model.mark import Mark
from ambientd.rules.marks import is_worth_keeping

KEEPERS = 2
"""One may be down when the maker is."""


def keepers_of(mark: Mark, state: LedgerState) -> tuple[NodeId, ...]:
    """Give who keeps the state of a mark besides its maker."""
    others = (member for member in state.members if member != mark.worker)
    drawn = sorted(others, key=lambda member: tagged("ambient/keeper/1", mark.task, member))
    return tuple(drawn[:KEEPERS])


class Keeper:
    """One member's part in keeping states."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Fetch the state of a mark that is this member's to keep, from its maker."""
        if not isinstance(event, StateMarked) or self._id not in keepers_of(event.mark, state):
            return []
        mark, entry = event.mark, state.task(event.task)
        if entry is None or not is_worth_keeping(mark.state_size_bytes, entry.spec):
            return []
        return [FetchBlob(mark.state, mark.state_size_bytes, (mark.worker,))]
