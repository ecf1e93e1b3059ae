"""Keeper: bring the states of others' long executions here before their maker can vanish.

Which two members keep a mark's state follows from the task alone (protocols/03 §12). Nothing is
sent back: who goes on from a mark asks them, and finds out by its root whether it is that state.

Of a task only the last mark's state is of use, and what this node is about to mark itself: all
else that lies here for others is given back at once, as everything is when the task has ended.
"""

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from ambientd.codec.digest import tagged
from ambientd.ledger.events import LedgerEvent, StateMarked, TaskClosed
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import DropStates, FetchState, KeepStates, Propose, RoleEffect
from ambientd.model.mark import Mark
from ambientd.model.record import Marked
from ambientd.rules.marks import is_worth_keeping

KEEPERS = 2
"""One may be down when the maker is."""

_Place: TypeAlias = tuple[int, int]
"""Attempt and gas: of two marks of a task, the later one in the log is the higher."""


def keepers_of(mark: Mark, state: LedgerState) -> tuple[NodeId, ...]:
    """Give who keeps the state of a mark besides its maker."""
    others = (member for member in state.members if member != mark.worker)
    drawn = sorted(others, key=lambda member: tagged("ambient/keeper/1", mark.task, member))
    return tuple(drawn[:KEEPERS])


class Keeper:
    """One node's part in keeping states."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._held: dict[TaskId, dict[Digest, _Place]] = {}
        self._uses: Counter[Digest] = Counter()

    def resume(self, state: LedgerState, said: Iterable[Mark]) -> list[RoleEffect]:
        """Keep what the ledger and one's own last marks name, bring what is missing of it here."""
        self._held.clear()
        self._uses.clear()
        last = [chain[-1] for task, _ in state.open_tasks() if (chain := state.marks(task).chain)]
        for mark in (*last, *said):
            self._hold(mark)
        wanted = [effect for mark in last for effect in self._fetch(mark, state)]
        return [KeepStates(frozenset(self._uses)), *wanted]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Fetch the state of a mark that is this member's to keep; drop what is of no use now."""
        match event:
            case StateMarked(mark=mark):
                self._hold(mark)
                held = self._held[mark.task]
                gone = [name for name, place in held.items() if place < _place(mark)]
                return [*self._let_go(mark.task, gone), *self._fetch(mark, state)]
            case TaskClosed(task=task):
                return self._let_go(task, list(self._held.get(task, ())))
            case _:
                return []

    def on_state(self, name: Digest, said: Iterable[RoleEffect]) -> list[RoleEffect]:
        """Keep a state of one's own that is about to be marked, and no other."""
        for effect in said:
            if isinstance(effect, Propose) and isinstance(effect.body, Marked):
                self._hold(effect.body.mark)
        return [] if self._uses[name] else [DropStates((name,))]

    def _hold(self, mark: Mark) -> None:
        held = self._held.setdefault(mark.task, {})
        self._uses[mark.state] += mark.state not in held
        held[mark.state] = max(_place(mark), held.get(mark.state, _place(mark)))

    def _let_go(self, task: TaskId, names: list[Digest]) -> list[RoleEffect]:
        """Forget states of a task, and drop those that no other task names."""
        held = self._held.get(task, {})
        for name in names:
            del held[name]
        self._uses.subtract(names)
        self._uses = +self._uses
        if not held:
            self._held.pop(task, None)
        gone = tuple(name for name in names if not self._uses[name])
        return [DropStates(gone)] if gone else []

    def _fetch(self, mark: Mark, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(mark.task)
        if entry is None or self._id not in keepers_of(mark, state):
            return []
        if not is_worth_keeping(mark.state_size_bytes, entry.spec):
            return []
        others = (each for each in keepers_of(mark, state) if each != self._id)
        return [FetchState(mark.state, mark.state_size_bytes, (mark.worker, *others))]


def _place(mark: Mark) -> _Place:
    return mark.attempt, mark.point.gas_index
