"""Hours, a battery and a metered network keep a node from work, and no longer than they last."""

from dataclasses import replace

import pytest

from ambientd.config.owner_terms import OwnerTerms
from ambientd.ledger.offers import OFFER_MS
from ambientd.ledger.weighing import Standing, weigh
from ambientd.model.effect import Propose
from ambientd.model.offer import Closed
from ambientd.model.record import Offer
from ambientd.model.task import Assurance, TaskState
from ambientd.node.event import Event, OwnerWished
from ambientd.ports.surroundings import Surroundings
from ambientd.roles.offerer import Offerer
from ambientd.runtime.ownership import Ownership
from sim.trio_world.owner import CALM, CalmDevice, KeptTerms, NoCaps
from tests.ledger.cluster import TestCluster

NUMBER = 1
WORKDAY = OwnerTerms(hours=("08:00-18:00",))
NIGHT, MORNING = replace(CALM, week_minute=7 * 60), replace(CALM, week_minute=9 * 60)


class Device:
    """A node of a cluster, of whose owner and surroundings the log is told as a daemon does it."""

    def __init__(self, cluster: TestCluster, terms: OwnerTerms, seen: Surroundings) -> None:
        self._cluster, self._terms = cluster, terms
        self._device, file = CalmDevice(), KeptTerms()
        self._device.seen = seen
        self._owner = Ownership(file, self._device, NoCaps(), lambda: cluster.time_ms)
        self._offerer = Offerer(cluster.node(NUMBER))

    async def sees(self, seen: Surroundings) -> None:
        self._device.seen = seen
        await self._owner.say(self._terms, self._post)

    async def _post(self, event: Event) -> None:
        assert isinstance(event, OwnerWished)
        self._offerer.on_wish(event.wish)
        now = self._cluster.time_ms + 10_000
        [said] = self._offerer.on_tick(self._cluster.state, (), now)
        assert isinstance(said, Propose)
        assert isinstance(said.body, Offer)
        self._cluster.block((NUMBER, said.body), after_ms=OFFER_MS)


@pytest.mark.parametrize(
    ("terms", "busy", "free", "closed", "standing"),
    [
        (WORKDAY, NIGHT, MORNING, Closed.HOURS, Standing.OTHER_HOURS),
        (
            OwnerTerms(on_battery=False),
            replace(CALM, on_battery=True),
            CALM,
            Closed.BATTERY,
            Standing.ON_BATTERY,
        ),
        (
            OwnerTerms(on_metered=False),
            replace(CALM, metered_link="wwan0"),
            CALM,
            Closed.METERED,
            Standing.ON_METERED,
        ),
    ],
)
async def test_the_scheduler_heeds_what_an_owner_rules_out(
    terms: OwnerTerms,
    busy: Surroundings,
    free: Surroundings,
    closed: Closed,
    standing: Standing,
) -> None:
    cluster = TestCluster()
    device = Device(cluster, terms, free)
    await device.sees(busy)
    own = cluster.node(NUMBER)
    entry = cluster.state.node(own)
    assert entry is not None
    assert entry.closed == closed
    tasks = [
        cluster.admit(nonce=b"%d" % n, replicas=1, assurance=Assurance.NONE) for n in range(12)
    ]
    cluster.block()
    given = {slot.worker for task in tasks for slot in cluster.task(task).slots}
    assert own not in given
    assert len(given) > 1, "others take them"
    all_of_them = cluster.admit(nonce=b"all", replicas=cluster.members)
    seen = {each.node: each.standing for each in weigh(cluster.state, cluster.task(all_of_them))}
    assert seen[own] is standing
    assert cluster.task(all_of_them).state is TaskState.PENDING
    for task in tasks:
        cluster.work(task)
    await device.sees(free)
    cluster.block()
    assert own in {slot.worker for slot in cluster.task(all_of_them).slots}
