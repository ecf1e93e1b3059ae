"""Worlds of the peg by seed, for the command line: what became of one, or what it broke."""

from dataclasses import dataclass

from sim.checkers import InvariantViolation
from sim.pegs import NODES, PegWorld
from sim.plans import Finding, Plan
from sim.quick import quick

PEG = "peg"


@dataclass(frozen=True, slots=True)
class PegOutcome:
    """What happened in a world of the peg."""

    seed: int
    payments: int
    wallets: int
    in_sat: int
    deep: int
    """Reorganisations deeper than what members wait for."""
    moved: int
    """Final payments whose place another version took."""
    most_sat: int
    """What the peg may hold at most; 0 for no bound."""
    state_root: str


def peg_plan(seed: int) -> Plan:
    """Give the plan of a seed; a world of the peg has no other choices."""
    return Plan(PEG, seed, NODES)


def judge_peg(seed: int) -> PegOutcome | Finding:
    """Run a world; give what became of it, or what it broke."""
    world = PegWorld(seed)
    try:
        with quick():
            world.run()
    except InvariantViolation as violation:
        return Finding(peg_plan(seed), violation.invariant, str(violation))
    except Exception as error:  # noqa: BLE001  # whatever stops a world is a finding
        kind = type(error).__name__
        return Finding(peg_plan(seed), kind, f"{kind}: {error}")
    ledger = world.ledger
    return PegOutcome(
        seed=seed,
        payments=ledger.peg.payments,
        wallets=ledger.peg.wallet,
        in_sat=ledger.peg.in_sat,
        deep=world.deep,
        moved=world.moved,
        most_sat=world.most_sat,
        state_root=ledger.root.hex(),
    )


def attempt_peg(plan: Plan) -> Finding | None:
    """Run a world; give what it broke, or None when every promise held."""
    found = judge_peg(plan.seed)
    return found if isinstance(found, Finding) else None
