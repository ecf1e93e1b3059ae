"""How large the tasks of a simulated world are, in gas and items, and which are to be proven."""

import random
from collections.abc import Collection

from msgspec.structs import replace

from ambientd.model.task import TaskSpec
from sim.bundles import ITEMS, bundled
from sim.faults import Fault
from sim.proofs import proven

LARGE_GAS = 2_000_000_000
PROVEN_ONE_IN = 3


class TaskSizes:
    """Draws what a task asks for, as far as this world's faults are about it."""

    def __init__(self, seed: int, faults: Collection[Fault], *, proves: bool = False) -> None:
        self._faults = faults
        self._gas = random.Random(seed * 6_037)
        self._items = random.Random(seed * 15_013)
        self._proofs = random.Random(seed * 20_011)
        self._proves = proves

    def of(self, spec: TaskSpec) -> TaskSpec:
        """Give a task its size."""
        if Fault.DISPUTES in self._faults and self._gas.randrange(4):
            spec = replace(spec, gas_max=LARGE_GAS, price_msat_per_mgas=1)
        if Fault.BUNDLES in self._faults and not self._items.randrange(3):
            spec = bundled(spec, self._items.choice(ITEMS))
        if self._proves and not self._proofs.randrange(PROVEN_ONE_IN):
            spec = proven(spec)
        return spec
