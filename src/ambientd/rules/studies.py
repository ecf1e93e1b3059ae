"""Studies: which plans are allowed, who aggregates a round, and who shares masks with whom."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from ambientd.codec.digest import tagged
from ambientd.model.base import NodeId
from ambientd.model.learning import (
    MODEL_BYTES_MAX,
    NO_MODULE,
    PARTICIPANTS_MAX,
    Plan,
    Terms,
)
from ambientd.model.learning_record import FlStudy
from ambientd.rules.lessons import LESSON_MODULE_BYTES_MAX, is_proven, model_bytes, trainer_fault
from ambientd.rules.receipt_text import plain_fault
from ambientd.rules.tolerances import is_audited, tolerance_fault
from ambientd.rules.verdicts import liars_max

ROUNDS_MAX = 1_000
STEP_MS_MIN = 100
STEP_MS_MAX = 24 * 3_600_000
GROUP_MAX = 64
PARAMETER_BYTES = 4
AGGREGATIONS = ("fedavg", "fedprox", "multi-krum", "trimmed-mean", "median")
PRIVATE_AGGREGATIONS = ("fedavg", "fedprox", "median")
NAME_CHARS_MAX = 64

AUDITS_MAX = 4
"""Updates of one round that are audited at most: 64 of all studies' rounds in one block."""

NEEDED: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"multi-krum": (2, 3), "trimmed-mean": (2, 1), "median": (2, 1)}
)
"""For f liars a rule needs so many times f participants, and so many more."""


def study_fault(body: FlStudy) -> str | None:
    """Name what no study may be like; None when it may."""
    plan, terms = body.plan, body.terms
    if not 0 < body.model_size_bytes <= MODEL_BYTES_MAX or body.model_size_bytes % PARAMETER_BYTES:
        return f"a model of {body.model_size_bytes} bytes: 4 for each parameter, 64 MiB at most"
    texts = (("name", body.name), ("model", plan.model), ("trainer", plan.trainer))
    faults = (plain_fault(what, text, NAME_CHARS_MAX) for what, text in texts)
    fault = next(filter(None, faults), None) or _terms_fault(terms) or _plan_fault(plan, terms)
    fault = fault or tolerance_fault(plan, terms, body.model_size_bytes)
    if fault is None and is_proven(plan) and body.model_size_bytes != model_bytes(plan):
        return f"{plan.model} has {model_bytes(plan)} bytes, not {body.model_size_bytes}"
    return fault


def _terms_fault(terms: Terms) -> str | None:
    if not 1 <= terms.rounds <= ROUNDS_MAX:
        return f"{terms.rounds} rounds: 1 to {ROUNDS_MAX} are allowed"
    if not 1 <= terms.participants_min <= terms.wanted <= PARTICIPANTS_MAX:
        return f"participants: 1 to {PARTICIPANTS_MAX}, and at least as many wanted as needed"
    for wait_ms in (terms.invite_ms, terms.train_ms, terms.step_ms):
        if not STEP_MS_MIN <= wait_ms <= STEP_MS_MAX:
            return f"a step of {wait_ms} ms: {STEP_MS_MIN} ms to a day are allowed"
    return None if terms.samples_max >= 1 else "an update counts for one sample at least"


def _plan_fault(plan: Plan, terms: Terms) -> str | None:
    if plan.aggregation not in AGGREGATIONS:
        return f"aggregation {plan.aggregation!r} is none of {', '.join(AGGREGATIONS)}"
    fault = _liars_fault(plan, terms) or _proof_fault(plan, terms)
    if fault is not None:
        return fault
    if plan.prox_micro and plan.aggregation != "fedprox":
        return f"prox is of fedprox, and the aggregation is {plan.aggregation}"
    if not plan.is_private:
        is_plain = not (plan.noise_milli or plan.group_size or plan.threshold or plan.clip_micro)
        return None if is_plain else "clip, noise, group and threshold are of private mode alone"
    if plan.poisoned_permille:
        return "poisoned is of open studies: in private mode the median of groups stands some liars"
    if plan.aggregation not in PRIVATE_AGGREGATIONS:
        return "in private mode nobody sees one update: the mean, or a median of groups' means"
    if not 2 <= plan.group_size <= GROUP_MAX or terms.participants_min < plan.group_size:
        return f"a group has 2 to {GROUP_MAX} members, and the fewest participants make one"
    if plan.threshold and not plan.group_size // 2 < plan.threshold <= plan.group_size:
        return "a threshold is more than half of a group, and at most all of it"
    return None if plan.clip_micro else "private mode needs a norm to clip updates to"


def _liars_fault(plan: Plan, terms: Terms) -> str | None:
    """Say why an aggregation does not stand the liars that a plan expects."""
    if plan.poisoned_permille >= 500:
        return "no aggregation stands half of the participants"
    liars = -(-terms.participants_min * plan.poisoned_permille // 1000)
    needed = NEEDED.get(plan.aggregation)
    if needed is None:
        if liars and not plan.is_private:
            return f"{plan.aggregation} stands no poisoned participant; {', '.join(NEEDED)} do"
        return None
    times, more = needed
    if not plan.is_private and terms.participants_min < times * liars + more:
        return (
            f"{plan.aggregation} stands {'1 liar' if liars == 1 else f'{liars} liars'} among "
            f"{times * liars + more} participants or more: participants_min is "
            f"{terms.participants_min}"
        )
    return None


def _proof_fault(plan: Plan, terms: Terms) -> str | None:
    """Say what is contradictory about how participants prove their training."""
    if terms.audits > AUDITS_MAX:
        return f"{terms.audits} audits of a round: {AUDITS_MAX} are allowed"
    if plan.module == NO_MODULE:
        if terms.module_size_bytes or (terms.audits and not is_audited(plan)):
            return "audits are of a module, or within a tolerance: name one, or no audits"
        if is_audited(plan) and plan.aggregation not in NEEDED:
            return f"poison below the tolerance is not seen: say {', '.join(NEEDED)} with it"
        return None
    if plan.is_private:
        return "an audit shows the data: nothing is proven in private mode, so name no module"
    if not 0 < terms.module_size_bytes <= LESSON_MODULE_BYTES_MAX:
        return f"a trainer's module has 1 to {LESSON_MODULE_BYTES_MAX} bytes"
    return trainer_fault(plan)


def drawn(members: Iterable[NodeId], seed: bytes) -> tuple[NodeId, ...]:
    """Give nodes in an order that nobody knew before the seed."""
    return tuple(sorted(members, key=lambda node: tagged("ambient/round-order/1", seed, node)))


def asked_for_survivors(aggregators: Sequence[NodeId], turn: int) -> Sequence[NodeId]:
    """Give who may say whose updates count: one, and one more each time none has."""
    return aggregators[: 1 + turn]


def asked_for_results(aggregators: Sequence[NodeId], turn: int) -> Sequence[NodeId]:
    """Give who is to aggregate: as many as must say the same, and one more each time."""
    return aggregators[: equal_findings(len(aggregators)) + turn]


def equal_findings(aggregators: int) -> int:
    """Give how many must say the same: f + 1, one of whom is honest."""
    return liars_max(aggregators) + 1


def groups_of(roster: Iterable[NodeId], seed: bytes, size: int) -> list[tuple[NodeId, ...]]:
    """Cut a round's roster into groups of `size` or more, less than twice as many, by lot."""
    order = drawn(roster, seed)
    count = max(1, len(order) // size)
    return [tuple(sorted(order[place::count])) for place in range(count)]


def threshold_of(plan: Plan, group: int) -> int:
    """Give how many of a group open what is to be unmasked: two thirds and one more."""
    return plan.threshold + group - plan.group_size if plan.threshold else 2 * group // 3 + 1


def viable(
    plan: Plan, roster: Collection[NodeId], seed: bytes, present: Collection[NodeId]
) -> tuple[NodeId, ...]:
    """Give who of those present is in a group that enough are left of, in ascending order."""
    if not plan.is_private:
        return tuple(sorted(present))
    kept: list[NodeId] = []
    for group in groups_of(roster, seed, plan.group_size):
        left = [node for node in group if node in present]
        if len(left) >= threshold_of(plan, len(group)):
            kept += left
    return tuple(sorted(kept))
