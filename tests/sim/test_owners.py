"""Owners change their minds all along in a world with every fault: no promise is broken."""

import random

import pytest

from ambientd.ledger.events import NodeOffered, SlotReleased
from ambientd.ledger.offers import REASON
from ambientd.model.offer import NOTHING_SAID, Closed, Wish
from sim.audit_checkers import check_audits
from sim.cluster import ClusterOptions, build, watch
from sim.node_checkers import check_ends
from sim.node_machine import NodeHost
from sim.quick import quick
from sim.stage import Stage

CALM_MS = 20_000
WISHES = (
    NOTHING_SAID,
    Wish(closed=Closed.PAUSED),
    Wish(closed=Closed.PAUSED, stops=True),
    Wish(closed=Closed.HOURS),
    Wish(refuses=("media",)),
    Wish(capacity=1),
)


def wish(world: Stage, host: NodeHost, wanted: Wish) -> None:
    """Let an owner say something; a node that is down reads it when it starts."""
    if not world.act(host.key, lambda now: host.heed(wanted, now)):
        host.owner_wish = wanted


@pytest.mark.slow
@pytest.mark.parametrize("seed", [6])
def test_every_task_ends_though_owners_pause_stop_and_resume(seed: int) -> None:
    options = ClusterOptions(seed)
    with quick():
        world, cast, history, _ = build(options)
        watch(world, cast)
        world.observers.append(history)
        dice = random.Random(seed)
        for host in cast.hosts:
            assert isinstance(host, NodeHost)
            time_ms = 3_000
            while time_ms < options.time_ms - CALM_MS:
                wanted = dice.choice(WISHES)
                world.at(time_ms, lambda host=host, wanted=wanted: wish(world, host, wanted))
                time_ms += dice.randrange(500, 9_000)
            calm_ms = options.time_ms - CALM_MS
            world.at(calm_ms, lambda host=host: wish(world, host, NOTHING_SAID))
        world.run(options.time_ms)
        check_ends(cast.honest)
        check_audits(cast.honest)
        history.check()
    told = [each.event for each in cast.honest[0].told]
    assert sum(isinstance(each, NodeOffered) for each in told) > 10
    assert any(isinstance(each, SlotReleased) and each.reason == REASON for each in told)
