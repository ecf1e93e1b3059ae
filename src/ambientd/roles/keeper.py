"""Keeper: bring the states of others' long executions here before their maker can vanish.

Which two members keep a mark's state follows from the task alone (protocols/03 §12). Nothing is
sent back: who goes on from a mark asks them, and finds out by its root whether it is that state.

Of a task's marks the furthest one whose state is here is of use, and of each attempt the last one,
where that is further and may still come: a mark may be a lie, or its state gone with its maker. So
an earlier state goes when a later one is here and is what its mark says. All go with their task.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ambientd.ledger.events import EpochBegan, LedgerEvent, StateMarked, TaskClosed
from ambientd.ledger.marks import keepers_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import KnownState
from ambientd.model.effect import DropStates, FetchState, KeepStates, Propose, RoleEffect
from ambientd.model.mark import Mark
from ambientd.model.record import Marked
from ambientd.rules.marks import is_worth_keeping


@dataclass(slots=True)
class _Held:
    """What is known of one task's states."""

    marks: list[Mark] = field(default_factory=list)
    """Those of the log, but for what is known to be false."""

    said: list[Mark] = field(default_factory=list)
    """This node's own, on their way to the log; their states are here."""

    here: set[Digest] = field(default_factory=set)
    unsure: set[Digest] = field(default_factory=set)
    """They may be here from before a start."""

    asked: set[Digest] = field(default_factory=set)

    @property
    def names(self) -> set[Digest]:
        """Give the states that take room here, or may soon."""
        return self.here | self.unsure | self.asked

    @property
    def furthest_gas(self) -> int:
        """Give how far the furthest mark is whose state is here; 0 for none."""
        return max((_gas(mark) for mark in self.marks if mark.state in self.here), default=0)

    def wanted(self) -> list[Mark]:
        """Give the marks whose states would be of more use than what is here."""
        last = {mark.attempt: mark for mark in sorted(self.marks, key=_gas)}
        return [mark for mark in last.values() if _gas(mark) > self.furthest_gas]

    def useless(self) -> set[Digest]:
        """Give the states that nobody goes on from while these others can be had."""
        least = self.furthest_gas
        sure = self.here | self.unsure
        of_use = {mark.state for mark in self.marks if mark.state in sure and _gas(mark) >= least}
        of_use |= {mark.state for mark in (*self.wanted(), *self.said)}
        return self.names - of_use


class Keeper:
    """One node's part in keeping states."""

    def __init__(self, self_id: NodeId) -> None:
        self._id = self_id
        self._held: dict[TaskId, _Held] = {}
        self._uses: Counter[Digest] = Counter()

    def resume(self, state: LedgerState, said: Iterable[Mark]) -> list[RoleEffect]:
        """Keep what the log and one's own last marks name, bring what is missing of it here."""
        self._held.clear()
        self._uses.clear()
        for task, _ in state.open_tasks():
            if marks := state.marks(task).marks:
                names = {mark.state for mark in marks}
                self._held[task] = _Held(marks=list(marks), unsure=names)
        for mark in said:
            held = self._held.setdefault(mark.task, _Held())
            held.said.append(mark)
            held.here.add(mark.state)
        for held in self._held.values():
            self._uses.update(held.names)
        kept = KeepStates(frozenset(self._uses))
        wanted = [mark for held in self._held.values() for mark in held.wanted()]
        return [kept, *(effect for mark in wanted for effect in self._fetch(mark, state))]

    def on_ledger(self, event: LedgerEvent, state: LedgerState) -> list[RoleEffect]:
        """Fetch the state of a mark that is this member's to keep; drop what is of no use now."""
        match event:
            case StateMarked(mark=mark):
                held = self._held.setdefault(mark.task, _Held())
                held.marks.append(mark)
                held.said = [each for each in held.said if _place(each) > _place(mark)]
                fetched = self._fetch(mark, state) if mark in held.wanted() else []
                return [*self._let_go(mark.task, held.useless()), *fetched]
            case EpochBegan():
                # Others may sit now, and what was theirs to keep be this member's.
                return [each for held in self._held.values() for each in self._missing(held, state)]
            case TaskClosed(task=task) if task in self._held:
                effects = self._let_go(task, self._held[task].names)
                del self._held[task]
                return effects
            case _:
                return []

    def on_reached(self, reached: KnownState, said: Iterable[RoleEffect]) -> list[RoleEffect]:
        """Keep a state of one's own that is about to be marked, and no other."""
        for effect in said:
            if isinstance(effect, Propose) and isinstance(effect.body, Marked):
                mark = effect.body.mark
                held = self._held.setdefault(mark.task, _Held())
                held.said.append(mark)
                self._note(held.here, mark.state, held)
        return [] if self._uses[reached.state] else [DropStates((reached.state,))]

    def on_kept(self, kept: KnownState, state: LedgerState) -> list[RoleEffect]:
        """Hold a state that is here against all marks that name it; drop what it replaces."""
        if not any(self._named(kept)) and not self._uses[kept.state]:
            return [DropStates((kept.state,))]
        effects: list[RoleEffect] = []
        for task, held, named in self._named(kept):
            for false in [mark for mark in named if known_state(mark) != kept]:
                held.marks.remove(false)
            self._note(held.here, kept.state, held)
            effects += self._let_go(task, held.useless())
            effects += self._missing(held, state)
        return effects

    def _named(self, kept: KnownState) -> Iterator[tuple[TaskId, _Held, list[Mark]]]:
        """Give the tasks whose marks name a state, and those marks."""
        for task, held in self._held.items():
            named = [mark for mark in held.marks if mark.state == kept.state]
            if named:
                yield task, held, named

    def _missing(self, held: _Held, state: LedgerState) -> list[RoleEffect]:
        """Ask for what is this member's to keep, and is neither here nor on its way."""
        missing = [mark for mark in held.wanted() if mark.state not in held.asked]
        return [effect for mark in missing for effect in self._fetch(mark, state)]

    def _note(self, place: set[Digest], name: Digest, held: _Held) -> None:
        """Know of a state that takes room for a task."""
        self._uses[name] += name not in held.names
        place.add(name)

    def _let_go(self, task: TaskId, names: set[Digest]) -> list[RoleEffect]:
        """Forget states of a task, and drop those that no other task names."""
        held = self._held[task]
        for place in (held.here, held.unsure, held.asked):
            place.difference_update(names)
        self._uses.subtract(names)
        self._uses = +self._uses
        gone = tuple(name for name in sorted(names) if not self._uses[name])
        return [DropStates(gone)] if gone else []

    def _fetch(self, mark: Mark, state: LedgerState) -> list[RoleEffect]:
        entry = state.task(mark.task)
        if entry is None or self._id not in keepers_of(mark, state):
            return []
        if not is_worth_keeping(mark.state_size_bytes, entry.spec):
            return []
        held = self._held[mark.task]
        self._note(held.asked, mark.state, held)
        others = (each for each in keepers_of(mark, state) if each != self._id)
        return [FetchState(mark.state, mark.state_size_bytes, (mark.worker, *others))]


def known_state(mark: Mark) -> KnownState:
    """Give what a mark says of its state."""
    return KnownState(mark.point, mark.state, mark.state_size_bytes)


def _gas(mark: Mark) -> int:
    return mark.point.gas_index


def _place(mark: Mark) -> tuple[int, int]:
    """Give attempt and gas: of two marks of a task, the later one in the log is the higher."""
    return mark.attempt, mark.point.gas_index
