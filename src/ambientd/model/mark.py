"""Marks: a worker's signed word on where its execution stood, for another to go on from (03 §12).

Whoever goes on takes the word of who made the state for all that came before it, so the receipt
names the marks; whoever executes from the beginning sees which word was false.
"""

from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId, Value
from ambientd.model.dispute import TracePoint

MARKS_MAX = 16
"""Marks that a task has at most, and that a receipt names."""

MARK_SHARE = 64
"""A mark costs its submitter this part of a slot's fee: every node keeps it, some its state."""

MARKED_STATE_BYTES_MAX = 64 << 20
"""A larger state is not handed on: nobody is to fetch more than an input for another's task."""

STATE_GAS_A_BYTE = 256
"""Of a task with less gas for each byte of a state, the state is not worth its keeping."""

FROM_BEGINNING = Digest(bytes(DIGEST_BYTES))
"""What a mark follows that stands on nobody else's word."""


class Attempts(Value, frozen=True):
    """How often a slot is given out, 0 for the cluster's, and how many marks the task may have."""

    attempts_max: int
    marks_max: int


class Mark(Value, frozen=True):
    """Where a worker's execution stood, and the blob of that state (domain `mark`).

    `follows` is the hash of the mark by an earlier attempt from which it went on.
    """

    task: TaskId
    slot: int
    attempt: int
    worker: NodeId
    point: TracePoint
    state: Digest
    state_size_bytes: int
    follows: Digest
    signature: bytes


class GoneOn(Value, frozen=True):
    """When an execution began here, and the marks that it stands on, the first maker's first."""

    started_ms: int
    marks: tuple[Mark, ...]
