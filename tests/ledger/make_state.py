"""Write down a state of the present version: python -m tests.ledger.make_state.

Run it when a version is new, or while the first one still changes before a release.
"""

import json

from ambientd.codec.canonical import encode
from ambientd.ledger.entries import encode_key
from ambientd.model.genesis import Rules
from ambientd.model.offer import Closed
from ambientd.model.record import (
    Anchor,
    Bond,
    NodeReport,
    Offer,
    PegFee,
    PegReturn,
    SeatAsked,
    Unbond,
    Yank,
)
from ambientd.model.task import Assurance
from ambientd.rules.bitcoin import decode_transaction
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster, result, seed_of
from tests.ledger.imaging import FALSE, go_over, named
from tests.ledger.peg import PegCluster
from tests.ledger.publishing import publish
from tests.ledger.studies import begin_study
from tests.ledger.test_versions import FOLDER
from tests.rules.peg import PAYEE

GUEST = 50


def played() -> TestCluster:
    """Give a cluster in which something of every kind has happened, but for the peg."""
    cluster = TestCluster()
    cluster.block(cluster.join(GUEST))
    cluster.report(NodeReport(node=cluster.node(1), accepting=True, capacity=4))
    cluster.work(cluster.admit(nonce=b"agreed"))
    cluster.work(cluster.admit(nonce=b"alone", assurance=Assurance.NONE, replicas=1))
    cluster.block((0, Bond(amount_msat=9_000, said_ms=1)), (0, Unbond(amount_msat=1, said_ms=2)))
    asked = SeatAsked(beacon_tip=seed_of(GUEST), bond_msat=0, asked_ms=1)
    cluster.block((GUEST, asked))
    cluster.block((GUEST, Offer(closed=Closed.PAUSED, refuses=(), hands_back=(), said_ms=1)))
    small = Offer(closed=0, refuses=(), hands_back=(), said_ms=1, memory_bytes_max=1 << 34)
    cluster.block((2, small))
    cluster.block((1, publish("sums")), (1, publish("sums", "1.1.0")))
    cluster.block((1, Yank(name="sums", version="1.0.0", reason="adds wrongly")))
    cluster.close_batch()
    size = cluster.state.receipt_log_size()
    root = cluster.state.receipt_log_root(size)
    cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))
    disputed = cluster.admit(nonce=b"disputed")
    cluster.work(disputed, {1: result(b"lie")})
    cluster.block(*(cluster.finding(disputed, referee, result()) for referee in range(3)))
    begin_study(cluster, GUEST)
    cluster.admit(nonce=b"open")
    return cluster


def pegged() -> PegCluster:
    """Give a cluster with a peg, which grants nobody anything: every kind of its entries is there.

    A sweep is final by its cheaper version, a peg-out and a return are under way, and another
    return waits for members to see what it is of.
    """
    cluster = PegCluster(rules=Rules(keep_ms=60_000))
    cluster.open()
    cluster.fund(1, 400_000)
    cluster.block(after_ms=60_000)
    cluster.block(cluster.key(0, root=50))
    cluster.fund(2, 10_000)
    cluster.block(*(cluster.signed(member, 1) for member in (1, 2, 3)))
    cluster.block(after_ms=3_600_000)
    cluster.block((0, PegFee(payment=1, fee_sat=cluster.payment(1).fees_sat[0] + 200)))
    cluster.all_say(cluster.seen(1))
    cluster.block((1, cluster.out(100_000)))
    cluster.block(cluster.signed(1, 2))
    for words in (3, 1):
        small = cluster.peg_in(2, 4_000)
        asked = PegReturn(
            txid=decode_transaction(small.proof.raw_tx).txid,
            output=small.output,
            script=PAYEE,
            fee_sat=300,
            said_ms=cluster.next_ms(),
        )
        cluster.block((2, asked), *((member, small) for member in range(words)))
    return cluster


def write(prefix: str, cluster: TestCluster) -> None:
    """Write one state."""
    form = cluster.state.form
    items = sorted(cluster.state.items().items())
    document = {
        "version": cluster.state.version,
        "genesis": encode(cluster.genesis).hex(),
        "index": cluster.index,
        "root": cluster.state.root.hex(),
        "entries": [[encode_key(key).hex(), form.encode(key, each).hex()] for key, each in items],
    }
    text = json.dumps(document, indent=1) + "\n"
    (FOLDER / f"{prefix}version-{form.number}.json").write_text(text)


def main() -> None:
    """Write the files: each state in the first version, and as the second one has it."""
    for prefix, cluster in (("", played()), ("peg-", pegged())):
        write(prefix, cluster)
        go_over(cluster)
        if not prefix:
            cluster.block(named(cluster, 0, FALSE), named(cluster, 1), named(cluster, 2))
        write(prefix, cluster)


if __name__ == "__main__":
    main()
