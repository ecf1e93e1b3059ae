"""Bugs of rolling upgrades, in which a state version comes too early, or elsewhere for each."""

from collections.abc import Callable

from ambientd.ledger import seats
from ambientd.ledger.draft import Draft
from ambientd.ledger.state import LedgerState
from ambientd.ledger.versions import Versions
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis
from ambientd.model.record import Epoch
from ambientd.ports.store import Store
from ambientd.rules.verdicts import liars_max
from ambientd.runtime.persistence import Recovered
from sim import node_machine
from sim.mutants.patch import Mutant, Patch, bug


def _of_the_old(next_version: Callable[..., int]) -> object:
    def counted(draft: Draft, present: Epoch, _: tuple[NodeId, ...]) -> int:
        return next_version(draft, present, present.members)

    return counted


def _opens_in_the_newest(recover: Callable[..., Recovered]) -> object:
    def opened(store: Store, genesis: Genesis, versions: Versions) -> Recovered:
        found = recover(store, genesis, versions)
        ledger = found.ledger
        form = versions.of(versions.newest)
        if ledger.form is not form:
            items = {key: each for key, each in form.changes(ledger.items()).items() if each}
            index = ledger.applied_index
            ledger.become(LedgerState(genesis, items, index, form.number, versions))
        return found

    return opened


VERSION_MUTANTS: tuple[Mutant, ...] = (
    bug(
        "old-committee-knows",
        "counts who knows a state version in the old committee, not in the next",
        Patch(seats, "_next_version", _of_the_old),
        scenario="node-versions",
    ),
    bug(
        "few-know",
        "lets a state version come once f + 1 know it",
        Patch(seats, "_knowing_needed", lambda _: lambda members: liars_max(members) + 1),
        scenario="node-versions",
    ),
    bug(
        "migrates-at-the-start",
        "takes the step to a state version when a store is opened",
        Patch(node_machine, "recover", _opens_in_the_newest),
        scenario="node-versions",
    ),
)
