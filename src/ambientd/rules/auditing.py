"""Who works alone, and whose work is done again: draws and tables (VERIFICATION, Assurance)."""

from ambientd.codec.digest import tagged

AUDIT_PERMILLE = 100
"""Of the answers that one worker gave alone, whatever the assurance, so many are audited."""

AUDITORS = 3
TRUSTED_STREAK = 10
CHECKED_REPLICAS = 2
"""A task for a worker that is not trusted with it has so many replicas."""

ERROR_PPB = 1_000
"""A quorum is large enough for a wrong answer in a million."""

COLLUDERS_PERMILLE_MAX = 500
DRAW_BITS = 64


def is_audited(seed: bytes, task: bytes, permille: int = AUDIT_PERMILLE) -> bool:
    """Draw whether an answer is audited, by a seed that nobody knew when it was sealed."""
    return _draw("ambient/audit/1", seed, task) * 1000 < permille << DRAW_BITS


def is_trusted(streak: int) -> bool:
    """Tell whether so many verified outcomes without a fault between them make a worker trusted."""
    return streak >= TRUSTED_STREAK


def works_alone(seed: bytes, task: bytes, streak: int) -> bool:
    """Draw whether a worker gets a task alone: if trusted, in all but one of `streak` cases."""
    return is_trusted(streak) and _draw("ambient/alone/1", seed, task) * streak >= 1 << DRAW_BITS


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


def _draw(tag: str, seed: bytes, task: bytes) -> int:
    """Draw 64 bits; compared as a fraction of 2^64 they favour nothing by more than 2^-64."""
    return int.from_bytes(tagged(tag, seed, task)[:8], "big")
