"""A batch of a million receipts: hashed, closed, anchored, each proved; and receipt files checked.

The anchor goes into the embedded chain, which is regtest: six confirmations take moments there.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import trio

from ambientd.adapters.anchor_file import AnchorFile
from ambientd.adapters.anchor_service import ChainAnchors
from ambientd.adapters.anchor_wallet import AnchorWallet
from ambientd.adapters.regtest.launcher import EmbeddedChain, EmbeddedRegtest
from ambientd.api.offline import check_receipt
from ambientd.api.views import receipt_file
from ambientd.codec import ed25519
from ambientd.codec.canonical import encode
from ambientd.codec.merkle import root_from_inclusion
from ambientd.codec.signing import verify_note
from ambientd.codec.statements import settlement_leaf
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.receipt import AnchorProof, CheckpointNote, Cosignature, Settlement
from ambientd.model.record import Anchor
from ambientd.model.task import Verdict
from ambientd.node.event import AnchorProven, AnchorSigned
from ambientd.roles.anchoring.options import AnchoringOptions
from ambientd.rules.bitcoin import REGTEST, Branch, check_anchor
from ambientd.rules.notes import note_text
from ambientd.rules.receipt_tree import ReceiptTree
from ambientd.rules.verdicts import quorum
from benchmarks.mesh import machine
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import TestCluster, result

AIM_S = 60
AIM_MIB = 2_048
LOOK_MS = 50
IDLE_EXIT_S = 5


@contextmanager
def measured(what: str, count: int) -> Iterator[None]:
    """Print how long a step takes, by the clock and by processor time."""
    begin, used = time.monotonic(), time.process_time()
    yield
    spent, used = time.monotonic() - begin, time.process_time() - used
    print(f"{what:46} {spent:7.2f} s, {used:7.2f} s CPU, {count / max(used, 1e-9):12,.0f}/s CPU")


def settlements(count: int) -> Iterator[Settlement]:
    """Give settlements of two replicas that agree, each of another task."""
    agreed = result()
    for number in range(count):
        name = Digest(sha256(number.to_bytes(8, "big")).digest())
        yield Settlement(
            task=TaskId(name),
            submitter=NodeId(name),
            spec=name,
            verdict=Verdict.AGREED,
            result=agreed,
            receipts=(name, name),
            referees=(),
            liars=(),
            settled_ms=1_700_000_000_000 + number,
        )


def close(cluster: TestCluster, size: int, root: Digest) -> CheckpointNote:
    """Have a quorum cosign the head, and verify each cosignature as the ledger does."""
    text = note_text(cluster.id, size, root)
    signers = list(cluster.signers.values())[: quorum(cluster.members)]
    cosignatures = tuple(
        Cosignature(member=NodeId(each.public_key), signature=each.sign_note(text))
        for each in signers
    )
    if not all(verify_note(each.member, text, each.signature) for each in cosignatures):
        raise SystemExit("a cosignature does not hold")
    return CheckpointNote(size=size, root=root, cosignatures=cosignatures)


async def anchor(folder: Path, size: int, root: Digest) -> AnchorProof:
    """Bring a root into a chain as a member does, until its proof is there and holds."""
    chain = await EmbeddedRegtest.start(EmbeddedChain(folder / "chain", LOOK_MS, IDLE_EXIT_S))
    options = AnchoringOptions(look_ms=LOOK_MS, retry_ms=LOOK_MS, watch_ms=LOOK_MS)
    anchors = ChainAnchors(
        chain,
        AnchorWallet(bytes(32), "regtest"),
        AnchorFile(folder / "anchors"),
        options,
        lambda: int(trio.current_time() * 1000),
        chain.fund,
    )
    proofs: list[AnchorProof] = []
    is_there = trio.Event()

    async def post(event: AnchorProven | AnchorSigned) -> None:
        await trio.lowlevel.checkpoint()
        if isinstance(event, AnchorProven):
            proofs.append(event.proof)
            is_there.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(anchors.run, post)
        anchors.want(size, root)
        await is_there.wait()
        nursery.cancel_scope.cancel()
    await chain.aclose()
    proof = proofs[0]
    branch, following = Branch(proof.index, proof.siblings), list(proof.following_headers)
    if not check_anchor(root, proof.raw_tx, branch, proof.header, following, REGTEST).passed:
        raise SystemExit("the anchor does not hold")
    return proof


def batch(count: int) -> None:
    """Build, close, anchor and prove one batch, from settlements to proofs that hold."""
    cluster = TestCluster()
    settled = list(settlements(count))
    begin, used = time.monotonic(), time.process_time()
    with measured("leaves encoded and hashed", count):
        leaves = [settlement_leaf(each) for each in settled]
    with measured("tree built", count):
        tree = ReceiptTree(leaves)
        root = Digest(tree.root(count))
    with measured("head cosigned by a quorum", 1):
        close(cluster, count, root)
    with tempfile.TemporaryDirectory(prefix="ambient-bench-") as folder, measured("anchored", 1):
        trio.run(anchor, Path(folder), count, root)
    with measured("paths made, each for itself", count):
        for index in range(count):
            tree.inclusion_path(index, count)
    spent, used = time.monotonic() - begin, time.process_time() - used
    with measured("paths made and checked", count):
        for index, leaf in enumerate(leaves):
            path = tree.inclusion_path(index, count)
            if root_from_inclusion(leaf, index, count, path) != root:
                raise SystemExit(f"the path of leaf {index} does not lead to the root")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{count:,} receipts, anchored and proved: {spent:.1f} s, {used:.1f} s CPU (aim {AIM_S})")
    print(f"{count / spent:,.0f} receipts a second (aim 10,000); peak {peak} MiB (aim < {AIM_MIB})")
    if spent >= AIM_S or peak >= AIM_MIB:
        print("missed")


def files(count: int) -> None:
    """Write and check whole receipt files of one anchored batch: two replicas, four members."""
    cluster = TestCluster()
    for number in range(count):
        cluster.work(cluster.admit(nonce=b"%d" % number))
    cluster.close_batch()
    size = cluster.state.checkpoint_size()
    root = cluster.state.receipt_log_root(size)
    cluster.block((0, Anchor(size=size, root=root, proof=anchor_proof(root))))
    with measured("receipt files signed and encoded", count):
        made = [
            receipt_file(cluster.state, entry, cluster.signer(0))
            for _, entry in cluster.state.tasks()
        ]
        data = [encode(file) for file in made]
    ed25519.verify.cache_clear()
    with measured("receipt files checked, one after the other", count):
        if not all(check_receipt(each, cluster.id).valid for each in data):
            raise SystemExit("a receipt does not hold")
    print(f"a file has {max(map(len, data)):,} bytes (aim < 20,480)")


def main() -> None:
    """Measure the batch, then the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--receipts", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=2_000)
    chosen = parser.parse_args()
    print(machine())
    files(chosen.files)
    batch(chosen.receipts)
    print(machine())


if __name__ == "__main__":
    main()
