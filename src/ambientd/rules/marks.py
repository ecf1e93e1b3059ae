"""Whose states an answer stands on, as its receipt says (protocols/03 §12, 06 §1)."""

from collections import Counter
from collections.abc import Iterable, Sequence

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

STARTS_MAX = 6
"""Marks whose states somebody tries to have, before all is executed from the beginning."""


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


def path_to(mark: Mark, known: Iterable[Mark]) -> tuple[Mark, ...]:
    """Give the marks that stand on each other up to this one, the first maker's first."""
    by_hash = {mark_hash(each): each for each in known}
    path = [mark]
    while (before := by_hash.get(path[-1].follows)) is not None:
        path.append(before)
    return tuple(reversed(path))


def stood_on(start: Mark | None, known: Sequence[Mark], attempt: int) -> tuple[Mark, ...]:
    """Give whose word an execution stands on that began at a mark: its own is no other's."""
    path = () if start is None else path_to(start, known)
    return tuple(mark for mark in path if mark.attempt < attempt)


def starts(known: Iterable[Mark]) -> tuple[Mark, ...]:
    """Give the marks from which one may go on, in the order in which that is tried.

    First comes the last mark of each attempt, of these the furthest; then each one before. So who
    marks what it has not makes others wait for one state, before they come to somebody else's.
    """
    ranks: Counter[int] = Counter()
    ranked = []
    for mark in sorted(known, key=_gas_index, reverse=True):
        ranked.append((ranks[mark.attempt], mark))
        ranks[mark.attempt] += 1
    return tuple(mark for _, mark in sorted(ranked, key=lambda each: each[0]))[:STARTS_MAX]


def _gas_index(mark: Mark) -> int:
    return mark.point.gas_index


def _is_sized(mark: Mark) -> bool:
    return 0 < mark.state_size_bytes <= MARKED_STATE_BYTES_MAX and len(mark.point.root) == 32


def is_worth_keeping(size_bytes: int, spec: TaskSpec) -> bool:
    """Tell whether others keep such a state: else tasks of next to no gas fill their disks."""
    return size_bytes * STATE_GAS_A_BYTE <= spec.gas_max


def marks_text(receipt: Receipt) -> str:
    """Say from whose states it went on; empty where it did from none."""
    said = (f"{mark.worker.hex()[:16]} to gas {mark.point.gas_index}" for mark in receipt.marks)
    return f", gone on from states of {', then '.join(said)}" if receipt.marks else ""
