"""What was seen from outside while things went wrong, and whether every promise held."""

import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ambientd.api.replies import Task
from ambientd.model.task import TERMINAL, TaskState

Looks = dict[str, list["Islander"]]
"""By node and process, in order."""
IN_FLIGHT_MS = 1_000
"""Between the cut and the last block that may have been made before it, by several clocks."""

OPEN = frozenset(each.name.lower() for each in TaskState if each not in TERMINAL)


@dataclass
class History:
    """Everything that clients were told; several threads write it."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    """Task to the nonce it was asked for by."""
    unanswered: list[bytes] = field(default_factory=list)
    """Nonces of questions that got no answer, or a refusal."""
    coordinators: dict[tuple[int, int], set[str]] = field(default_factory=lambda: defaultdict(set))
    """(epoch, term) to all who were said to lead it, by any node at any time."""
    waits_s: list[float] = field(default_factory=list)
    merged: int = 0
    """Questions without an answer whose task was in the log when they were asked again."""
    stranded: set[str] = field(default_factory=set)
    """Tasks that waited where nobody could take them, and that nobody asks for again."""
    islands: dict[str, Looks] = field(default_factory=dict)
    """By island, also one that nobody saw: what its nodes said while they were cut off."""

    def acknowledge(self, task: str, nonce: bytes, waited_s: float, *, was_known: bool) -> None:
        """Note a task that a node has said to be in the log."""
        with self._lock:
            self.acknowledged[task] = nonce
            self.merged += was_known
            self.waits_s.append(waited_s)

    def miss(self, nonce: bytes) -> None:
        """Note a question without a good answer."""
        with self._lock:
            self.unanswered.append(nonce)

    def strand(self, task: str) -> None:
        """Note a task that waits at a node that is alone and is killed."""
        with self._lock:
            self.stranded.add(task)

    def cut_off(self, island: str) -> None:
        """Note that nodes are cut off, fewer than a quorum: somebody has to look at them."""
        with self._lock:
            self.islands.setdefault(island, {})

    def see_island(self, island: str, node: str, seen: "Islander") -> None:
        """Note how a node stands that is cut off with fewer than a quorum."""
        with self._lock:
            self.islands.setdefault(island, {}).setdefault(node, []).append(seen)

    def see(self, epoch: int, term: int, coordinator: str | None) -> None:
        """Note whom a node takes for the coordinator."""
        if coordinator is not None:
            with self._lock:
                self.coordinators[epoch, term].add(coordinator)


@dataclass(frozen=True)
class Islander:
    """One look at a node that is cut off."""

    height: int
    made_ms: int
    """When its newest block was made, after the cut; negative before."""
    in_hand: int
    """Slots that it owes an answer for: they come with blocks."""
    balance_msat: int


@dataclass(frozen=True)
class Ending:
    """How one node has it, when all is calm again."""

    tasks: Mapping[str, Task]
    receipts: Mapping[str, str]
    """Task to what is wrong with its receipt file, offline; nothing when it verifies."""
    total_msat: int
    """All credits of its ledger, read from its disk."""
    blocks: Mapping[int, bytes]
    """Index to hash, of the committed blocks that are on its disk."""


def faults(history: History, endings: Mapping[str, Ending], minted_msat: int) -> list[str]:
    """List every broken promise; an empty list is a good history."""
    found = [
        f"term {term} of epoch {epoch} had {len(who)} coordinators"
        for (epoch, term), who in sorted(history.coordinators.items())
        if len(who) > 1
    ]
    for island, seen in sorted(history.islands.items()):
        if not seen:
            found.append(f"{island}: nobody looked at a node of it while it was cut off")
        for node, looks in sorted(seen.items()):
            found += [f"{island}: {node}: {fault}" for fault in _island_faults(looks)]
    for name, ending in sorted(endings.items()):
        lost = sorted(set(history.acknowledged) - set(ending.tasks))
        found += [f"{name} has lost the acknowledged task {task[:12]}" for task in lost]
        lost = sorted(history.stranded - set(ending.tasks))
        found += [f"{name} has no task {task[:12]}, which waited on an island" for task in lost]
        if ending.total_msat != minted_msat:
            found.append(f"{name} has {ending.total_msat} msat, of {minted_msat} that there are")
        for task in ending.tasks.values():
            is_open = _may_be_open(task, history)
            found += [f"{name}: {fault}" for fault in _task_faults(task, is_open=is_open)]
        found += [
            f"{name}: the receipt of {task[:12]} does not verify: {fault}"
            for task, fault in sorted(ending.receipts.items())
            if fault
        ]
    return found + _differences(history, endings) + _forks(endings)


def _island_faults(looks: Sequence[Islander]) -> list[str]:
    """Say what a node did that was alone: it makes no block, and without one takes no slot.

    What was under way when it was cut off may still reach it; so blocks are told by when they were
    made. Those that it would make at once are told by what the others have in the end (`_forks`).
    """
    found = [
        f"block {look.height}, made {look.made_ms} ms after the cut, was committed on an island"
        for look in looks
        if look.made_ms > IN_FLIGHT_MS
    ]
    for earlier, later in pairwise(looks):
        if earlier.height == later.height:
            alone = f"at block {later.height}, on an island and without another block"
            if later.in_hand > earlier.in_hand:
                found.append(f"{later.in_hand - earlier.in_hand} slots were taken up {alone}")
            if later.balance_msat != earlier.balance_msat:
                found.append(f"{later.balance_msat - earlier.balance_msat} msat were paid {alone}")
    return found


def _forks(endings: Mapping[str, Ending]) -> list[str]:
    """Say where two nodes have committed different blocks, whenever these were made."""
    seen: dict[int, dict[bytes, str]] = defaultdict(dict)
    for name, ending in sorted(endings.items()):
        for index, hash_ in ending.blocks.items():
            seen[index].setdefault(hash_, name)
    return [
        f"{' and '.join(named.values())} have different blocks at {index}"
        for index, named in sorted(seen.items())
        if len(named) > 1
    ]


def _task_faults(task: Task, *, is_open: bool) -> list[str]:
    name = task.task_id[:12]
    workers = [payment.worker for payment in task.payments]
    found = []
    if not is_open and task.state != "final":
        found.append(f"{name} is {task.state}, not final")
    if len(set(workers)) < len(workers) or len(workers) > task.replicas:
        found.append(f"{name} has paid {len(workers)} workers of {task.replicas}, or one twice")
    if task.paid_msat != sum(payment.amount_msat for payment in task.payments):
        found.append(f"{name} has paid another sum than its payments")
    return found


def _may_be_open(task: Task, history: History) -> bool:
    """Tell whether it is open and nobody asked for it: audits are drawn while nodes are stopped.

    What a client was told to be in the log is no audit, whatever a node calls it; and an audit
    that has ended in any other way than as final, has not begun too late: it has gone wrong.
    """
    was_asked_for = task.task_id in history.acknowledged
    return task.audits is not None and not was_asked_for and task.state in OPEN


def _differences(history: History, endings: Mapping[str, Ending]) -> list[str]:
    """Say where two nodes disagree about how a task ended."""
    seen: dict[str, dict[tuple[object, ...], str]] = defaultdict(dict)
    for name, ending in sorted(endings.items()):
        for task in ending.tasks.values():
            if _may_be_open(task, history):
                continue
            payments = tuple((each.worker, each.amount_msat) for each in task.payments)
            outcome = (task.state, task.outcome, task.output_sha256, task.refunded_msat, payments)
            seen[task.task_id].setdefault(outcome, name)
    return [
        f"{' and '.join(sorted(named.values()))} disagree about {task[:12]}"
        for task, named in sorted(seen.items())
        if len(named) > 1
    ]
