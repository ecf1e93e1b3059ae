"""What devices say their executions used, and what speaks against it."""

from collections.abc import Iterator
from itertools import islice

from ambientd.api.replies import EnergyInfo
from ambientd.ledger.entries import Leaf, TaskEntry, leaf_key
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.rules.energy import (
    SAMPLES_MAX,
    EnergyDoubt,
    EnergyUse,
    doubt_of,
    energy_use,
    is_modelled,
)

LEAVES_MAX = 1_024
"""How far back a node's other receipts are looked for."""

DOUBTS = {
    EnergyDoubt.NEGATIVE: "the counter ran over",
    EnergyDoubt.ABOVE_POWER: "more than such a device can draw in that time",
    EnergyDoubt.BELOW_IDLE: "less than such a device draws idle",
    EnergyDoubt.OUT_OF_LINE: "far from what this node says of its other executions",
}


def energy_infos(state: LedgerState, task: TaskId, entry: TaskEntry) -> tuple[EnergyInfo, ...]:
    """Give each opened answer's energy, and why it cannot be true where it cannot."""
    return tuple(
        EnergyInfo(
            worker=slot.worker.hex(),
            slot=slot.slot,
            millijoules=slot.receipt.receipt.energy_mj,
            source=slot.receipt.receipt.energy_source,
            doubt=_doubt(state, task, slot.worker, energy_use(slot.receipt.receipt)),
            modelled=is_modelled(slot.receipt.receipt.energy_source),
        )
        for slot in entry.slots
        if slot.receipt is not None
    )


def _doubt(state: LedgerState, task: TaskId, worker: NodeId, use: EnergyUse | None) -> str:
    node = state.node(worker)
    if use is None or node is None:
        return ""
    # Most figures need no others; where they do, as few of a thousand tasks are read as will do.
    others = islice(_others(state, task, worker), SAMPLES_MAX)
    doubt = doubt_of(use, node.profile.kind, others)
    return "" if doubt is None else DOUBTS[doubt]


def _others(state: LedgerState, task: TaskId, worker: NodeId) -> Iterator[EnergyUse]:
    """Give a node's latest figures on other tasks, as far as the ledger still has them."""
    for other in _latest_tasks(state):
        entry = None if other == task else state.task(other)
        for signed in () if entry is None else entry.receipts:
            use = energy_use(signed.receipt) if signed.receipt.worker == worker else None
            if use is not None:
                yield use


def _latest_tasks(state: LedgerState) -> Iterator[TaskId]:
    size = state.receipt_log_size()
    for index in range(size - 1, max(-1, size - 1 - LEAVES_MAX), -1):
        leaf = state.get(leaf_key(index))
        if isinstance(leaf, Leaf) and leaf.task:
            yield leaf.task
