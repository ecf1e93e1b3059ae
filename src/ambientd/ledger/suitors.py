"""Whom a slot would be given to: the one rule of giving work out and of waiting for it (03 §6)."""

from collections.abc import Callable, Sequence

from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.model.base import NodeId
from ambientd.model.task import SlotState, TaskSpec
from ambientd.rules.labels import satisfies

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
    )
