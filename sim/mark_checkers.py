"""What must hold of marks: whose they are, what answers stand on, which states lie where."""

from collections.abc import Mapping, Sequence

from ambientd.codec.statements import mark_hash, result_root
from ambientd.ledger.entries import Table, TaskEntry
from ambientd.ledger.events import SlotAssigned, SlotCommitted, StateMarked
from ambientd.ledger.marks import keepers_of
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.dispute import TracePoint
from ambientd.model.effect import Execute
from ambientd.model.mark import FROM_BEGINNING, MARKS_MAX, Mark
from ambientd.model.receipt import Receipt
from ambientd.node.effect import Told
from ambientd.rules.marks import path_to
from sim.checkers import InvariantViolation, Kinds
from sim.judge import has_signed
from sim.machine import Effect, Host
from sim.node_checkers import EntryChecker, NodeChecker
from sim.node_machine import Persisted
from sim.stood import Stood
from sim.vices import Resident, honest_answer

Held = tuple[TaskId, int, int, NodeId]
"""A slot of a task, in which attempt, and who had it."""


class TrueMarks(NodeChecker):
    """A mark is the signed word of who executes the slot in that attempt, and of nobody else."""

    effects: Kinds = (Told, Persisted)

    def __init__(self, cluster: bytes) -> None:
        self._cluster = cluster
        self._held: set[Held] = set()
        self._attempts: dict[tuple[bytes, TaskId, int], int] = {}
        self._by_task: dict[TaskId, dict[bytes, Mark]] = {}
        self._unsure: dict[Held, int] = {}
        self.seen_ms: dict[bytes, int] = {}

    @property
    def marks(self) -> int:
        """Count the marks that the log has taken."""
        return sum(map(len, self._by_task.values()))

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Note who has which slot, and judge what is marked."""
        if not node.is_honest:
            return
        if isinstance(effect, Persisted):
            for rows in effect.rows:
                for table, name, entry, _ in rows:
                    if table is Table.TASK and isinstance(entry, TaskEntry):
                        task = TaskId(name)
                        self._held |= {(task, s.slot, s.attempt, s.worker) for s in entry.slots}
            return
        assert isinstance(effect, Told)
        match effect.event:
            case SlotAssigned(task=task, slot=slot, attempt=attempt, worker=worker):
                self._held.add((task, slot, attempt, worker))
                self._attempts[node.key, task, slot] = attempt
            case StateMarked(mark=mark):
                self._judge(node, mark, now)
            case _:
                pass

    def _judge(self, node: Host, mark: Mark, now: int) -> None:
        held = (mark.task, mark.slot, mark.attempt, mark.worker)
        self._unsure.setdefault(held, now)
        latest = self._attempts.get((node.key, mark.task, mark.slot), mark.attempt)
        point = [mark.point.gas_index, mark.point.root]
        said = (mark.task, mark.slot, mark.attempt, point, mark.state)
        payload = (*said, mark.state_size_bytes, mark.follows)
        known = self._by_task.setdefault(mark.task, {})
        known[bytes(mark_hash(mark))] = mark
        self.seen_ms.setdefault(bytes(mark_hash(mark)), now)
        if latest > mark.attempt:
            fault = f"attempt {mark.attempt} is marked in attempt {latest}"
        elif not has_signed(mark.worker, "mark", self._cluster, payload, mark.signature):
            fault = "a mark is not signed by its maker"
        elif len(known) > MARKS_MAX:
            fault = f"a task has {len(known)} marks"
        else:
            return
        raise InvariantViolation("marks are their makers' word", f"{fault}, {now} ms")

    def check(self) -> None:
        """At the end, when all assignments are known, hold each mark's maker against them."""
        strangers = [held for held in self._unsure if held not in self._held]
        if strangers:
            task, _, attempt, _ = strangers[0]
            text = f"task {task.hex()[:12]}, attempt {attempt}, {self._unsure[strangers[0]]} ms"
            raise InvariantViolation("marks are their makers' word", f"a stranger's: {text}")
        for task, known in self._by_task.items():
            follows = {bytes(mark.follows) for mark in known.values()} - {bytes(FROM_BEGINNING)}
            if follows - known.keys():
                text = f"task {task.hex()[:12]}: one follows a mark that the log never took"
                raise InvariantViolation("marks are their makers' word", text)

    def took(self, mark: Mark) -> bool:
        """Tell whether the log has ever taken a mark."""
        return bytes(mark_hash(mark)) in self._by_task.get(mark.task, {})


class OnTheirWord(EntryChecker):
    """An answer of somebody honest is right, or it names the mark of a liar that is false.

    It notes the tasks whose answers stand on marks of others, and on false ones.
    """

    def __init__(self, honest: frozenset[bytes], marks: TrueMarks) -> None:
        super().__init__()
        self._honest = honest
        self._marks = marks
        self._named: set[Mark] = set()
        self.gone_on: set[TaskId] = set()
        self.false: set[TaskId] = set()

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Judge how a task ended of which states may be marked."""
        del node, table
        if not isinstance(entry, TaskEntry) or entry.settlement is None:
            return
        for signed in entry.receipts if entry.spec.marks_max else ():
            fault = self._fault(entry, signed.receipt)
            if fault is not None:
                text = f"{fault}, task {name.hex()[:12]} by {now} ms"
                raise InvariantViolation("whose word was false is named", text)
            if any(mark.worker != signed.receipt.worker for mark in signed.receipt.marks):
                self.gone_on.add(TaskId(name))
            if not all(map(is_true, signed.receipt.marks)):
                self.false.add(TaskId(name))

    def _fault(self, entry: TaskEntry, receipt: Receipt) -> str | None:
        self._named.update(receipt.marks)
        if receipt.worker not in self._honest:
            return None
        false = [mark for mark in receipt.marks if not is_true(mark)]
        if false and false[0].worker in self._honest:
            return "a mark of somebody honest is false"
        is_right = result_root(receipt.result) == result_root(honest_answer(entry.spec))
        return None if is_right or false else "a false answer stands on nobody's word"

    def check(self) -> None:
        """At the end, when all marks are known, hold those that answers named against them."""
        if not all(map(self._marks.took, self._named)):
            text = "an answer names a mark that the log never took"
            raise InvariantViolation("whose word was false is named", text)


def is_true(mark: Mark) -> bool:
    """Tell whether every execution of the task stands there."""
    return bool(mark.point.root == Stood(mark.task, mark.point.gas_index).root)


class OrphansGoOn(NodeChecker):
    """Counts the long executions that went on from a mark whose maker was down, and ended."""

    effects: Kinds = (Execute,)

    def __init__(self, hosts: Mapping[bytes, Resident]) -> None:
        self._hosts = hosts
        self.orphans: set[TaskId] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look who is to go on from whose mark."""
        del now
        if not isinstance(effect, Execute) or not effect.marks:
            return
        maker = self._hosts.get(effect.marks[-1].worker)
        if maker is not None and maker.key != node.key and maker.node is None:
            self.orphans.add(effect.assignment.task)


class CanBeOpened(NodeChecker):
    """What somebody honest has sealed is of the marks that the log has, or of none."""

    effects: Kinds = (Told,)

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Hold what a worker has in hand against the log as its seal comes into it."""
        event = effect.event if isinstance(effect, Told) else None
        if not isinstance(event, SlotCommitted) or not isinstance(node, Resident):
            return
        if event.worker != node.key or not node.is_honest or node.node is None:
            return
        work = node.node._cores.worker._works.get((event.task, event.slot))
        if work is None or work.receipt is None:
            return
        named, ledger = work.receipt.receipt.marks, node.ledger
        if ledger.task(event.task) is None or _has_ended(ledger, event.task):
            return
        before = ledger.marks(event.task).before(work.assignment.attempt)
        if named and not (named[-1] in before and path_to(named[-1], before) == named):
            text = f"task {event.task.hex()[:12]} at {now} ms"
            raise InvariantViolation("what is sealed can be opened", text)


def _has_ended(ledger: LedgerState, task: TaskId) -> bool:
    entry = ledger.task(task)
    return entry is None or entry.settlement is not None


def check_shelves(hosts: Sequence[Resident]) -> None:
    """After healing a node keeps states that the log names, or its own marks, and no others."""
    for host in hosts:
        ledger = host.ledger
        named = {mark.state for task, _ in ledger.open_tasks() for mark in ledger.marks(task).marks}
        assert host.node is not None, "all are up"
        said = {mark.state for mark in host.node._cores.worker.said}
        useless = set(host.handed) - named - said
        if useless:
            text = f"{len(useless)} of a node's {len(host.handed)} states are of no use"
            raise InvariantViolation("states are given back", text)


def check_kept(hosts: Sequence[Resident], marks: TrueMarks, before_ms: int) -> int:
    """After healing who is to keep a marked state has it, or a later one; give how many do."""
    by_key, kept = {host.key: host for host in hosts}, 0
    for host in hosts:
        ledger = host.ledger
        for task, _ in ledger.open_tasks():
            known = ledger.marks(task).marks
            last = {mark.attempt: mark for mark in known}
            furthest_gas = _furthest_gas(host, known)
            for mark in last.values():
                maker = by_key.get(mark.worker)
                seen_ms = marks.seen_ms.get(bytes(mark_hash(mark)), before_ms)
                is_given = maker is not None and is_here(maker, mark) and seen_ms < before_ms
                if not is_given or host.key not in keepers_of(mark, ledger):
                    continue
                if furthest_gas < mark.point.gas_index:
                    text = f"task {task.hex()[:12]}, marked at {seen_ms} ms"
                    raise InvariantViolation("keepers have the states that are theirs", text)
                kept += 1
    return kept


class Stays:
    """What a keeper has stays until it has a later one, whatever others mark meanwhile."""

    def __init__(self) -> None:
        self._had: dict[tuple[bytes, TaskId], int] = {}

    def check(self, hosts: Sequence[Resident]) -> None:
        """Look at the shelves once more; nothing is lost in the calm."""
        had, self._had = self._had, {}
        for host in hosts:
            for task, _ in host.ledger.open_tasks():
                known = host.ledger.marks(task).marks
                place = (host.key, task)
                gas = self._had[place] = _furthest_gas(host, known)
                if gas < had.get(place, 0):
                    text = f"task {task.hex()[:12]}: from gas {had[place]} back to {gas}"
                    raise InvariantViolation("an earlier state stays until a later one came", text)


def _furthest_gas(host: Resident, known: Sequence[Mark]) -> int:
    return max((mark.point.gas_index for mark in known if is_here(host, mark)), default=0)


def is_here(host: Resident, mark: Mark) -> bool:
    """Tell whether a node has what a mark says."""
    found = host.handed.get(mark.state)
    return found is not None and TracePoint(found.gas_index, found.root) == mark.point
