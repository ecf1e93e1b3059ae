"""What a node says is due is what its cores want, though it asks them only now and then."""

import pytest

from sim.cluster import ClusterOptions, build, watch
from sim.faults import Fault
from sim.machine import Delivery, Effect, Host
from sim.vices import Resident

FAULTS = frozenset({Fault.CRASH, Fault.DELAY, Fault.SEATS, Fault.SHORT_LOG, Fault.BAD_WORKER})


class AsksAgain:
    """Asks the cores of whoever does something, before the world does."""

    def __init__(self) -> None:
        self.asked = 0

    def saw_delivery(self, node: Host, delivery: Delivery, now: int) -> None:
        """Look away."""

    def saw_effect(self, node: Host, effect: Effect, now: int) -> None:
        """Compare what a node remembers with what its cores say."""
        del effect, now
        assert isinstance(node, Resident)
        if node.node is not None and node.node._roles_due_ms is not None:
            self.asked += 1
            assert node.node._roles_due_ms == node.node._cores.due_ms(node.node.coordinator)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_node_forgets_what_is_due_whenever_that_may_have_changed(seed: int) -> None:
    options = ClusterOptions(seed=seed, members=4, faults=FAULTS, time_ms=40_000)
    world, cast, _, _ = build(options)
    watch(world, cast)
    asks = AsksAgain()
    world.observers.append(asks)
    world.run(options.time_ms)
    assert asks.asked > 100
