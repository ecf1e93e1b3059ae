"""Applies each block once for all nodes that have come the same way, and again now and then.

A ledger that began at the genesis and took one result after the other holds the same as every
other that took them: entries, and whatever it derives from them in memory. So the next block does
the same to all. A node that began from its store, or went over to a state, has derived all that
anew: it applies its blocks itself, or a fault there would not show, until so many in a row did the
same to it as to the others; then it goes their way. Of the rest one application in so many is done
all the same and held against the shared one: what chance, a clock or the order of a set makes
differ shows there.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias
from weakref import WeakKeyDictionary

from ambientd.ledger.apply import BlockContext, BlockResult, ProveFraud
from ambientd.ledger.state import LedgerState
from ambientd.model.record import Record
from sim.checkers import InvariantViolation

CHECKED_EVERY = 17
"""A prime: a multiple of how many share each block would check the same node's turn for ever."""
PROVES_ITSELF = 50
"""Blocks that a node which derived its state anew applies as the others did before it shares."""
KEPT_MAX = 512
"""Results that nodes may still come to; who is further behind applies its blocks itself."""


class Apply(Protocol):
    """What works out what a block does to a state."""

    def __call__(
        self,
        state: LedgerState,
        context: BlockContext,
        records: Sequence[Record],
        prove_fraud: ProveFraud,
        /,
    ) -> BlockResult:
        """Change nothing; give what the block does."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A block that was applied; it stands for the whole way up to it."""

    context: BlockContext
    records: Sequence[Record]
    result: BlockResult


_Way: TypeAlias = bytes | _Step
"""How a ledger came to be: from the genesis of this name, or by this step after all before it."""


class SharedBlocks:
    """Takes the place of `apply_block` for all nodes of a world."""

    def __init__(self, apply_block: Apply) -> None:
        self._apply_block = apply_block
        self._ways: WeakKeyDictionary[LedgerState, _Way | None] = WeakKeyDictionary()
        self._steps: OrderedDict[tuple[_Way, bytes], _Step] = OrderedDict()
        self._first: OrderedDict[bytes, _Step] = OrderedDict()
        self._alike: WeakKeyDictionary[LedgerState, int] = WeakKeyDictionary()
        self.shared = 0
        self.checked = 0

    def __call__(
        self,
        state: LedgerState,
        context: BlockContext,
        records: Sequence[Record],
        prove_fraud: ProveFraud,
    ) -> BlockResult:
        """Give what a block does to a state."""
        way = self._way_of(state)
        if way is None:
            own = self._apply_block(state, context, records, prove_fraud)
            return self._compared(state, _Step(context, records, own))
        step = self._steps.get((way, context.hash))
        if step is None or step.context != context or step.records != records:
            result = self._apply_block(state, context, records, prove_fraud)
            step = self._steps[way, context.hash] = _Step(context, records, result)
            if len(self._steps) > KEPT_MAX:
                self._steps.popitem(last=False)
            self._note(step)
        else:
            self.shared += 1
            if self.shared % CHECKED_EVERY == 0:
                self._check(step, self._apply_block(state, context, records, prove_fraud))
        self._ways[state] = step
        return step.result

    def _way_of(self, state: LedgerState) -> _Way | None:
        """Give a ledger's way; None for one that did not come from the genesis step by step."""
        if state not in self._ways:
            self._ways[state] = None if state.applied_index else state.cluster
        way = self._ways[state]
        if isinstance(way, _Step) and (
            state.tree is not way.result.tree or state.applied_index != way.context.index
        ):
            way = self._ways[state] = None
        return way

    def _compared(self, state: LedgerState, own: _Step) -> BlockResult:
        """Count the blocks in a row that did the same to a node on its own; let it go along."""
        first = self._note(own)
        if first is own:
            return own.result  # nothing to hold it against
        alike = self._alike.get(state, 0) + 1 if _are_alike(first.result, own.result) else 0
        self._alike[state] = alike % PROVES_ITSELF
        if alike < PROVES_ITSELF:
            return own.result
        self._ways[state] = first
        return first.result

    def _note(self, step: _Step) -> _Step:
        """Give who applied a block of this name first, of those that are remembered."""
        first = self._first.setdefault(step.context.hash, step)
        if len(self._first) > KEPT_MAX:
            self._first.popitem(last=False)
        return first

    def _check(self, step: _Step, again: BlockResult) -> None:
        self.checked += 1
        if not _are_alike(step.result, again):
            text = f"index {step.context.index}: two nodes that are alike disagree"
            raise InvariantViolation("a block does the same to all", text)


def _are_alike(one: BlockResult, two: BlockResult) -> bool:
    return (one.events, one.writes, one.root) == (two.events, two.writes, two.root)
