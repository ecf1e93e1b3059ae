"""What a round of open mode costs the member that names survivors and aggregates, an update.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.open_rounds

In one process: updates come over a network that hands them out at once, are kept durably, gathered,
and aggregated, as `LearningHost` does in a daemon. Processor time is counted, as the machine may be
busy with other things; neither training nor the network is in it.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.learning.learner import make_learner
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId
from ambientd.model.learning import Contributed, Plan, StudyId
from ambientd.model.learning_effect import AggregateWanted, GatherWanted, Model, Place, Step
from ambientd.node.learning_event import Aggregated, Gathered
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.learning import LearningHost
from sim.learners import RememberedConsents

PLAN = Plan(model="mlp:784,126,10", trainer="numpy", aggregation="fedavg", seed=bytes(32))
STUDY = StudyId(bytes(32))


async def play(folder: Path, participants: int, rounds: int) -> tuple[float, float]:
    """Play the rounds; give processor and other seconds for gathering and aggregating them."""
    learner = make_learner()
    start = learner.initial(PLAN)
    shown: dict[bytes, bytes] = {}

    async def request(_peer: NodeId, digest: bytes, _size_bytes: int) -> bytes | None:
        return shown.get(digest)

    files = BlobFiles(folder, quota_bytes=8 << 30)
    blobs = Blobs(files, request, list)
    host = LearningHost(make_learner, RememberedConsents({}), blobs, files)
    nodes = [NodeId(number.to_bytes(32, "big")) for number in range(participants)]
    model, size_bytes = await blobs.put(start), len(start)
    cpu_s = wall_s = 0.0
    for number in range(1, rounds + 1):
        shown = {sha256(each): each for each in (made(size_bytes) for _ in nodes)}
        said = tuple(
            Contributed(node=node, update=Digest(digest), samples=10)
            for node, digest in zip(nodes, shown, strict=True)
        )
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        place = Place(STUDY, number, Step.GATHER)
        gathered = await host.carry_out(GatherWanted(place, said, size_bytes, 600_000))
        assert isinstance(gathered, Gathered)
        place = Place(STUDY, number, Step.AGGREGATE)
        before = Model(model, size_bytes, ())
        done = await host.carry_out(AggregateWanted(place, PLAN, before, said, size_bytes, 600_000))
        assert isinstance(done, Aggregated)
        cpu_s += time.process_time() - began_cpu_s
        wall_s += time.perf_counter() - began_s
        model = done.after
    return cpu_s, wall_s


def made(size_bytes: int) -> bytes:
    """Give an update of small numbers, another each time."""
    words = os.urandom(size_bytes // 4)
    return b"".join(bytes([word, 0, 0, 0]) for word in words)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cpu_s, wall_s = trio.run(play, Path(folder), options.participants, options.rounds)
    updates = options.participants * options.rounds
    print(f"{updates} updates of 0.4 MB: {1000 * cpu_s / updates:.1f} ms of processor time each,")
    print(
        f"{updates / wall_s:.0f} a second; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
