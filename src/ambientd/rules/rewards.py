"""What a task costs and pays, in millisatoshi (VERIFICATION, Reputation, rewards, penalties)."""

MGAS = 1_000_000
CANCEL_SHARE = 10


def slot_fee_msat(gas_max: int, price_msat_per_mgas: int) -> int:
    """Give the most that one slot can cost."""
    return -(-gas_max * price_msat_per_mgas // MGAS)


def escrow_msat(gas_max: int, price_msat_per_mgas: int, replicas: int) -> int:
    """Give what is set aside: every slot, and as much as one more for the referees."""
    return slot_fee_msat(gas_max, price_msat_per_mgas) * (replicas + 1)


def reward_msat(gas: int, price_msat_per_mgas: int) -> int:
    """Give the pay for verified gas; never more than the slot's fee."""
    return -(-gas * price_msat_per_mgas // MGAS)


def cancel_fee_msat(gas_max: int, price_msat_per_mgas: int) -> int:
    """Give what a worker under way gets when the submitter takes the task back."""
    return slot_fee_msat(gas_max, price_msat_per_mgas) // CANCEL_SHARE
