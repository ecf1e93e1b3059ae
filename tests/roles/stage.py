"""A ledger for the roles to look at, and what a host would report of an execution."""

from collections.abc import Iterable

from ambientd.ledger.events import LedgerEvent
from ambientd.model.base import NodeId, TaskId
from ambientd.model.effect import Assignment, ExecutionReport, Purpose, RoleEffect
from ambientd.model.task import Result
from tests.ledger.cluster import START_MS, TestCluster, result


def report(answer: Result | None = None) -> ExecutionReport:
    """Give the host's word on a finished execution."""
    return ExecutionReport(
        result=answer or result(),
        engine="wasmtime",
        engine_version="50.0.0",
        started_ms=START_MS,
        finished_ms=START_MS + 5,
        energy_mj=None,
        energy_source="none",
    )


def place(cluster: TestCluster, task: TaskId, slot: int) -> Assignment:
    """Give the current assignment of a slot."""
    entry = cluster.task(task).slots[slot]
    return Assignment(Purpose.SLOT, task, slot, entry.attempt)


def number_of(cluster: TestCluster, node: NodeId) -> int:
    """Give the number of a node of the cluster."""
    return next(n for n in range(cluster.members) if cluster.node(n) == node)


def kinds(effects: Iterable[RoleEffect]) -> list[str]:
    """Name the effects' kinds."""
    return [type(effect).__name__ for effect in effects]


def closes(events: Iterable[LedgerEvent], kind: type[LedgerEvent]) -> LedgerEvent:
    """Give the one event of a kind."""
    return next(event for event in events if isinstance(event, kind))
