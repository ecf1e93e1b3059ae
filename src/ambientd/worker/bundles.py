"""Execute a module on each item of a bundle, each in a fresh instance (protocols/19)."""

from collections.abc import Sequence

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.engine import CompiledModule
from ambientd.rules.bundles import item_seed_of, outcome_of
from ambientd.worker.execution import execute


def execute_items(
    module: CompiledModule, items: Sequence[bytes], limits: ExecutionLimits, seed: bytes
) -> tuple[ExecutionResult, ...] | Aborted:
    """Give each item's outcome in order; fewer when the outputs grow too large together."""
    results: list[ExecutionResult] = []
    size_bytes = 0
    for place, item in enumerate(items):
        result = execute(module, item, limits, item_seed_of(seed, place))
        if isinstance(result, Aborted):
            return result
        size_bytes += len(encode(outcome_of(result)))
        if size_bytes > limits.output_bytes_max:
            break
        results.append(replace(result, log=b""))  # nobody asks for logs of what is not alone
    return tuple(results)
