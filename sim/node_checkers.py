"""What must hold of whole nodes, judged from outside: by what they persist, tell and send."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from ambientd.codec.canonical import encode
from ambientd.ledger.entries import Meta, NodeEntry, Table, TaskEntry
from ambientd.ledger.events import Paid
from ambientd.model.task import TERMINAL, TaskState
from ambientd.node.effect import PeerMisbehaved, PersistLedger, Told
from sim.checkers import Checker, InvariantViolation, Kinds, Together
from sim.disk import DiskLost
from sim.machine import Delivery, Effect, Host
from sim.node_machine import Persisted, Row
from sim.vices import Resident

AUDIT_MS = 20_000
"""All attempts of an audit with liars in it, and its dispute."""

ATTEMPTS_MS = 30_000
"""All attempts at a task whose workers are idle: each is a lease, and what was queued before it."""


LONG_ATTEMPTS_MS = 45_000
"""Where long tasks are queued before others: at an idle worker one lease lasts as long as many."""


class NodeChecker(Checker):
    """Sees what nodes persist and tell, and leaves messages alone."""

    effects: Kinds = (Persisted,)

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""


class Onlookers(Together):
    """Shows what nodes persist and tell to several checkers, to each only what it judges."""

    def __init__(self, checkers: Sequence[Checker]) -> None:
        super().__init__(checkers)
        firsts: dict[str, FirstWritten] = {}
        for each in checkers:
            if isinstance(each, EntryChecker):
                each.first = firsts.setdefault(each.looks_at, FirstWritten())

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Pass on what changes the ledger, or is told."""
        if type(effect) is not Persisted or effect.changes:
            super().saw_effect(node, effect, now)


class FirstWritten:
    """Finds what is written for the first time, once for all who look at the same effect."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._effect: Effect | None = None
        self._rows: list[Row] = []

    def rows(self, effect: Effect) -> list[Row]:
        """Give the rows of an effect that no node wrote before; asked again, the same."""
        if effect is not self._effect:
            seen, self._effect, self._rows = self._seen, effect, []
            for _, rows in written(effect):
                for row in rows:
                    if row[3] not in seen and row[2] is not None:
                        seen.add(row[3])
                        self._rows.append(row)
        return self._rows


class EntryChecker(NodeChecker):
    """Sees each distinct entry that honest nodes write, once."""

    looks_at: ClassVar[str] = "all"
    """Which effects: what is first among these was seen among others before."""

    def __init__(self) -> None:
        self.first = FirstWritten()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Pass on what is new."""
        if not node.is_honest:
            return
        for table, name, entry, _ in self.first.rows(effect):
            assert isinstance(node, Resident)
            self.saw_entry(node, table, name, entry, now)

    def saw_entry(self, node: Resident, table: Table, name: bytes, entry: object, now: int) -> None:
        """Look at an entry."""


class EqualRoots(NodeChecker):
    """Every node has the same state root at an index."""

    def __init__(self) -> None:
        self._roots: dict[int, bytes] = {}

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Compare with whoever was there first."""
        del node
        for change in ledger_changes(effect):
            index = change.committed.blocks[-1].index
            if self._roots.setdefault(index, change.root) != change.root:
                text = f"two state roots at index {index} by {now} ms"
                raise InvariantViolation("equal state roots", text)


class NamedRoots(NodeChecker):
    """A state root that a committed block names is the one that honest nodes have."""

    def __init__(self) -> None:
        self._found: dict[int, bytes] = {}

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Bring what is named and what is found together."""
        for change in ledger_changes(effect) if node.is_honest else []:
            blocks = change.committed.blocks
            self._found[blocks[-1].index] = change.root
            for block in blocks:
                named = block.block.header.state_root
                # An epoch's first block names the state after the stop that it stands on.
                behind = 2 if block.block.qc.position.term else 1
                if named and self._found.get(block.index - behind, named) != named:
                    text = f"another state root at index {block.index} by {now} ms"
                    raise InvariantViolation("named state roots are true", text)


class Conservation(NodeChecker):
    """Nothing is made and nothing is lost: balances, bonds, escrow and pool add up."""

    def __init__(self, total_msat: int) -> None:
        self._total_msat = total_msat
        self._checked = 0

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Add up once an index."""
        for _ in ledger_changes(effect):
            assert isinstance(node, Resident)
            if node.ledger.applied_index <= self._checked:
                continue
            self._checked = node.ledger.applied_index
            found = node.ledger.total_msat()
            if found != self._total_msat:
                text = f"{found} msat instead of {self._total_msat} at {now} ms"
                raise InvariantViolation("conservation", text)


class FinalIsFinal(NodeChecker):
    """A task that has ended never changes, and a leaf of the receipt log neither."""

    effects: Kinds = (Persisted, DiskLost)

    def __init__(self) -> None:
        self._ended: dict[tuple[bytes, bytes], bytes] = {}
        self._leaves: dict[bytes, bytes] = {}

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Compare each written entry with what was final before."""
        if isinstance(effect, DiskLost):
            self._ended = {key: ended for key, ended in self._ended.items() if key[0] != node.key}
        for _, rows in written(effect):
            for table, name, entry, _ in rows:
                if entry is None:
                    continue  # forgotten, which changes nothing that is final
                if table is Table.TASK:
                    self._saw_task(node.key, name, entry, now)
                elif table is Table.LEAF and self._leaves.setdefault(name, encode(entry)) != encode(
                    entry
                ):
                    text = f"leaf {int.from_bytes(name, 'big')} changed by {now} ms"
                    raise InvariantViolation("final never changes", text)

    def _saw_task(self, node: bytes, task: bytes, entry: object, now: int) -> None:
        ended = isinstance(entry, TaskEntry) and entry.state in TERMINAL
        known = self._ended.get((node, task))
        if known is not None and known != encode(entry):
            text = f"task {task.hex()[:12]} changed after its end, at {now} ms"
            raise InvariantViolation("final never changes", text)
        if ended:
            self._ended[node, task] = encode(entry)


class PaidOnce(NodeChecker):
    """A node is paid at most once for a task."""

    effects: Kinds = (Told, DiskLost)

    def __init__(self) -> None:
        self._paid: set[tuple[bytes, bytes, bytes]] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Look at the payments that a node tells of."""
        if isinstance(effect, DiskLost):
            self._paid = {payment for payment in self._paid if payment[0] != node.key}
        if isinstance(effect, Told) and isinstance(effect.event, Paid):
            payment = (node.key, effect.event.task, effect.event.node)
            if payment in self._paid:
                text = f"task {effect.event.task.hex()[:12]} paid twice by {now} ms"
                raise InvariantViolation("at most one payout", text)
            self._paid.add(payment)


class HonestKeepTheirName(NodeChecker):
    """No honest node is convicted, and no honest node is accused of a broken protocol by one."""

    effects: Kinds = (PeerMisbehaved, Persisted)

    def __init__(self, honest: frozenset[bytes]) -> None:
        self._honest = honest
        self.convicted: set[bytes] = set()

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Judge convictions and accusations."""
        if isinstance(effect, PeerMisbehaved):
            if {node.key, effect.peer} <= self._honest:
                text = f"{effect.reason}, {now} ms"
                raise InvariantViolation("honest nodes do not misbehave", text)
            return
        for _, rows in written(effect):
            for _, name, entry, _ in rows:
                if isinstance(entry, NodeEntry) and entry.tombstoned:
                    self.convicted.add(name)
                    if name in self._honest:
                        text = f"{name.hex()[:12]} at {now} ms"
                        raise InvariantViolation("honest nodes are never convicted", text)


def check_ends(hosts: Sequence[Resident], *, are_long: bool = False) -> None:
    """After healing all agree, every wish is granted and every task has ended."""
    top = max(host.ledger.applied_index for host in hosts)
    for host in hosts:
        ledger = host.ledger
        if ledger.applied_index < top - 5:
            text = f"a node stands at index {ledger.applied_index}, another at {top}"
            raise InvariantViolation("after healing, all catch up", text)
        if host.wanted:
            text = f"{len(host.wanted)} wishes of a node were never granted"
            raise InvariantViolation("a wanted record is committed", text)
        open_tasks = [
            (task, entry)
            for task, entry in ledger.open_tasks()
            if not _may_be_open(entry, ledger.meta, are_long=are_long)
        ]
        if open_tasks:
            task, entry = open_tasks[0]
            slots = [(slot.state.name, slot.attempt) for slot in entry.slots]
            text = f"{len(open_tasks)} are open; {task.hex()[:12]} is {entry.state.name}, {slots}"
            raise InvariantViolation("every admitted task ends", text)


def _may_be_open(entry: TaskEntry, meta: Meta, *, are_long: bool) -> bool:
    """Tell whether it is no wonder: audits open by themselves, and idle workers use up leases."""
    open_ms = meta.time_ms - entry.admitted_ms
    if entry.audits is not None:
        return open_ms <= AUDIT_MS
    if are_long:
        return open_ms <= LONG_ATTEMPTS_MS and _is_leased(entry, meta.running_ms, 0)
    return open_ms <= ATTEMPTS_MS and _is_leased(entry, meta.running_ms, 1)


def _is_leased(entry: TaskEntry, now_ms: int, least: int) -> bool:
    """Tell whether an attempt at a task is under way, this one or a later."""
    held = [slot for slot in entry.slots if slot.deadline_ms > now_ms]
    return entry.state is TaskState.ASSIGNED and any(slot.attempt >= least for slot in held)


def ledger_changes(effect: Effect) -> Sequence[PersistLedger]:
    """Give the steps of the ledger that an effect makes durable."""
    return effect.changes if isinstance(effect, Persisted) else ()


def written(effect: Effect) -> Iterator[tuple[PersistLedger, tuple[Row, ...]]]:
    """Give each step of the ledger that an effect makes durable, with what it writes."""
    if isinstance(effect, Persisted):
        yield from zip(effect.changes, effect.rows, strict=True)
