"""What a node is to take and leave: its owner's word, and rest for a device that is too hot.

A device whose breaker `hot` has tripped (protocols/07 section 7) closes as by its owner's word and
hands back what it has not sealed, where somebody else could take it; when it has cooled, the
owner's word alone counts again.
"""

from msgspec.structs import replace

from ambientd.ledger.suitors import suitors
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import RoleEffect
from ambientd.model.offer import NOTHING_SAID, Closed, Wish
from ambientd.node.cores import Cores


class Wishes:
    """What worker and offerer are told of the owner's wish and of heat."""

    def __init__(self, cores: Cores, self_id: NodeId) -> None:
        self._cores = cores
        self._id = self_id
        self._owner = NOTHING_SAID
        self._is_hot = False

    def on_owner(self, wish: Wish, now: int) -> list[RoleEffect]:
        """Take what the owner wants from now on."""
        self._owner = wish
        return self._heed(now)

    def on_heat(self, now: int) -> list[RoleEffect]:
        """Look whether the device has become too hot, or has cooled."""
        is_hot = self._cores.telemetry.is_hot
        if is_hot is self._is_hot:
            return []
        self._is_hot = is_hot
        return self._heed(now)

    def _heed(self, now: int) -> list[RoleEffect]:
        """Heed here at once, and tell the mesh."""
        cores, wish, kept = self._cores, self._owner, frozenset[TaskId]()
        if self._is_hot:
            kept = frozenset() if wish.stops else self._mine_alone()
            wish = replace(wish, closed=Closed.HOT, stops=True)
        effects = cores.worker.on_wish(wish, kept)
        cores.offerer.on_wish(wish)
        return [*effects, *cores.offerer.on_tick(cores.ledger, cores.worker.unwanted, now)]

    def _mine_alone(self) -> frozenset[TaskId]:
        """Give the tasks in hand that nobody else could take: to hand them back would end none."""
        ledger = self._cores.ledger
        others = [node for node in ledger.fit_nodes() if node != self._id]
        entries = ((task, ledger.task(task)) for task in self._cores.worker.tasks)
        return frozenset(
            task
            for task, entry in entries
            if entry is None or not suitors(ledger.node, entry, others)
        )
