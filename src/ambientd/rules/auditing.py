"""Who works alone, and whose work is done again (VERIFICATION, Assurance; ADR 28 and 34)."""

from collections.abc import Iterable

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.model.task import Assurance, TaskSpec

AUDIT_PERMILLE = 100
"""Of the answers that are audited at all so many are, however good their worker's record."""

AUDITORS = 1
"""Who differs from the answer starts a dispute, so one honest auditor is enough (ADR 28)."""

AUDITS_MAX = 4
"""How often one answer is audited at most: again when all who vouched for it are convicted."""

AUDIT_STRATEGY = "weighted"
"""Chance alone: all other strategies go by what nodes say of themselves."""

TRUSTED_STREAK = 10
PROBATION_STREAK = 20
"""Until so many verified outcomes a trusted worker's lone answers are on probation (ADR 34)."""

PROBATION_TIMES = 10
"""So many times the usual share of these is audited: all of them, of a tenth."""

ERROR_PPB = 1_000
"""A quorum is large enough for a wrong answer in a million."""

COLLUDERS_PERMILLE_MAX = 500
DRAW_BITS = 64


def audit_spec(spec: TaskSpec) -> TaskSpec:
    """Give what an auditor is asked: the same execution, by it alone, however late.

    It is drawn by bond and reputation: other strategies go by what nodes say of themselves, so who
    is the greenest would work on nearly all tasks and audit them, too. And one node's silence ends
    no audit.
    """
    return replace(
        spec,
        assurance=Assurance.NONE,
        replicas=AUDITORS,
        deadline_ms=0,
        attempts_max=0,
        strategy=AUDIT_STRATEGY,
    )


def is_trusted(streak: int) -> bool:
    """Tell whether so many verified outcomes since the last fault let a worker work alone."""
    return streak >= TRUSTED_STREAK


def earns_trust(spec: TaskSpec, strategy: str, attempts: Iterable[int]) -> bool:
    """Tell whether chance alone chose the workers of these slots, under a cluster's strategy.

    Constraints choose them, strategies let them choose themselves, and who serves an input to its
    friends only lets all others miss their turn: then friends would confirm each other's answers.
    """
    is_drawn = (spec.strategy or strategy) == AUDIT_STRATEGY
    return is_drawn and not spec.constraints and not any(attempts)


def lone_permille(streak: int, permille: int = AUDIT_PERMILLE) -> int:
    """Give the share of a trusted worker's lone answers that is audited: nearly all at first.

    Whoever lies once it is trusted is found before its lies are accepted. Answers that nobody
    audited add nothing to the streak, so no probation ends by waiting.
    """
    times = PROBATION_TIMES if streak < PROBATION_STREAK else 1
    return min(1000, permille * times)


def is_audited(seed: bytes, task: bytes, permille: int = AUDIT_PERMILLE) -> bool:
    """Draw whether an answer is audited, by a seed that nobody knew when it was sealed.

    The draw is 64 bits, compared as a fraction of 2^64: no share is off by more than 2^-64.
    """
    drawn = int.from_bytes(tagged("ambient/audit/1", seed, task)[:8], "big")
    return drawn * 1000 < permille << DRAW_BITS


def replicas_for(colluders_permille: int, error_ppb: int = ERROR_PPB) -> int:
    """Give the least k such that k drawn workers are all colluders in one of 10^9 / error cases.

    By unanimity one honest replica is enough, so the error is share^k; drawing without putting
    back makes it smaller. Raises ValueError where colluders are the majority or errors impossible.
    """
    if not 0 <= colluders_permille <= COLLUDERS_PERMILLE_MAX or not 0 < error_ppb <= 10**9:
        msg = (
            f"no quorum for {colluders_permille} permille of colluders and an error of "
            f"{error_ppb} in 10^9: give 0 to {COLLUDERS_PERMILLE_MAX}, and 1 to 10^9"
        )
        raise ValueError(msg)
    replicas = 1
    while colluders_permille**replicas * 10**9 > error_ppb * 1000**replicas:
        replicas += 1
    return replicas
