"""A real node with one member, and the parts around it that tests drive by hand."""

import random
from collections.abc import Sequence
from pathlib import Path

from ambientd.api.cluster import ClusterPlan, create_cluster
from ambientd.api.genesis_files import load_genesis
from ambientd.config.places import Places
from ambientd.model.genesis import Genesis
from ambientd.node.build import NodeOptions, build_node
from ambientd.node.core import Node
from ambientd.ports.store import Store, Write
from ambientd.runtime.persistence import StoredBlocks, recover
from ambientd.runtime.store_writer import StoreWriter
from tests.fakes.memory_store import MemoryStore

START_MS = 1_900_000_000_000


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


class NotingStore(MemoryStore):
    """Writes down each transaction in a journal that others write to as well."""

    def __init__(self, journal: list[object]) -> None:
        super().__init__()
        self.journal = journal

    def write(self, batch: Sequence[Write]) -> None:
        super().write(batch)
        self.journal.append(tuple(batch))


def found_cluster(root: Path, members: int = 1) -> tuple[Genesis, bytes]:
    """A cluster of one or more, the same for a folder, and its first member's seed."""
    if not root.exists() or not any(root.iterdir()):
        create_cluster(root, members, ClusterPlan(bitcoin="off", created_ms=START_MS - 1000))
    places = Places(root / "node1")
    return load_genesis(places.genesis), places.key.read_bytes()


def node_on(store: Store, writer: StoreWriter, genesis: Genesis, seed: bytes) -> Node:
    """The node in the state that the store holds."""
    back = recover(store, genesis)
    options = NodeOptions(genesis=genesis, seed=seed)
    blocks = StoredBlocks(writer)
    epoch, rng = back.telemetry_epoch, random.Random(1)
    kept, said = back.kept, (back.marks, back.asked)
    return build_node(options, back.ledger, back.log, epoch, blocks, rng, kept, *said)
