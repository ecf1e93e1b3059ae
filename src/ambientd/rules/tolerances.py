"""Audits of native training within a tolerance: which studies have them, and who is drawn (16 §12).

Native training gives other bytes on other devices. So a participant commits to its data when it
joins, aggregators train again on the data of who is drawn, and compare what has moved how far.
"""

from typing import Final

from ambientd.errors import ConfigError
from ambientd.model.learning import MODEL_BYTES_MAX, Plan, Terms
from ambientd.rules.lessons import data_bytes, is_proven
from ambientd.rules.model_shapes import FILTER, Kind, Model, parsed

TOLERANCE_MICRO_MAX: Final = 10_000
"""A hundredth of what training moves: other shuffles of the same data are some hundredths off."""

NATIVE_WORK_MAX: Final = 10**11
"""Products in a training that others repeat: less than a minute of one core in large batches.

Small ones take longer, by any factor: who repeats it stops when its time is over.
"""

NUMBER_BYTES: Final = 4


def is_audited(plan: Plan) -> bool:
    """Tell whether a study's native training is audited within a tolerance."""
    return plan.tolerance_micro != 0


def has_commitments(plan: Plan) -> bool:
    """Tell whether participants say with the hash of their data that they join."""
    return is_proven(plan) or is_audited(plan)


def work_a_sample(model: Model) -> int:
    """Give the products of one sample's way through a model."""
    if model.kind is Kind.MLP:
        return model.count
    return model.count + 4 * FILTER**2 * model.sizes[1] * model.pooled**2


def row_bytes(plan: Plan) -> int:
    """Give how long one sample is among the data that a participant commits to."""
    return NUMBER_BYTES * (parsed(plan.model).inputs + 1)


def bytes_a_sample(plan: Plan) -> int:
    """Give how long one sample is in what a participant of an audited study commits to."""
    return data_bytes(parsed(plan.model), 1) if is_proven(plan) else row_bytes(plan)


def rows_fault(plan: Plan, samples: int) -> str | None:
    """Say why so many samples cannot be audited; None when they can."""
    if samples < 1 or samples * row_bytes(plan) > MODEL_BYTES_MAX:
        return f"{samples} samples: 1 or more, of 64 MiB together, can be audited"
    work = plan.passes * samples * work_a_sample(parsed(plan.model))
    if work > NATIVE_WORK_MAX:
        return (
            f"{plan.passes} passes over {samples} samples are {work} products, and others repeat "
            f"{NATIVE_WORK_MAX}: name less data"
        )
    return None


def tolerance_fault(plan: Plan, terms: Terms, model_size_bytes: int) -> str | None:
    """Say what is contradictory about a plan's tolerance, if it has one."""
    if not is_audited(plan):
        return None
    if not 0 < plan.tolerance_micro <= TOLERANCE_MICRO_MAX:
        return f"a tolerance lies above 0, and is {TOLERANCE_MICRO_MAX / 1e6:g} at most"
    if plan.is_private or is_proven(plan):
        return "a tolerance is of open studies that no module trains"
    if not terms.audits:
        return "a tolerance is of audits: say how many, or no tolerance"
    try:
        count = parsed(plan.model).count
    except ConfigError as error:
        return str(error)
    if model_size_bytes != NUMBER_BYTES * count:
        return f"{plan.model} has {NUMBER_BYTES * count} bytes, not {model_size_bytes}"
    return None
