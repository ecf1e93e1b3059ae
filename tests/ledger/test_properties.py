"""Random streams of records, good and bad: what must hold whatever comes."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.statements import commitment, settlement_leaf, sign_commit
from ambientd.ledger.assigning import working_ms
from ambientd.ledger.awaiting import awaited_ms
from ambientd.ledger.entries import NodeEntry, Table, TaskEntry
from ambientd.ledger.events import Paid, TaskFinal
from ambientd.ledger.outages import STEP_MS_MAX
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import (
    Admit,
    Anchor,
    Body,
    Cancel,
    Checkpoint,
    Commits,
    Fraud,
    NodeReport,
    Registry,
    Settle,
)
from ambientd.model.task import TERMINAL, Assurance, SlotState
from ambientd.rules.scheduling import backing, has_room
from tests.ledger.bitcoin import anchor_proof
from tests.ledger.cluster import UNTIL_MS, TestCluster, result, spec

ANSWERS = [result(), result(), result(), result(b"lie"), result(b"", gas=0, kind=3)]
RULES = Rules(
    lease_ms=2_000,
    reveal_ms=1_500,
    dispute_ms=3_000,
    attempts_max=3,
    audit_window_ms=3_000,
    audit_permille=500,
)
PROOF = anchor_proof(hashlib.sha256(b"").digest())


@dataclass
class Stream:
    """Draws the next body from what the ledger looks like now; often something is bent."""

    data: st.DataObject
    cluster: TestCluster = field(default_factory=lambda: TestCluster(5, RULES))
    finals: dict[TaskId, TaskEntry] = field(default_factory=dict)
    sent: list[tuple[int, Body]] = field(default_factory=list)
    paid: set[tuple[TaskId, NodeId]] = field(default_factory=set)
    nonces: int = 0

    def pick(self, most: int) -> int:
        return self.data.draw(st.integers(0, most))

    def any_task(self) -> TaskId:
        tasks = [task for task, _ in self.cluster.state.tasks()]
        return tasks[self.pick(len(tasks) - 1)] if tasks else TaskId(bytes(32))

    def record(self) -> tuple[int, Body]:
        author = self.pick(6)
        match self.pick(10):
            case 0 | 1:
                return author, self.admit()
            case 2 | 3:
                return author, self.commits()
            case 4 | 5:
                return author, self.settle()
            case 6:
                task = self.any_task()
                referee = self.pick(5)
                return self.cluster.finding(task, referee, ANSWERS[self.pick(4)])
            case 7:
                return author, Cancel(task=self.any_task())
            case 8:
                return author, self.registry()
            case 9:
                return author, self.receipt_log()
            case _:
                return self.rest()

    def admit(self) -> Admit:
        self.nonces += self.pick(1)
        replicated = self.pick(3) > 0
        return Admit(
            nonce=b"%d" % self.nonces,
            spec=spec(
                replicas=1 + self.pick(3) if replicated else 1,
                assurance=Assurance(int(replicated)),
                price_msat_per_mgas=(0, 1, 100, 10**7)[self.pick(3)],
                output_bytes_max=(4, 1000)[self.pick(1)],
            ),
            until_ms=UNTIL_MS,
        )

    def answers(self, task: TaskId) -> list:
        entry = self.cluster.state.task(task)
        if entry is None:
            return []
        return [
            self.cluster.receipt(task, slot.slot, ANSWERS[self.pick(4)])
            for slot in entry.slots
            if slot.worker and self.pick(9)
        ]

    def commits(self) -> Commits:
        signed = self.answers(self.any_task())
        commits = [
            sign_commit(self.cluster.signers[each.receipt.worker], each.receipt) for each in signed
        ]
        if commits and self.pick(5) == 0:
            commits[0] = replace(commits[0], attempt=commits[0].attempt + 1)
        return Commits(commits=tuple(commits))

    def settle(self) -> Settle:
        """Open what was sealed, as a worker can that finds the receipt to its commitment."""
        task = self.any_task()
        entry = self.cluster.state.task(task)
        receipts = []
        for slot in () if entry is None else entry.slots:
            if slot.commit is not None and slot.receipt is None and self.pick(5):
                candidates = [self.cluster.receipt(task, slot.slot, each) for each in ANSWERS]
                sealed = [
                    each
                    for each in candidates
                    if commitment(each.receipt) == slot.commit.commitment
                ]
                receipts += sealed[:1]
        return Settle(task=task, receipts=tuple(receipts or self.answers(task)))

    def registry(self) -> Registry:
        return Registry(
            reports=tuple(
                NodeReport(
                    node=self.cluster.node(self.pick(6)),
                    accepting=self.pick(3) > 0,
                    safe_mode=self.pick(5) == 0,
                    capacity=self.pick(3),
                    load_percent=self.pick(110),
                )
                for _ in range(self.pick(4))
            ),
            observed_ms=self.cluster.time_ms,
        )

    def receipt_log(self) -> Body:
        size = self.cluster.state.receipt_log_size()
        if self.pick(2):
            return Checkpoint(note=self.cluster.note(self.pick(size), signers=2 + self.pick(2)))
        root = self.cluster.state.receipt_log_root(size)
        return Anchor(size=self.pick(size + 1), root=root, proof=PROOF)

    def rest(self) -> tuple[int, Body]:
        kind = self.pick(2)
        if kind == 0:
            return self.cluster.join(5 + self.pick(1), invite=900 + self.pick(1))
        task = self.any_task()
        if kind == 1 or self.cluster.state.task(task) is None:
            return self.sent[self.pick(len(self.sent) - 1)] if self.sent else (0, self.admit())
        pair = [self.cluster.verdict(task, self.pick(4), ANSWERS[self.pick(4)]) for _ in range(2)]
        first, second = (encode(each) for each in pair)
        return 0, Fraud(culprit=pair[0].referee, kind="verdict", first=first, second=second)

    def step(self) -> None:
        records = [self.record() for _ in range(self.pick(3))]
        self.sent += records
        # TestCluster.block checks that money is conserved and both replicas agree.
        events = self.cluster.leap(*records, after_ms=(0, 100, 1_600, 4_000)[self.pick(3)])
        self.check(events)

    def check(self, events: list) -> None:
        state = self.cluster.state
        for task, entry in self.finals.items():
            assert state.task(task) == entry, "what has ended never changes"
        for event in events:
            if isinstance(event, Paid):
                assert (event.task, event.node) not in self.paid, "one payment a task and node"
                self.paid.add((event.task, event.node))
        for event in events:
            if isinstance(event, TaskFinal):
                entry = state.task(event.task)
                leaf = state.get((Table.LEAF, event.leaf.to_bytes(8, "big")))
                assert leaf.digest == settlement_leaf(entry.settlement)
        escrow = 0
        queues = dict.fromkeys(state.nodes(), (0, 0))
        for task, entry in state.tasks():
            if entry.state in TERMINAL:
                self.finals.setdefault(task, entry)
                continue
            escrow += entry.escrow_msat
            for slot in entry.slots:
                if slot.state is SlotState.ASSIGNED:
                    held, queued_ms = queues[slot.worker]
                    queues[slot.worker] = held + 1, queued_ms + working_ms(entry.spec)
        assert state.meta.escrow_msat == escrow
        nodes = [(node, state.node(node)) for node in state.nodes()]
        assert queues == {node: (entry.open_slots, entry.queued_ms) for node, entry in nodes}
        fit = [entry for _, entry in nodes if entry.is_fit]
        free = [entry for entry in fit if has_room(entry.open_slots, entry.capacity)]
        whole, part = (sum(backing(entry.bond_msat) for entry in each) for each in (fit, free))
        assert state.room.is_enough == (2 * part >= whole)
        assert all(state.balance_msat(node) >= 0 for node in state.nodes())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.data())
def test_whatever_comes_money_is_conserved_ends_are_final_and_replicas_agree(
    data: st.DataObject,
) -> None:
    stream = Stream(data)
    for _ in range(data.draw(st.integers(1, 25))):
        stream.step()
    again = stream.cluster.restarted()
    assert again.items() == stream.cluster.state.items()
    found, kept = again.tasks_by, stream.cluster.state.tasks_by
    assert found.waiting == kept.waiting
    assert found.deadlines == kept.deadlines
    assert found.disputed == kept.disputed
    assert list(found.newest_after(None)) == list(kept.newest_after(None))
    assert +found.in_state == +kept.in_state == Counter(each.state for _, each in again.tasks())
    everything = (0, 0, 10**6, 10**6)
    assert found.leases.overlong(*everything) == kept.leases.overlong(*everything)
    assert kept.leases.overlong(*everything) == left_behind(again)
    for node in again.nodes():
        assert found.has_work(node) == kept.has_work(node) == (node in workers(again))


def workers(state: LedgerState) -> frozenset[NodeId]:
    """Give who has a slot of a task that has not ended, by a look at all of them."""
    return frozenset(slot.worker for _, entry in state.open_tasks() for slot in entry.slots)


def left_behind(state: LedgerState) -> list[tuple[NodeId, TaskId]]:
    """Give the leases of nodes that take no work, by a look at all tasks."""
    held = [
        (slot.worker, slot.deadline_ms, task)
        for task, entry in state.open_tasks()
        for slot in entry.slots
        if slot.state is SlotState.ASSIGNED
    ]
    gone = [node for node in state.nodes() if not cast("NodeEntry", state.node(node)).accepting]
    return [(worker, task) for worker, _, task in sorted(held) if worker in gone]


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.data())
def test_every_task_ends_when_time_goes_on(data: st.DataObject) -> None:
    stream = Stream(data)
    for _ in range(data.draw(st.integers(1, 12))):
        stream.step()
    nodes = stream.cluster.state.nodes()
    back = tuple(
        NodeReport(node=node, accepting=not stream.cluster.state.node(node).tombstoned, capacity=9)
        for node in nodes
    )
    stream.cluster.block((0, Registry(reports=back, observed_ms=stream.cluster.time_ms + 1)))
    for _ in range(40):
        stream.cluster.block(after_ms=20_000)
    able = stream.cluster.state.able_nodes()
    for _, entry in stream.cluster.state.open_tasks():
        assert entry.spec.replicas > able, "only what too few nodes are left for may wait"


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.data_too_large, HealthCheck.too_slow],
)
@given(st.data())
def test_before_the_time_that_it_waits_for_no_block_without_records_changes_a_task(
    data: st.DataObject,
) -> None:
    stream = Stream(data)
    cluster = stream.cluster
    for _ in range(data.draw(st.integers(1, 15))):
        stream.step()
        awaited = awaited_ms(cluster.state)
        wait_ms = (UNTIL_MS if awaited is None else awaited) - cluster.time_ms - 1
        if wait_ms > 0:
            before = dict(cluster.state.tasks())
            cluster.leap(after_ms=min(wait_ms, STEP_MS_MAX))
            after = dict(cluster.state.tasks())
            # The draw of an audit waits for no time: some block makes it, and gives the audit out.
            assert {task: entry for task, entry in after.items() if not entry.audits} == {
                task: entry for task, entry in before.items() if not entry.audits
            }
            assert before.keys() <= after.keys()
