"""Metrics for Prometheus: what a node knows of itself and of its cluster when it is asked.

Labels are taken from the table of operations and from enumerations, never from what somebody
sent, so that nobody can make their number grow.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    exposition,
)

from ambientd.api import operations, replies, requests
from ambientd.api.answering import Handler
from ambientd.api.census_replies import Cluster
from ambientd.ports.http import HttpAnswer

PATH = "/metrics"
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)
_GAUGES = {
    "term": "The log's present term",
    "committed_height": "Blocks that the log has committed, as this node knows",
    "is_coordinator": "Whether this node coordinates the present term",
    "has_coordinator": "Whether this node knows who coordinates",
    "epoch": "The committee's epoch",
    "committee_members": "Members of the committee",
    "nodes": "Nodes of the cluster",
    "peers": "Nodes that this one is connected to",
    "health_percent": "This node's health; NaN until it is known",
    "safe_mode": "Whether this node takes no work to protect itself",
    "troubles": "What this node's owner should look at",
    "receipts": "Receipts in the receipt log",
    "receipts_anchored": "Receipts under a root that is in a Bitcoin block",
    "chain_ready": "Whether the Bitcoin chain answers; NaN where this node follows none",
    "chain_height": "Height of the Bitcoin chain; NaN while it does not answer",
    "balance_msat": "What this node's account has, in millisatoshi",
    "uptime_seconds": "How long this daemon runs",
}


class Metrics:
    """Counts what happens, and looks at the rest when it is asked."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._gauges = {name: self._gauge(name, text) for name, text in _GAUGES.items()}
        self._tasks = self._gauge("tasks", "Tasks that the ledger holds, by state", "state")
        self._events = Counter(
            "ambient_events", "What happened, by kind", ["kind"], registry=self._registry
        )
        self._answers = Histogram(
            "ambient_http_seconds",
            "How long operations over HTTP took, by name and whether they were done or refused",
            ["operation", "outcome"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._kinds = frozenset(kind.value for kind in replies.EventKind)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"ambient_{name}", text, labels, registry=self._registry)

    def happened(self, kind: str) -> None:
        """Count an event."""
        self._events.labels(kind if kind in self._kinds else "other").inc()

    @contextmanager
    def timed(self, operation: str, now_s: Callable[[], float]) -> Iterator[None]:
        """Count an operation, and how long it takes."""
        began_s, outcome = now_s(), "refused"
        try:
            yield
            outcome = "done"
        finally:
            self._answers.labels(operation, outcome).observe(now_s() - began_s)

    async def answer(self) -> HttpAnswer:
        """Give all metrics in Prometheus' text format."""
        status: replies.Status = await self._ask(operations.STATUS, requests.GetStatus())
        cluster: Cluster = await self._ask(operations.CLUSTER_SHOW, requests.ShowCluster())
        for name, value in _values(status, cluster).items():
            self._gauges[name].set(float("nan") if value is None else value)
        for state, much in cluster.tasks.items():
            self._tasks.labels(state).set(much)
        text = exposition.generate_latest(self._registry)
        return HttpAnswer(200, text, [("content-type", exposition.CONTENT_TYPE_PLAIN_0_0_4)])

    async def _ask(self, operation: operations.Operation[Any, Any], request: object) -> Any:  # noqa: ANN401
        return await cast("Awaitable[Any]", self._handlers[operation.name](request))


def _values(status: replies.Status, cluster: Cluster) -> dict[str, float | None]:
    return {
        "term": status.term,
        "committed_height": status.committed_height,
        "is_coordinator": status.coordinator == status.node,
        "has_coordinator": status.coordinator is not None,
        "epoch": cluster.epoch,
        "committee_members": cluster.committee,
        "nodes": cluster.nodes,
        "peers": len(status.peers),
        "health_percent": status.health_percent,
        "safe_mode": status.safe_mode.active,
        "troubles": len(status.troubles),
        "receipts": cluster.receipts,
        "receipts_anchored": cluster.anchored,
        "chain_ready": None if status.chain.kind == "off" else status.chain.state == "ready",
        "chain_height": status.chain.height,
        "balance_msat": status.balance_msat,
        "uptime_seconds": status.uptime_ms / 1000,
    }
