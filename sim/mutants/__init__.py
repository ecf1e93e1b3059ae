"""Deliberate bugs, put into the protocol from outside: each must be caught by a checker."""

from collections.abc import Iterator
from contextlib import contextmanager

from sim.mutants.audits import AUDIT_MUTANTS
from sim.mutants.disputes import DISPUTE_MUTANTS
from sim.mutants.ledger import LEDGER_MUTANTS
from sim.mutants.log import LOG_MUTANTS
from sim.mutants.marks import MARK_MUTANTS
from sim.mutants.patch import Mutant, put_in
from sim.mutants.registry import REGISTRY_MUTANTS
from sim.mutants.versions import VERSION_MUTANTS

ALL = (
    *LOG_MUTANTS,
    *LEDGER_MUTANTS,
    *AUDIT_MUTANTS,
    *DISPUTE_MUTANTS,
    *REGISTRY_MUTANTS,
    *MARK_MUTANTS,
    *VERSION_MUTANTS,
)
MUTANTS: dict[str, Mutant] = {mutant.name: mutant for mutant in ALL}


@contextmanager
def mutated(name: str | None) -> Iterator[None]:
    """Let a bug be in the protocol for a while; none when there is no name."""
    with put_in(() if name is None else MUTANTS[name].patches):
        yield
