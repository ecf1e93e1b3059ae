"""Asked: this node's own tasks that the log has not decided on yet, kept while they wait (ADR 103).

    asked ─► waits ─► kept ─► gone: the log has the task or rejects it, its owner takes it back,
                              or its time is over

A task that is in the log within a second leaves no row behind. One that waits longer is kept before
its submitter is told so, and is proposed again after a start, with the very words it was asked by:
the log takes a task once by its name, and none after the time that these words give. But the log's
time stands still without a quorum; so words that wait no more leave this node's pool as well. What
its owner took back is remembered while the ledger could still take it: it is not proposed again,
and if a peer brings it in, its CANCEL is, at each look until the log has done so or its answers are
sealed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from ambientd.codec import merkle
from ambientd.codec.canonical import encode
from ambientd.codec.statements import task_id
from ambientd.ledger.events import LedgerEvent, RecordRejected, TaskAdmitted
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import PersistAsked, Propose, RoleEffect, Withdraw
from ambientd.model.record import Admit, Body, Cancel
from ambientd.model.task import BEFORE_SEALED

KEPT_AFTER_MS = 1_000
LOOK_MS = 5_000
TASKS_MAX = 4_096
"""As many as the ledger takes of one submitter (protocols/03 section 3)."""

BYTES_MAX = 4 * 1024 * 1024
AGAIN_MAX = 512
"""Words that the pool had refused, signed and proposed again at one look."""


@dataclass(slots=True)
class _Words:
    admit: Admit
    size_bytes: int
    row_bytes: int = 0
    """Of the task's row, be it of words before these; 0 while it has none."""
    record: bytes = b""
    """Leaf hash of the record that says them, once it is signed."""
    was_refused: bool = False
    """By the pool, at least once."""


class Asked:
    """What one node was asked to submit, until the log has decided on it."""

    def __init__(self, self_id: NodeId, kept: Mapping[TaskId, Admit] | None = None) -> None:
        self._id = self_id
        self._words: dict[TaskId, _Words] = {}
        self._due_ms: dict[TaskId, int] = {}
        """When those are to be kept that are not yet; in this order."""
        self._of_record: dict[bytes, TaskId] = {}
        self._refused: dict[TaskId, None] = {}
        """Whose record the pool did not take."""
        self._taken_back: dict[TaskId, int] = {}
        """Until when, in block time, the ledger could still take it."""
        self._look_ms = 0
        self._now = 0
        self._strange: list[TaskId] = []
        for task, admit in (kept or {}).items():
            if task_id(self_id, admit.nonce, admit.spec) == task:
                size_bytes = len(encode(admit))
                self._words[task] = _Words(admit, size_bytes, size_bytes)
            else:
                self._strange.append(task)
        self._row_bytes = sum(words.row_bytes for words in self._words.values())
        self._bytes = self._row_bytes

    def __len__(self) -> int:
        """Count the tasks that are kept."""
        return len(self._words) - len(self._due_ms)

    @property
    def undecided(self) -> int:
        """Count what the log has not decided on, kept or not yet."""
        return len(self._words)

    @property
    def waiting(self) -> Mapping[TaskId, Admit]:
        """Give the words of all that the log has not decided on."""
        return {task: words.admit for task, words in self._words.items()}

    @property
    def has_room(self) -> bool:
        """Tell whether one more would be kept if it had to wait."""
        return len(self._words) < TASKS_MAX and self._bytes < BYTES_MAX

    @property
    def blobs(self) -> set[Digest]:
        """Name the modules and inputs that nobody else may have."""
        specs = [words.admit.spec for words in self._words.values()]
        return {name for spec in specs for name in (spec.module, spec.input)}

    def words_of(self, task: TaskId) -> Admit | None:
        """Give the words that a task waits with: who asks for it again says the same."""
        return self._words[task].admit if task in self._words else None

    def was_taken_back(self, task: TaskId) -> bool:
        """Tell whether its owner took a task back that others may still bring in."""
        return task in self._taken_back

    def wanted(self, records: Mapping[Body, bytes]) -> Mapping[Body, bytes]:
        """Leave out tasks that were taken back while somebody asked for them once more."""
        if not self._taken_back:
            return records
        return {body: record for body, record in records.items() if self._is_wanted(body)}

    @property
    def next_deadline(self) -> int | None:
        """Give when to look at what waits or was taken back; None while nothing is."""
        due_ms = next(iter(self._due_ms.values()), None)
        if not len(self) and not self._taken_back:
            return due_ms
        return self._look_ms if due_ms is None else min(due_ms, self._look_ms)

    def on_signed(self, records: Mapping[Body, bytes], now: int) -> list[RoleEffect]:
        """Note the tasks among what this node brings into the log, and by which record."""
        self._heed(now)
        effects: list[RoleEffect] = []
        for body, record in records.items():
            if isinstance(body, Admit):
                effects += self._note(body, merkle.leaf_hash(record))
        return effects

    def on_refused(self, record: bytes) -> bool:
        """Note that the pool did not take a record; tell whether that is news of it.

        What waits is proposed again at each look, and may be refused each time.
        """
        task = self._of_record.get(record)
        if task is None:
            return True
        self._refused[task] = None
        words = self._words[task]
        is_first, words.was_refused = not words.was_refused, True
        return is_first

    def on_tick(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Keep what has waited, let go of what is over, and propose again what was refused."""
        self._heed(now)
        effects: list[RoleEffect] = []
        while (task := self._longest()) is not None:
            del self._due_ms[task]
            words = self._words[task]
            if self._is_over(task, state) or not self._fits:
                effects += self._drop(task)
            else:
                self._row_bytes += words.size_bytes - words.row_bytes
                words.row_bytes = words.size_bytes
                effects.append(PersistAsked(task, words.admit))
        if now >= self._look_ms:
            self._look_ms = now + LOOK_MS
            effects += self._let_go(state) + self._cancel(state)
            again = list(islice(self._refused, AGAIN_MAX))
            effects += [Propose(self._words[task].admit) for task in again]
        return effects

    def on_ledger(self, event: LedgerEvent) -> list[RoleEffect]:
        """Forget what the log has decided on."""
        match event:
            case TaskAdmitted(task=task):
                forgotten = self._forget(task)
                is_wanted = task not in self._taken_back
                return forgotten if is_wanted else [*forgotten, Propose(Cancel(task=task))]
            case RecordRejected(author=self._id, task=task, body=Admit() as admit):
                # Other words for the same task may still come.
                if task is not None and self.words_of(task) == admit:
                    return self._forget(task)
            case _:
                pass
        return []

    def take_back(self, task: TaskId) -> list[RoleEffect]:
        """Let go of what its owner wants no more, and remember that: others may have its record."""
        if task in self._words:
            self._taken_back[task] = self._words[task].admit.until_ms
            if len(self._taken_back) > TASKS_MAX:
                del self._taken_back[next(iter(self._taken_back))]
        return self._drop(task)

    def resume(self, state: LedgerState, now: int) -> list[RoleEffect]:
        """Propose again what was kept before the start, in the words of then."""
        self._heed(now)
        effects: list[RoleEffect] = [PersistAsked(task, None) for task in self._strange]
        self._strange = []
        effects += self._let_go(state)
        in_order = sorted(self.waiting.values(), key=lambda admit: admit.until_ms)
        return effects + [Propose(admit) for admit in in_order]

    def _heed(self, now: int) -> None:
        """Take the time; when the clock was put back, nothing waits for what it said before."""
        if now < self._now:
            self._due_ms = dict.fromkeys(self._due_ms, now + KEPT_AFTER_MS)
            self._look_ms = min(self._look_ms, now + LOOK_MS)
        self._now = now

    @property
    def _fits(self) -> bool:
        """Tell whether what is kept, with one more that has no row yet, is within bounds."""
        return len(self) <= TASKS_MAX and self._row_bytes < BYTES_MAX

    def _note(self, admit: Admit, record: bytes) -> list[RoleEffect]:
        task = task_id(self._id, admit.nonce, admit.spec)
        before = self._words.get(task)
        if before is None or before.admit != admit:
            words = self._words[task] = _Words(admit, len(encode(admit)))
            self._bytes += words.size_bytes
            if before is not None:
                words.row_bytes = before.row_bytes
                self._bytes -= before.size_bytes
            self._due_ms.pop(task, None)
            self._due_ms[task] = self._now + KEPT_AFTER_MS
        earlier = b"" if before is None else before.record
        self._of_record.pop(earlier, None)
        self._words[task].record = record
        self._of_record[record] = task
        self._refused.pop(task, None)
        return [Withdraw(earlier)] if earlier not in {b"", record} else []

    def _longest(self) -> TaskId | None:
        """Give the task that waits longest, if it is to be kept by now."""
        task = next(iter(self._due_ms), None)
        return task if task is not None and self._now >= self._due_ms[task] else None

    def _is_wanted(self, body: Body) -> bool:
        if not isinstance(body, Admit):
            return True
        return task_id(self._id, body.nonce, body.spec) not in self._taken_back

    def _drop(self, task: TaskId) -> list[RoleEffect]:
        """Forget what waits no more, in the pool as well."""
        record = self._words[task].record if task in self._words else b""
        forgotten = self._forget(task)
        return [*forgotten, Withdraw(record)] if record else forgotten

    def _forget(self, task: TaskId) -> list[RoleEffect]:
        words = self._words.pop(task, None)
        if words is None:
            return []
        self._due_ms.pop(task, None)
        self._of_record.pop(words.record, None)
        self._refused.pop(task, None)
        self._row_bytes -= words.row_bytes
        self._bytes -= words.size_bytes
        return [PersistAsked(task, None)] if words.row_bytes else []

    def _let_go(self, state: LedgerState) -> list[RoleEffect]:
        """Let go of what the log has, as by a snapshot, and what it is to take no more."""
        over = [task for task in self._words if self._is_over(task, state)]
        return [effect for task in over for effect in self._drop(task)]

    def _cancel(self, state: LedgerState) -> list[RoleEffect]:
        """Cancel in the log what was taken back, as long as it can be; forget what cannot come."""
        there: list[TaskId] = []
        for task, until_ms in list(self._taken_back.items()):
            entry = state.task(task)
            if entry is not None and entry.state in BEFORE_SEALED:
                there.append(task)
            elif entry is not None or until_ms < state.meta.time_ms:
                del self._taken_back[task]
        return [Propose(Cancel(task=task)) for task in there[:AGAIN_MAX]]

    def _is_over(self, task: TaskId, state: LedgerState) -> bool:
        time_ms = max(self._now, state.meta.time_ms)
        return state.task(task) is not None or self._words[task].admit.until_ms < time_ms
