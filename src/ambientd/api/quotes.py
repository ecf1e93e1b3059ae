"""What a node answers when it is asked what a task would cost."""

from ambientd.api.replies import Reply


class Quote(Reply, frozen=True):
    """What a task may cost: `likely_msat` if it uses all its gas, `escrow_msat` in any case.

    A caller that nobody can ask should not spend more than `ask_above_msat`. `suited` nodes are
    what the task asks for, now and as their owners say.
    """

    assurance: str
    replicas: int
    replicas_max: int
    gas_max: int
    slot_fee_msat: int
    likely_msat: int
    escrow_msat: int
    reserve_msat: int
    balance_msat: int
    ask_above_msat: int
    suited: int
