"""What a task costs and pays, in millisatoshi (VERIFICATION, Reputation, rewards, penalties)."""

from ambientd.model.mark import MARK_SHARE
from ambientd.model.task import TaskSpec
from ambientd.rules.auditing import AUDITORS

MGAS = 1_000_000
CANCEL_SHARE = 10


def slot_fee_msat(gas_max: int, price_msat_per_mgas: int) -> int:
    """Give the most that one slot can cost."""
    return -(-gas_max * price_msat_per_mgas // MGAS)


def escrow_msat(gas_max: int, price_msat_per_mgas: int, replicas: int, audit_permille: int) -> int:
    """Give what is set aside: every slot, and as much as one more for the referees.

    One worker alone can end in no dispute before it is audited: a premium is set aside instead.
    """
    fee = slot_fee_msat(gas_max, price_msat_per_mgas)
    return fee + premium_msat(fee, audit_permille) if replicas == 1 else fee * (replicas + 1)


def premium_msat(pay_msat: int, audit_permille: int) -> int:
    """Give what an answer of one worker alone adds to its price: its share in the audits' cost."""
    return -(-pay_msat * AUDITORS * audit_permille // 1000)


def reward_msat(gas: int, price_msat_per_mgas: int) -> int:
    """Give the pay for verified gas; never more than the slot's fee."""
    return -(-gas * price_msat_per_mgas // MGAS)


def proof_fee_msat(spec: TaskSpec) -> int:
    """Give the most that a task's proof can cost, nothing where none is asked for."""
    return 0 if spec.proof is None else proof_pay_msat(spec, spec.proof.cycles_max)


def proof_pay_msat(spec: TaskSpec, cycles: int) -> int:
    """Give the pay for a proof of so many cycles; no more than was asked for is paid."""
    if spec.proof is None:
        return 0
    return reward_msat(min(cycles, spec.proof.cycles_max), spec.proof.price_msat_per_mcycle)


def escrow_of(spec: TaskSpec, audit_permille: int) -> int:
    """Give what is set aside for a task; what is proven is never audited."""
    if spec.proof is not None:
        return slot_fee_msat(spec.gas_max, spec.price_msat_per_mgas) + proof_fee_msat(spec)
    marks = spec.marks_max * mark_fee_msat(spec)
    fees = (spec.gas_max, spec.price_msat_per_mgas, spec.replicas_max, audit_permille)
    return escrow_msat(*fees) + marks


def mark_fee_msat(spec: TaskSpec) -> int:
    """Give what a mark costs, to the fee pool: all nodes keep it, some its state."""
    return -(-slot_fee_msat(spec.gas_max, spec.price_msat_per_mgas) // MARK_SHARE)


def cancel_fee_msat(gas_max: int, price_msat_per_mgas: int) -> int:
    """Give what a worker under way gets when the submitter takes the task back."""
    return slot_fee_msat(gas_max, price_msat_per_mgas) // CANCEL_SHARE


def cancel_share_msat(spec: TaskSpec) -> int:
    """Give what a task pays for each slot given out in vain: a share of its proof's fee as well."""
    share = cancel_fee_msat(spec.gas_max, spec.price_msat_per_mgas)
    return share + proof_fee_msat(spec) // CANCEL_SHARE
