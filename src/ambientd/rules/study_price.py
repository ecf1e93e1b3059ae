"""What a study costs its author: its records as tasks cost, and the audits of its updates."""

from ambientd.model.execution import ExecutionLimits
from ambientd.model.learning import Plan, Terms
from ambientd.rules.auditing import AUDITORS
from ambientd.rules.rewards import slot_fee_msat
from ambientd.rules.studies import equal_findings
from ambientd.rules.tolerances import is_audited

RECORD_GAS = 10_000_000
"""A record of a round costs what a task of so much gas does, at the cluster's least price."""

FAILURES_MAX = 3
"""Rounds in a row that may fail before a study does."""

PLACE_GAS = 10_000_000_000
"""A place among the studies costs what a task of so much gas does, for each hour."""

HOUR_MS = 3_600_000
WORDS_OPEN = 2
WORDS_PRIVATE = 4
"""What each participant says in a round: its update and score; keys, shares, update, openings."""

STEPS_OPEN = 3
STEPS_PRIVATE = 5
"""Steps of a round beside training, each for `step_ms` if no further aggregator is asked."""


def round_price_msat(plan: Plan, terms: Terms, members: int, price_msat_per_mgas: int) -> int:
    """Give what a round's records cost: all that may be said in it, whoever is silent."""
    words = WORDS_PRIVATE if plan.is_private else WORDS_OPEN
    records = words * terms.wanted + 2 * members
    return slot_fee_msat(records * RECORD_GAS, price_msat_per_mgas)


def place_price_msat(terms: Terms, price_msat_per_mgas: int) -> int:
    """Give what a place costs, whatever becomes of the study: places are few, and others wait."""
    hours = -(-terms.invite_ms // HOUR_MS)
    return slot_fee_msat(hours * PLACE_GAS, price_msat_per_mgas)


def held_ms_max(plan: Plan, terms: Terms) -> int:
    """Give how long a round takes if each of its steps is as long as it may be."""
    trainings = 2 if is_audited(plan) else 1  # the participants', and then the aggregators'
    steps = STEPS_PRIVATE if plan.is_private else STEPS_OPEN
    return trainings * terms.train_ms + steps * terms.step_ms


def held_price_msat(plan: Plan, terms: Terms, held_ms: int, price_msat_per_mgas: int) -> int:
    """Give what the time that a round took costs, since a place was held as long."""
    held_ms = min(max(held_ms, 0), held_ms_max(plan, terms))  # members' clocks may leap
    return slot_fee_msat(PLACE_GAS * held_ms // HOUR_MS, price_msat_per_mgas)


def audit_price_msat(gas_max: int, price_msat_per_mgas: int) -> int:
    """Give what an audit may cost at most: its auditors, and the referees as much."""
    return slot_fee_msat(gas_max, price_msat_per_mgas) * (AUDITORS + 1)


def native_audit_price_msat(members: int, price_msat_per_mgas: int) -> int:
    """Give what an audit within a tolerance costs: whoever must say the same trains again."""
    each = slot_fee_msat(ExecutionLimits().gas_max, price_msat_per_mgas)
    return each * equal_findings(members)


def _audit_price_msat(plan: Plan, members: int, price_msat_per_mgas: int) -> int:
    if is_audited(plan):
        return native_audit_price_msat(members, price_msat_per_mgas)
    return audit_price_msat(ExecutionLimits().gas_max, price_msat_per_mgas)


def study_price_msat(plan: Plan, terms: Terms, members: int, price_msat_per_mgas: int) -> int:
    """Give what is set aside: every round at its longest, as many as may fail, and all audits."""
    each = round_price_msat(plan, terms, members, price_msat_per_mgas)
    each += held_price_msat(plan, terms, held_ms_max(plan, terms), price_msat_per_mgas)
    each += terms.audits * _audit_price_msat(plan, members, price_msat_per_mgas)
    return (terms.rounds + FAILURES_MAX) * each
