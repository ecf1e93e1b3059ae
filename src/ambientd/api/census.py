"""Who is in the cluster, and the cluster in figures."""

import re
from collections import Counter

from ambientd.api import replies, requests
from ambientd.api.census_replies import Cluster
from ambientd.api.paging import check_place, page
from ambientd.api.views import find_node, node_info
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.learning import StudyState
from ambientd.model.task import TaskState
from ambientd.runtime.service import Parts

_PLACE = re.compile("[0-9a-f]{64}")


def count_tasks(state: LedgerState) -> dict[str, int]:
    """Count the ledger's tasks by their states."""
    return {each.name.lower(): state.tasks_by.in_state[each] for each in TaskState}


def count_studies(state: LedgerState) -> dict[str, int]:
    """Count the studies that the ledger holds by their states."""
    known = (*state.studies.open, *(each.study for each in state.studies.ended))
    found = Counter(entry.state for each in known if (entry := state.study(each)) is not None)
    return {each.name.lower(): found[each] for each in StudyState}


def reputations(state: LedgerState) -> dict[NodeId, int]:
    """Give every node's reputation, in thousandths."""
    return {node: state.reputation_permille(node) for node in state.nodes()}


class Census:
    """Answers what is asked about nodes."""

    def __init__(self, own: NodeId, engine: str, parts: Parts) -> None:
        self._own = own
        self._engine = engine
        self._parts = parts
        self._state = parts.node.ledger

    async def nodes(self, request: requests.ListNodes) -> replies.Nodes:
        """List everybody in the cluster."""
        check_place(request.after, _PLACE)
        found, following = page(self._state.nodes(), bytes.hex, request.limit, request.after)
        return replies.Nodes(self_id=self._own.hex(), nodes=self._seen(found), next=following)

    async def show(self, request: requests.ShowNode) -> replies.NodeInfo:
        """Tell what is known of one node."""
        return self._seen([find_node(self._state, request.node)])[0]

    async def cluster(self, _: requests.ShowCluster) -> Cluster:
        """Count what the cluster has."""
        node, state = self._parts.node, self._state
        return Cluster(
            name=state.genesis.name,
            fingerprint=state.cluster.hex(),
            term=node.consensus.term,
            coordinator=None if node.coordinator is None else node.coordinator.hex(),
            committed_height=state.applied_index,
            time_ms=state.meta.time_ms,
            epoch=state.epoch.number,
            committee=len(state.members),
            nodes=len(state.nodes()),
            connected=len(self._parts.transport.peers()),
            tasks=count_tasks(state),
            receipts=state.receipt_log_size(),
            anchored=state.anchored_size(),
            studies=count_studies(state),
        )

    def _seen(self, nodes: list[NodeId]) -> tuple[replies.NodeInfo, ...]:
        view = self._parts.node.telemetry.view(self._parts.now(), reputations(self._state))
        connected = self._parts.transport.peers()
        found = []
        for node in nodes:
            is_here = node == self._own or node in connected
            engine = self._engine if node == self._own else None
            found.append(
                node_info(self._state, node, view.get(node), connected=is_here, engine=engine)
            )
        return tuple(found)
