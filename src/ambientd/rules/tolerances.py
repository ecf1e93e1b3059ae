"""Audits of native training within a tolerance: which studies have them, and who is drawn (16 §12).

Native training gives other bytes on other devices. So a participant commits to its data when it
joins, aggregators train again on the data of who is drawn, and compare what has moved how far.
"""

from bisect import bisect_right
from collections.abc import Mapping
from types import MappingProxyType
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

PASSES_MAX: Final = 1_000
BATCH_MAX: Final = 4_096
RATE_MICRO_MAX: Final = 100_000_000

BATCH_WORK: Final = 300_000
NUMBER_WORK: Final = 8
SAMPLE_TIMES: Mapping[Kind, int] = MappingProxyType({Kind.MLP: 1, Kind.CNN: 16})
"""What a training takes besides its products, in products: measured, and rounded up (ADR 88)."""

WORK_A_MS: Final = 1_000_000
"""Products that a slow core makes in a millisecond: what fits a round's time is reckoned by it."""

AUDIT_MS_MAX: Final = 900_000
"""However long a study's training may take: audits of other studies wait for this one."""


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


def repeated_work(plan: Plan, samples: int) -> int:
    """Give what repeating a training takes, small batches and all, in products."""
    model = parsed(plan.model)
    batches = -(-samples // max(1, plan.batch))  # an old study may say anything
    a_batch = BATCH_WORK + NUMBER_WORK * model.count
    a_sample = SAMPLE_TIMES[model.kind] * work_a_sample(model)
    return plan.passes * (samples * a_sample + batches * a_batch)


def audit_ms(terms: Terms) -> int:
    """Give how long an aggregator repeats training in one round, of all who were drawn."""
    return min(terms.train_ms * 3 // 4, AUDIT_MS_MAX)


def samples_repeated(plan: Plan, terms: Terms) -> int:
    """Give how many samples a participant may have whose training can be repeated in time."""
    most = min(terms.samples_max, MODEL_BYTES_MAX // row_bytes(plan))
    counts = range(1, most + 1)
    return bisect_right(counts, _work_each(terms), key=lambda count: repeated_work(plan, count))


def _work_each(terms: Terms) -> int:
    return min(NATIVE_WORK_MAX, audit_ms(terms) * WORK_A_MS // max(1, terms.audits))


def repeat_fault(plan: Plan, terms: Terms, samples: int) -> str | None:
    """Say why training on so many samples cannot be repeated in time; None when it can."""
    if repeated_work(plan, samples) <= _work_each(terms):
        return None
    return (
        f"{samples} samples: aggregators repeat a training on {samples_repeated(plan, terms)} at "
        f"most in this study, of {plan.passes} passes in batches of {plan.batch}: name less data"
    )


def bounds_fault(plan: Plan, terms: Terms) -> str | None:
    """Say why audits within a tolerance would take without bound, or never come to an end."""
    if not is_audited(plan):
        return None
    if not 1 <= plan.passes <= PASSES_MAX or not 1 <= plan.batch <= BATCH_MAX:
        return f"passes lie between 1 and {PASSES_MAX}, a batch between 1 and {BATCH_MAX}"
    if not 1 <= plan.rate_micro <= RATE_MICRO_MAX or not 0 <= plan.prox_micro <= RATE_MICRO_MAX:
        return "the rate lies between 0.000001 and 100, and prox between 0 and 100"
    if not samples_repeated(plan, terms):
        return (
            f"{plan.passes} passes with {plan.model} are more than can be repeated for "
            f"{terms.audits} participants in {audit_ms(terms)} ms: say a longer train_s, fewer "
            "passes, larger batches, or fewer audits"
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
