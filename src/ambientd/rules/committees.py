"""Committees: how many seats may change hands at once, and how high a node stands."""

from collections.abc import Sequence

from ambientd.rules.scheduling import BOND_CAP_MSAT


def seats_replaced_max(size: int) -> int:
    """Give how many seats of a committee may change hands at once."""
    return max(1, size // 3)


def seats_fault(present: Sequence[bytes], proposed: Sequence[bytes]) -> str | None:
    """Give why a committee may not follow another in one step, or None when it may."""
    limit = seats_replaced_max(len(present))
    leaving = len(set(present) - set(proposed))
    joining = len(set(proposed) - set(present))
    if max(leaving, joining) > limit:
        return (
            f"{leaving} members leave and {joining} join; "
            f"of {len(present)} seats {limit} may change at once"
        )
    return None


def standing(bond_msat: int, reputation_permille: int, *, convicted: bool) -> int:
    """Give how high a node stands: what it has at risk times what its work says of it."""
    if convicted:
        return 0
    return (1 + min(bond_msat, BOND_CAP_MSAT) // 1_000_000) * (1 + reputation_permille)
