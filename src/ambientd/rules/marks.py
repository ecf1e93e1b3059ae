"""Whose states an answer stands on, as its receipt says (protocols/03 §12, 06 §1)."""

from ambientd.codec.statements import mark_hash, verify_mark
from ambientd.model.mark import (
    FROM_BEGINNING,
    MARKED_STATE_BYTES_MAX,
    MARKS_MAX,
    STATE_GAS_A_BYTE,
    Mark,
)
from ambientd.model.receipt import Receipt
from ambientd.model.task import TaskSpec


def marks_fault(receipt: Receipt, spec: TaskSpec, cluster: bytes) -> str | None:
    """Say why these are no marks that an answer to this task stands on; None where none are."""
    if isinstance(receipt.started_ms, int):
        return None
    marks = receipt.marks
    if not 0 < len(marks) <= min(MARKS_MAX, spec.marks_max):
        return f"it names {len(marks)} marks, the task has at most {spec.marks_max}"
    follows, attempt, gas_index = FROM_BEGINNING, -1, 0
    for mark in marks:
        name = mark.worker.hex()[:16]
        if (mark.task, mark.slot) != (receipt.task, receipt.slot):
            return f"the mark of {name} is of another task"
        if mark.follows != follows or not attempt < mark.attempt < receipt.attempt:
            return f"the mark of {name} does not follow the one before"
        if not gas_index < mark.point.gas_index <= spec.gas_max or not _is_sized(mark):
            return f"the mark of {name} stands where no execution of this task does"
        if not verify_mark(mark, cluster):
            return f"{name} did not sign its mark"
        follows, attempt, gas_index = mark_hash(mark), mark.attempt, mark.point.gas_index
    return None


def _is_sized(mark: Mark) -> bool:
    return 0 < mark.state_size_bytes <= MARKED_STATE_BYTES_MAX and len(mark.point.root) == 32


def is_worth_keeping(size_bytes: int, spec: TaskSpec) -> bool:
    """Tell whether others keep such a state: else tasks of next to no gas fill their disks."""
    return size_bytes * STATE_GAS_A_BYTE <= spec.gas_max


def marks_text(receipt: Receipt) -> str:
    """Say from whose states it went on; empty where it did from none."""
    said = (f"{mark.worker.hex()[:16]} to gas {mark.point.gas_index}" for mark in receipt.marks)
    return f", gone on from states of {', then '.join(said)}" if receipt.marks else ""
