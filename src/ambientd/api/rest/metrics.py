"""Metrics for Prometheus: what a node knows of itself and of its cluster when it is asked.

Labels are taken from the table of operations and from enumerations, never from what somebody
sent, so that nobody can make their number grow; but for the ids of studies, of which so few go on
at once as the ledger allows.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    exposition,
)

from ambientd.api import learning_operations, operations, replies, requests
from ambientd.api.answering import Handler
from ambientd.api.census_replies import Cluster
from ambientd.api.learning_values import ListStudies, Studies, StudyInfo
from ambientd.model.learning import RoundState
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
    "private_epsilon": "What private studies have spent of this node's privacy; NaN unbounded",
}
_OF_A_STUDY = {
    "study_rounds_done": "Rounds that came to a model, by study",
    "study_participants": "Who takes part, by study",
    "study_fell_out": "Of the last round that ended, who has no part in its model, by study",
    "study_epsilon": "What a private study has spent of this node's privacy; NaN unbounded",
    "study_epsilon_limit": "What this node's owner lets a private study spend; NaN without a limit",
}
_BY_STATE = {
    "tasks": "Tasks that the ledger holds, by state",
    "studies": "Studies that the ledger holds, by state",
    "study_rounds": "Rounds under way, by what they wait for",
}
_EVENTS = "What happened, by kind"
_ANSWERS = "How long operations over HTTP took, by name and whether they were done or refused"
STUDIES_MAX = 16
"""Studies that are told of one by one: as many as the ledger lets go on at once."""
_STUDY_DIGITS = 12
_OPEN = frozenset({"inviting", "running"})


class Metrics:
    """Counts what happens, and looks at the rest when it is asked."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._gauges = {name: self._gauge(name, text) for name, text in _GAUGES.items()}
        by_state = {name: self._gauge(name, text, "state") for name, text in _BY_STATE.items()}
        self._tasks, self._studies = by_state["tasks"], by_state["studies"]
        self._rounds = by_state["study_rounds"]
        self._of_a_study = {
            name: self._gauge(name, text, "study") for name, text in _OF_A_STUDY.items()
        }
        self._events = Counter("ambient_events", _EVENTS, ["kind"], registry=self._registry)
        self._answers = Histogram(
            "ambient_http_seconds",
            _ANSWERS,
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
        for state, much in cluster.studies.items():
            self._studies.labels(state).set(much)
        listed: Studies = await self._ask(
            learning_operations.FL_LIST, ListStudies(limit=STUDIES_MAX)
        )
        self._tell_studies([each for each in listed.studies if each.state in _OPEN])
        text = exposition.generate_latest(self._registry)
        return HttpAnswer(200, text, [("content-type", exposition.CONTENT_TYPE_PLAIN_0_0_4)])

    def _tell_studies(self, studies: Sequence[StudyInfo]) -> None:
        """Tell of the studies that go on, and of no other any more."""
        for gauge in self._of_a_study.values():
            gauge.clear()
        for state in RoundState:
            much = sum(each.round_state == state.name.lower() for each in studies)
            self._rounds.labels(state.name.lower()).set(much)
        for study in studies:
            for name, value in _study_values(study).items():
                self._of_a_study[name].labels(study.study[:_STUDY_DIGITS]).set(value)

    async def _ask(self, operation: operations.Operation[Any, Any], request: object) -> Any:  # noqa: ANN401
        return await cast("Awaitable[Any]", self._handlers[operation.name](request))


class Described(NamedTuple):
    """A metric for documents: its name, the labels it has, and what it says."""

    name: str
    labels: tuple[str, ...]
    text: str


def described() -> Iterator[Described]:
    """Give every metric of a node but those of its process, which the library describes."""
    for names, labels in ((_GAUGES, ()), (_BY_STATE, ("state",)), (_OF_A_STUDY, ("study",))):
        for name, text in names.items():
            yield Described(f"ambient_{name}", labels, text)
    yield Described("ambient_events_total", ("kind",), _EVENTS)
    yield Described("ambient_http_seconds", ("operation", "outcome"), _ANSWERS)


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
        "private_epsilon": status.privacy.epsilon,
    }


def _study_values(study: StudyInfo) -> dict[str, float]:
    """Give a study's figures; those of privacy where it is private and this node takes part."""
    found: dict[str, float] = {
        "study_rounds_done": study.done,
        "study_participants": len(study.participants),
        "study_fell_out": study.fell_out,
    }
    if study.privacy is None or not (study.takes_part or study.privacy.releases):
        return found
    spent, limit = study.privacy.spent, study.privacy.limit
    return found | {
        "study_epsilon": float("nan") if spent is None else spent,
        "study_epsilon_limit": float("nan") if limit is None else limit,
    }
