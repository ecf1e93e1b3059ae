"""Whole nodes that audit: drawn by Bitcoin blocks that members bring, or by their own chain."""

from msgspec.structs import replace

from ambientd.ledger.audit_entries import AuditEntry, AuditSource, AuditState
from ambientd.ledger.entries import audit_key
from ambientd.ledger.headers import window_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.node.event import HeadersSeen
from ambientd.roles.anchorer import AnchorerOptions
from sim.cluster import RULES
from sim.vices import Vice
from tests.ledger.headers import SIGNET_HEADERS
from tests.ledger.test_headers import HEIGHT, KNOWN
from tests.node.cluster import Cluster

ALL = replace(RULES, audit_permille=1000, audit_window_ms=8_000)
PATIENT = replace(ALL, audit_window_ms=200_000)


def about(ledger: LedgerState, task: TaskId) -> AuditEntry | None:
    found = ledger.get(audit_key(task))
    return found if isinstance(found, AuditEntry) else None


def has_come(cluster: Cluster, task: TaskId, state: AuditState) -> bool:
    found = [about(host.ledger, task) for host in cluster.up()]
    return all(each is not None and each.state is state for each in found)


def see(cluster: Cluster, count: int) -> None:
    """Let every member's own chain come so far."""
    for host in cluster.hosts:
        seen = HeadersSeen(HEIGHT, SIGNET_HEADERS[:count])
        cluster.world.act(host.key, lambda now, h=host, s=seen: h.feed([s], now))  # type: ignore[misc]


def test_the_answer_of_one_worker_alone_is_audited_by_another() -> None:
    cluster = Cluster(rules=ALL)
    task = cluster.submit(replicas=1)
    worker = cluster.until_closed(task).slots[0].worker
    cluster.until(lambda: has_come(cluster, task, AuditState.CONFIRMED))
    found = about(cluster.ledger(), task)
    assert found is not None
    assert found.source is AuditSource.COMMITTEE
    assert worker not in found.confirmed_by
    cluster.check_equal()


def test_a_lie_of_one_worker_alone_is_found_and_all_its_answers_with_it() -> None:
    cluster = Cluster(vices={2: Vice.LIE}, rules=ALL)
    liar = NodeId(cluster.hosts[2].key)
    own: list[TaskId] = []
    while len(own) < 2:
        task = cluster.submit(replicas=1)
        if cluster.until_closed(task).slots[0].worker == liar:
            own.append(task)
        entry = cluster.ledger().node(liar)
        if entry is not None and entry.tombstoned:
            break
    assert own
    cluster.until(lambda: all(has_come(cluster, task, AuditState.REFUTED) for task in own))
    entry = cluster.ledger().node(liar)
    assert entry is not None
    assert entry.tombstoned
    assert cluster.ledger().vesting.of(liar) == []


def test_a_bitcoin_block_that_members_bring_draws() -> None:
    cluster = Cluster(
        rules=PATIENT, network="signet", anchors=lambda _: AnchorerOptions(enabled=False)
    )
    see(cluster, KNOWN)
    knows = cluster.everywhere(lambda ledger: window_of(ledger).tip == HEIGHT + KNOWN - 1)
    cluster.until(knows)
    task = cluster.submit(replicas=1)
    cluster.until_closed(task)
    cluster.run(5_000)
    assert has_come(cluster, task, AuditState.AWAITING)
    see(cluster, len(SIGNET_HEADERS))
    cluster.until(lambda: has_come(cluster, task, AuditState.CONFIRMED))
    found = about(cluster.ledger(), task)
    assert found is not None
    assert found.source is AuditSource.BITCOIN
