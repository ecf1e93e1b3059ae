"""What the items of a bundle are given, and what comes of them together (protocols/19)."""

from collections.abc import Sequence

from msgspec.structs import replace

from ambientd.codec.bundles import bundle_of_outcomes, decode_items, encode_outcomes
from ambientd.codec.digest import tagged
from ambientd.errors import RemoteProtocolError
from ambientd.model.bundle import Bundle, ItemOutcome, size_of
from ambientd.model.execution import (
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
    TrapReason,
)
from ambientd.model.task import Result, TaskSpec
from ambientd.rules.executions import limits_of, plain_reason, result_of

NOT_BUNDLED = "the input is not the bundle that the task names"


def is_bundle(spec: TaskSpec) -> bool:
    """Tell whether a task's module is executed on each of several items."""
    return isinstance(spec.input_size_bytes, Bundle)


def items_of(spec: TaskSpec, data: bytes) -> tuple[bytes, ...] | None:
    """Give the items of a bundle's bytes; None when they are not those that the task names."""
    assert isinstance(spec.input_size_bytes, Bundle), "asked of a bundle only"
    try:
        return decode_items(data, spec.input_size_bytes)
    except RemoteProtocolError:
        return None


def item_limits_of(spec: TaskSpec) -> ExecutionLimits:
    """Give the limits of each item: its share of the gas, and memory as if it were alone."""
    limits = limits_of(spec)
    return replace(limits, gas_max=spec.gas_max // spec.items, log_bytes_max=0)


def item_seed_of(seed: bytes, place: int) -> bytes:
    """Give what the random numbers of one item come from."""
    return tagged("ambient/item-seed/1", seed, place.to_bytes(4, "big"))


def outcome_of(result: ExecutionResult) -> ItemOutcome:
    """Give what one item came to, as the bundle of outcomes has it."""
    reason = plain_reason(result.reason)
    return ItemOutcome(kind=int(result.kind), reason=reason, gas=result.gas, output=result.output)


def bundle_result(
    results: Sequence[ExecutionResult], spec: TaskSpec, prepared: bytes
) -> tuple[Result, bytes]:
    """Give what replicas must agree on of a bundle's items, and the bytes of their outcomes.

    Fewer results than items mean that the outputs had grown too large together.
    """
    outcomes = [outcome_of(each) for each in results]
    data = encode_outcomes(outcomes)
    if len(outcomes) < spec.items or len(data) > spec.output_bytes_max:
        return result_of(_too_large(spec), prepared), b""
    whole = ExecutionResult(
        kind=OutcomeKind.COMPLETED,
        reason="",
        output=data,
        gas=sum(each.gas for each in outcomes),
        log=b"",
    )
    bundle = bundle_of_outcomes(outcomes, len(data))
    return replace(result_of(whole, prepared), output_size_bytes=bundle), data


def not_bundled() -> ExecutionResult:
    """Give the outcome of a task whose input is not the bundle that it names."""
    return ExecutionResult(kind=OutcomeKind.REFUSED, reason=NOT_BUNDLED, output=b"", gas=0, log=b"")


def extent_fits(result: Result, spec: TaskSpec) -> bool:
    """Tell whether a result's output is as large as the task allows, and of as many items."""
    extent = result.output_size_bytes
    if not 0 <= size_of(extent) <= spec.output_bytes_max:
        return False
    is_expected = is_bundle(spec) and result.kind == OutcomeKind.COMPLETED
    if isinstance(extent, Bundle):
        return is_expected and extent.items == spec.items
    return not is_expected


def _too_large(spec: TaskSpec) -> ExecutionResult:
    return ExecutionResult(
        kind=OutcomeKind.TRAPPED,
        reason=TrapReason.OUTPUT_TOO_LARGE.value,
        output=b"",
        gas=spec.gas_max,
        log=b"",
    )
