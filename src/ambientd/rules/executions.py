"""What a task's executions are given, and what replicas must agree on of what came out."""

from collections.abc import Iterable

from ambientd.codec.digest import sha256, tagged
from ambientd.model.base import Digest, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.execution import ExecutionLimits, ExecutionResult
from ambientd.model.task import Result, TaskSpec
from ambientd.wasm.prepare import REWRITER_VERSION

REASON_CHARS_MAX = 256
_COPIES = 3  # of what goes in and out: as a frame, as a value, and while one becomes the other


def limits_of(spec: TaskSpec) -> ExecutionLimits:
    """Give the limits that a task's executions have."""
    return ExecutionLimits(
        memory_bytes_max=spec.memory_bytes_max,
        wall_ms_max=spec.wall_ms_max,
        gas_max=spec.gas_max,
        output_bytes_max=spec.output_bytes_max,
    )


def memory_need_bytes(limits: ExecutionLimits, input_bytes: int) -> int:
    """Tell how much memory an execution is lent: its limit, and what goes in and out."""
    moved = input_bytes + limits.output_bytes_max + limits.log_bytes_max
    return limits.memory_bytes_max + _COPIES * moved


def lends_enough(stated_bytes: int, spec: TaskSpec) -> bool:
    """Tell whether a node that states so much memory, 0 for nothing, can execute a task."""
    if not stated_bytes:
        return True
    return memory_need_bytes(limits_of(spec), size_of(spec.input_size_bytes)) <= stated_bytes


def seed_of(task: TaskId) -> bytes:
    """Give what a task's random numbers come from."""
    return tagged("ambient/task-seed/1", task)


def result_of(outcome: ExecutionResult, prepared: bytes) -> Result:
    """Give what replicas must agree on."""
    return Result(
        kind=int(outcome.kind),
        reason=plain_reason(outcome.reason),
        output=Digest(sha256(outcome.output)),
        output_size_bytes=len(outcome.output),
        gas=outcome.gas,
        prepared=Digest(prepared),
        rewriter_version=REWRITER_VERSION,
    )


def is_foreign(results: Iterable[Result]) -> bool:
    """Tell whether none of these results is of this program's version of the rewriter.

    Then this program was updated since, or was not yet: what it would find is of other rules than
    those that they answered by, and says nothing about them.
    """
    versions = {result.rewriter_version for result in results}
    return bool(versions) and REWRITER_VERSION not in versions


def plain_reason(reason: str) -> str:
    """Give a reason in the form that records take: short, printable ASCII."""
    kept = reason.encode("ascii", "replace").decode("ascii")[:REASON_CHARS_MAX]
    return "".join(each if each.isprintable() else "?" for each in kept)
