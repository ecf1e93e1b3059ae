"""Whom a slot would be given to: the one rule of giving work out and of waiting for it (03 §6)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.reputation import Reputation
from ambientd.model.task import Assurance, SlotState, TaskSpec
from ambientd.rules.executions import lends_enough
from ambientd.rules.labels import proves, satisfies, traits_of, value_of
from ambientd.rules.reputation import NEWCOMER_OUTCOMES_MAX, outcomes, permille
from ambientd.rules.scheduling import WEIGHTED, Candidate

SAMPLE_NODES = 64
"""Of more fit nodes than this a slot looks at so many, which the seed picks; never at all."""

LookUp = Callable[[NodeId], NodeEntry | None]


def suitors(
    look_up: LookUp, task: TaskEntry, nodes: Sequence[NodeId], *, is_all: bool = True
) -> list[NodeId]:
    """Give the nodes of these that a waiting slot is for, whether they have room or not.

    Who was not tried before is preferred; who is only busy is waited for, and nobody worse taken.
    The submitter works for itself only when nobody else can: never when these are only a part.
    """
    passed_over = holders(task) | task.barred
    fit = [node for node in nodes if node not in passed_over and suits(look_up(node), task.spec)]
    others = [node for node in fit if node != task.submitter]
    fresh = [node for node in others if node not in task.tried]
    return fresh or others or (fit if is_all else [])


def holders(task: TaskEntry) -> set[NodeId]:
    """Give the nodes that hold a slot of a task, which take no other of it."""
    return {slot.worker for slot in task.slots if slot.state is not SlotState.WAITING}


def suits(node: NodeEntry | None, spec: TaskSpec) -> bool:
    """Tell whether a node takes work of this kind, and is what its submitter asks for."""
    return (
        node is not None
        and node.is_fit
        and spec.task_class not in node.profile.refuses
        and satisfies(node.profile, node.engine, spec.constraints)
        and proves(node.profile, spec)
        and lends_enough(node.memory_bytes_max, spec)
    )


def is_checked(task: TaskEntry) -> bool:
    """Tell whether chance alone may choose who answers: somebody relies on it, as on an audit."""
    return task.spec.assurance is not Assurance.NONE or task.audits is not None


def strategy_of(state: LedgerState, spec: TaskSpec) -> str:
    """Give the strategy that chooses among those whom a task's slot is for."""
    return spec.strategy or state.genesis.rules.strategy


def is_crowded(state: LedgerState, task: TaskEntry) -> bool:
    """Tell whether too few of many nodes have room for chance to choose among some of them.

    A slot that waits looks at others with each block: at last at those, by chance, most of whom
    are friends and have room, whoever has filled the queues of all others.
    """
    if len(state.fit_nodes()) <= SAMPLE_NODES or state.room.is_enough:
        return False
    return is_checked(task) and strategy_of(state, task.spec) == WEIGHTED


class Register(Protocol):
    """The nodes as a draft or a state knows them, and what they have earned."""

    def node(self, node: NodeId) -> NodeEntry | None:
        """Give a node."""
        ...

    def reputation(self, node: NodeId, task_class: str) -> Reputation:
        """Give what a node has earned in a class."""
        ...


def candidate(register: Register, node: NodeId, spec: TaskSpec) -> Candidate:
    """Give what the scheduler looks at in a node."""
    entry = register.node(node)
    assert entry is not None, "only nodes that are known suit"
    found = register.reputation(node, spec.task_class)
    return Candidate(
        node=node,
        bond_msat=entry.bond_msat,
        reputation_permille=permille(found.good, found.bad),
        newcomer=outcomes(found) < NEWCOMER_OUTCOMES_MAX,
        load_percent=entry.load_percent,
        latency_ms=entry.latency_ms,
        carbon_g_per_kwh=entry.carbon_g_per_kwh,
        open_slots=entry.open_slots,
        capacity=entry.capacity,
        traits=tuple(value_of(entry.profile, entry.engine, key) for key in traits_of(spec)),
        module=spec.module,
    )
