"""What a block costs where very many tasks are open: each scene in a state of its own.

`python -m benchmarks.large_state`: processor time of working a block out and taking it in.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from ambientd.ledger.apply import BlockContext, apply_block
from ambientd.ledger.audit_entries import Unvested
from ambientd.ledger.entries import (
    Entry,
    Key,
    Meta,
    Moves,
    NodeEntry,
    Slot,
    Table,
    TaskEntry,
    moves_key,
    unvested_key,
)
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.record import NodeReport, Record, Registry
from ambientd.model.task import SlotState, TaskState
from benchmarks.mesh import machine
from tests.ledger.cluster import START_MS, TestCluster, genesis, profile, seed_of, sign_record, spec

NODES = 2_000
ORDINARY_MS = 400
OUTAGE_MS = 10_000
Items = dict[Key, Entry]


@dataclass(frozen=True)
class Scene:
    """What there is in a state, and the block that is measured."""

    name: str
    fill: Callable[[Items, int], None]
    step_ms: int = ORDINARY_MS
    lost: int = 0


def node(number: int) -> NodeId:
    """Give a guest."""
    return NodeId(seed_of(10_000 + number))


def guests(items: Items, **changes: object) -> None:
    """Let nodes have joined that take work, with slots enough."""
    for number in range(NODES):
        known: dict[str, object] = {"profile": profile(f"g{number}"), "is_member": False}
        items[Table.NODE, node(number)] = NodeEntry(**(known | changes))  # type: ignore[arg-type]


def task(number: int, state: TaskState, slots: tuple[Slot, ...]) -> TaskEntry:
    """Give an open task."""
    return TaskEntry(
        submitter=node(number % NODES),
        nonce=b"%d" % number,
        until_ms=START_MS,
        admit_signature=b"",
        spec=spec(wall_ms_max=600_000),
        state=state,
        admitted_ms=START_MS - number,
        escrow_msat=0,
        slots=slots,
        deadline_ms=max(slot.deadline_ms for slot in slots),
    )


def assigned(items: Items, count: int) -> None:
    """Let every task have two workers."""
    guests(items, capacity=1024, open_slots=2 * count // NODES)
    for number in range(count):
        held = tuple(
            Slot(
                slot=place,
                attempt=0,
                worker=node((number + place) % NODES),
                state=SlotState.ASSIGNED,
                deadline_ms=START_MS + 600_000 + number,
            )
            for place in range(2)
        )
        items[Table.TASK, seed_of(number)] = task(number, TaskState.ASSIGNED, held)


def assigned_and_a_bond_due(items: Items, count: int) -> None:
    """Let one idle node have asked its bond back long ago."""
    assigned(items, count)
    idle = NodeId(seed_of(9_999))
    items[Table.NODE, idle] = NodeEntry(profile=profile("idle"), is_member=False)
    items[moves_key(idle)] = Moves(said_ms=1, waiting_msat=5, due_ms=1)


def waiting(items: Items, count: int) -> None:
    """Let nobody have a task, and nobody have room."""
    guests(items, open_slots=8)
    for number in range(count):
        empty = tuple(Slot(slot=place, attempt=0) for place in range(2))
        items[Table.TASK, seed_of(number)] = task(number, TaskState.PENDING, empty)


def waiting_and_room(items: Items, count: int) -> None:
    """Let nobody have a task, and all nodes have room at once."""
    waiting(items, count)
    guests(items)


def unvested(items: Items, count: int) -> None:
    """Let pay be due for as many tasks, whose audits are under way."""
    guests(items)
    for number in range(count):
        key = unvested_key(node(number % NODES), TaskId(seed_of(number)))
        items[key] = Unvested(amount_msat=0, due_ms=START_MS)


SCENES = (
    Scene("assigned tasks, an ordinary block", assigned),
    Scene("assigned tasks, the first block after an outage", assigned, OUTAGE_MS),
    Scene("assigned tasks, one node is lost", assigned, lost=1),
    Scene("assigned tasks, all nodes are lost at once", assigned, lost=NODES),
    Scene("assigned tasks, a bond is due", assigned_and_a_bond_due),
    Scene("tasks that nobody can take", waiting),
    Scene("tasks that wait as all nodes get room", waiting_and_room),
    Scene("payments due", unvested),
)


def reports(cluster: TestCluster, lost: int) -> list[Record]:
    """Let two members of four say that nodes are gone."""
    gone = tuple(NodeReport(node=node(number), accepting=False) for number in range(lost))
    body = Registry(reports=gone, observed_ms=START_MS)
    return [sign_record(cluster.signer(member), body) for member in range(2)] if lost else []


def measured(scene: Scene, count: int, blocks: int) -> list[float]:
    """Give the milliseconds that each of some blocks took; the first is the scene's."""
    cluster = TestCluster()
    items: Items = {}
    scene.fill(items, count)
    items[Table.META, b""] = Meta(time_ms=START_MS)
    state = LedgerState.from_items(genesis(), items, 0)
    records, time_ms, times = reports(cluster, scene.lost), START_MS, []
    for index in range(1, blocks + 1):
        time_ms += scene.step_ms if index == 1 else ORDINARY_MS
        beacon = seed_of(index)
        context = BlockContext(index=index, term=1, time_ms=time_ms, beacon=beacon)
        begin = time.process_time()
        done = apply_block(state, context, records if index == 1 else [])
        state.commit(index, done.writes, done.tree)
        times.append(1000 * (time.process_time() - begin))
    return times


def main() -> None:
    """Measure each scene several times, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=4)
    chosen = parser.parse_args()
    print(machine())
    found: dict[str, list[list[float]]] = {scene.name: [] for scene in SCENES}
    for _ in range(chosen.runs):
        for scene in SCENES:
            found[scene.name].append(measured(scene, chosen.tasks, chosen.blocks))
    for name, runs in found.items():
        first = statistics.median(times[0] for times in runs)
        worst = statistics.median(max(times[1:]) for times in runs)
        print(f"{name}: {first:.1f} ms, the longest of {chosen.blocks - 1} after it {worst:.1f} ms")
    print(machine())


if __name__ == "__main__":
    main()
