"""Workers and colluders around the real ledger, in step; what the rules alone do is compared."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from ambientd.ledger.audit_entries import AuditEntry
from ambientd.ledger.audits import COMMITTEE_SHARE
from ambientd.ledger.entries import NodeEntry, TaskEntry
from ambientd.ledger.events import LedgerEvent
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Rules
from ambientd.model.record import Admit, Body, Transfer
from ambientd.model.task import DEFAULT_CLASS, Assurance, Result, TaskState
from ambientd.rules.auditing import is_trusted
from tests.ledger.cluster import UNTIL_MS, TestCluster, result, spec

MEMBERS = 4
AT_ONCE = 10
WINDOW_MS = 8_000
LIE = result(b"what colluders agreed on")
TRUTH = result()


@dataclass
class LedgerPopulation:
    """Guests do the work beside four honest members; colluders lie once the first is trusted."""

    workers: int
    colluders: int
    answers: dict[TaskId, Result] = field(default_factory=dict)
    audit_delay: int = 0
    """Tasks between an answer and the draw of its audit, as it came out."""

    def __post_init__(self) -> None:
        rules = Rules(audit_window_ms=WINDOW_MS)
        self.cluster = TestCluster(members=MEMBERS, rules=rules, bond_msat=0, grant_msat=10**12)
        guests = range(MEMBERS, self.workers)
        for number in guests:
            self.cluster.block(self.cluster.join(number, invite=900 + number))
            money = Transfer(self.cluster.node(number), 10**10, self.cluster.time_ms + number)
            self.cluster.block((0, money))
        self.bad = {self.cluster.node(number) for number in guests[-self.colluders :]}

    def run(self, tasks: int) -> None:
        """Admit tasks, a few in each round, and go on until all have ended."""
        begin_ms = self.cluster.time_ms
        for first in range(0, tasks, AT_ONCE):
            admits = [self._admit(number) for number in range(first, first + AT_ONCE)]
            self._block(*admits)
            while self.cluster.state.open_tasks():
                self._block()
        draw_ms = WINDOW_MS // COMMITTEE_SHARE
        self.audit_delay = tasks * draw_ms // (self.cluster.time_ms - begin_ms)
        for _ in range(WINDOW_MS // 100):
            self._block()

    def _admit(self, number: int) -> tuple[int, Body]:
        submitter = number % self.workers
        while self.cluster.node(submitter) in self.convicted:
            submitter = (submitter + 1) % self.workers
        wanted = spec(assurance=Assurance.AUDITED, replicas=1)
        return submitter, Admit(nonce=b"%d" % number, spec=wanted, until_ms=UNTIL_MS)

    def _block(self, *records: tuple[int, Body]) -> None:
        for task, entry in self.cluster.state.open_tasks():
            records += tuple(self._moves(task, entry))
        self.cluster.block(*records)

    def _moves(self, task: TaskId, entry: TaskEntry) -> Iterator[tuple[int, Body]]:
        if entry.state is TaskState.ASSIGNED:
            if any(slot.worker in self.convicted for slot in entry.slots):
                return
            answer = self._answer(task, entry)
            yield 0, self.cluster.commits(task, dict.fromkeys(range(len(entry.slots)), answer))
        elif entry.state is TaskState.COMMITTED:
            answer = self.answers[task]
            yield 0, self.cluster.settle(task, dict.fromkeys(range(len(entry.slots)), answer))
        elif entry.state is TaskState.DISPUTED:
            for member in range(MEMBERS):
                yield self.cluster.finding(task, member, TRUTH)

    def _answer(self, task: TaskId, entry: TaskEntry) -> Result:
        """Decide once what all who have the task say: they lie together or not at all."""
        if task not in self.answers:
            workers = [slot.worker for slot in entry.slots if slot.worker]
            lies = self.bad.issuperset(workers) and self._is_worth_it(entry, workers[0])
            self.answers[task] = LIE if lies else TRUTH
        return self.answers[task]

    def _is_worth_it(self, entry: TaskEntry, first: NodeId) -> bool:
        if entry.audits is not None:
            return self.answers[entry.audits.task] == LIE
        return is_trusted(self._streak(first))

    def _streak(self, node: NodeId) -> int:
        return self.cluster.state.reputations.of(node, DEFAULT_CLASS, self.cluster.time_ms).streak

    # What became of it

    def told(self, kind: type) -> list[LedgerEvent]:
        """Give the news of a kind."""
        return [event for event in self.cluster.events if isinstance(event, kind)]

    @property
    def convicted(self) -> set[NodeId]:
        """Give the workers that the ledger has convicted."""
        state = self.cluster.state
        return {node for node in state.nodes() if cast("NodeEntry", state.node(node)).tombstoned}

    @property
    def held(self) -> list[AuditEntry]:
        """Give what the ledger holds of lone answers."""
        return [
            entry for entry in self.cluster.state.items().values() if isinstance(entry, AuditEntry)
        ]
