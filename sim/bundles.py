"""Tasks of several items in simulated worlds: what they ask for, and what comes of their items."""

from collections.abc import Iterable

from msgspec.structs import replace

from ambientd.codec.bundles import bundle_of_items, encode_items
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.execution import ExecutionResult, OutcomeKind
from ambientd.model.task import Result, TaskSpec
from ambientd.rules.bundles import bundle_result

ITEMS = (1, 2, 4, 5)
"""Each of them divides the gas and the time of the tasks that there are."""


def items_of(count: int) -> tuple[bytes, ...]:
    """Give the items of a bundle of so many."""
    return tuple(b"item %d" % place for place in range(count))


def bundled(spec: TaskSpec, count: int) -> TaskSpec:
    """Give a task so many items in the place of its input, which share its gas and its time."""
    data = encode_items(items_of(count))
    return replace(
        spec,
        input=Digest(sha256(data)),
        input_size_bytes=bundle_of_items(items_of(count), len(data)),
    )


def bundle_answer(spec: TaskSpec, prepared: Digest, made: Iterable[tuple[bytes, int]]) -> Result:
    """Give the result that these outputs of the items are, each with its gas."""
    results = [
        ExecutionResult(kind=OutcomeKind.COMPLETED, reason="", output=output, gas=gas, log=b"")
        for output, gas in made
    ]
    return bundle_result(results, spec, prepared)[0]
