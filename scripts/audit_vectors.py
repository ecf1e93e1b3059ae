"""Vectors of an audit's life: a lie of one worker alone, drawn by a Bitcoin block, and undone."""

from typing import Any

from ambientd.codec.canonical import encode
from ambientd.codec.statements import audit_id, task_id
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, BitcoinHeaders
from ambientd.model.task import Assurance
from tests.ledger.cluster import UNTIL_MS, TestCluster, result, spec
from tests.ledger.headers import SIGNET_HEADERS
from tests.rules.receipts import LIE

HEIGHT = 200_000
KNOWN = 3


def vectors() -> dict[str, Any]:
    """Vectors of protocols/03-records.md section 10: two lone answers, one of them a lie."""
    from scripts.make_vectors import _Scene

    rules = Rules(audit_permille=1000, audit_window_ms=4_000)
    cluster = TestCluster(rules=rules, network="signet")
    scene = _Scene(cluster=cluster)
    genesis_root = cluster.state.root
    scene.block((0, BitcoinHeaders(height=HEIGHT, headers=SIGNET_HEADERS[:KNOWN])))
    terms = spec(assurance=Assurance.NONE, replicas=1)
    tasks = []
    for nonce, answers in ((b"a lie", {0: LIE}), (b"the truth", {})):
        task = task_id(cluster.node(0), nonce, terms)
        scene.block((0, Admit(nonce=nonce, spec=terms, until_ms=UNTIL_MS)))
        scene.block((0, cluster.commits(task, answers)))
        scene.block((0, cluster.settle(task, answers)))
        tasks.append(task)
    scene.block((1, BitcoinHeaders(height=HEIGHT + KNOWN, headers=SIGNET_HEADERS[KNOWN:])))
    scene.block()
    for task in tasks:
        audit = audit_id(task, 0)
        scene.block((0, cluster.commits(audit)))
        scene.block((0, cluster.settle(audit)))
    false = audit_id(tasks[0], 0)
    scene.block(*(cluster.finding(false, referee, result()) for referee in range(3)))
    scene.block(after_ms=4_000)
    return {
        "document": "protocols/03-records.md",
        "genesis": encode(cluster.genesis).hex(),
        "cluster": cluster.id.hex(),
        "state_root_of_genesis": genesis_root.hex(),
        "blocks": scene.blocks,
    }
