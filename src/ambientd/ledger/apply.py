"""Apply a block: first what time does, then each record, all or nothing each.

`apply_block` changes nothing by itself; its caller commits the writes. A record that fails is a
rejected no-op with a reason, never a fault of the block.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from msgspec.structs import replace

from ambientd.codec.canonical import decode
from ambientd.codec.statements import task_id, verify_record
from ambientd.errors import RemoteProtocolError
from ambientd.ledger import tasks, upkeep
from ambientd.ledger.draft import BlockContext, Draft
from ambientd.ledger.entries import Entry, Key
from ambientd.ledger.events import LedgerEvent, RecordRejected
from ambientd.ledger.state import LedgerState, next_root
from ambientd.model.base import TaskId
from ambientd.model.record import (
    Admit,
    Anchor,
    Cancel,
    Checkpoint,
    Commits,
    DisputeStep,
    Fraud,
    Join,
    Record,
    Registry,
    Settle,
)
from ambientd.model.task import TaskState

RECORD_BYTES_MAX = 512 * 1024

ProveFraud = Callable[[Fraud], bool]


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block does: changes, news, and the state root after it."""

    events: tuple[LedgerEvent, ...]
    writes: Mapping[Key, Entry | None]
    root: bytes


@lru_cache(maxsize=4096)
def decode_record(data: bytes) -> Record:
    """Read a record; raise RemoteProtocolError unless it is canonical."""
    record: Record = decode(data, Record, RECORD_BYTES_MAX)
    return record


def is_admissible(data: bytes, cluster: bytes) -> bool:
    """Tell whether members may vote for a block with this record: canonical and signed."""
    try:
        return verify_record(decode_record(data), cluster)
    except RemoteProtocolError:
        return False


def apply_block(
    state: LedgerState,
    context: BlockContext,
    records: Sequence[Record],
    prove_fraud: ProveFraud = lambda _: False,
) -> BlockResult:
    """Work out what a committed block does to the state."""
    block = Draft(state, state, context)
    block.put_meta(replace(state.meta, time_ms=context.time_ms))
    for task in _due(state, context.time_ms):
        step = Draft(state, block, context)
        entry = step.task(task)
        assert entry is not None
        tasks.run_out(step, task, entry)
        block.take_over(step)
    for record in records:
        step = Draft(state, block, context)
        rejection = _apply(step, record, prove_fraud)
        if rejection is None:
            block.take_over(step)
        else:
            kind = type(record.body).__name__.lower()
            about = _task_of(record)
            block.tell(RecordRejected(record.author, kind, rejection, about))
    return BlockResult(tuple(block.events), block.writes, next_root(state.root, block.writes))


def _due(state: LedgerState, time_ms: int) -> list[TaskId]:
    """Give the open tasks that wait for a worker or are late, in an order all nodes share."""
    return sorted(
        task
        for task, entry in state.open_tasks()
        if entry.state is TaskState.PENDING or 0 < entry.deadline_ms <= time_ms
    )


def _apply(draft: Draft, record: Record, prove_fraud: ProveFraud) -> str | None:
    body = record.body
    match body:
        case Admit():
            return tasks.admit(draft, record, body)
        case Cancel():
            return tasks.cancel(draft, record, body)
        case Commits():
            return tasks.commits(draft, body)
        case Settle():
            return tasks.settle(draft, body)
        case DisputeStep():
            return tasks.dispute_step(draft, record, body)
        case Join():
            return upkeep.join(draft, record, body)
        case Registry():
            return upkeep.registry(draft, record, body)
        case Checkpoint():
            return upkeep.checkpoint(draft, body)
        case Anchor():
            return upkeep.anchor(draft, body)
        case Fraud():
            return upkeep.fraud(draft, body, is_proven=prove_fraud(body))
        case _:
            assert_never(body)


def _task_of(record: Record) -> TaskId | None:
    """Give the task a record is about, when it is about one."""
    match record.body:
        case Cancel(task=task) | Settle(task=task):
            return task
        case DisputeStep(verdict=verdict):
            return verdict.task
        case Admit(nonce=nonce, spec=spec):
            return task_id(record.author, nonce, spec)
        case _:
            return None
