"""Real daemons behind a bad network for less than a minute, where this machine permits it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.network import Place, Switch, Weather, apart, what_is_missing
from tests.chaos.play import Plan, play

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(MISSING is not None, reason=f"chaos cannot run here: {MISSING}"),
]


@pytest.fixture
def pair() -> Iterator[tuple[Place, Place, Switch]]:
    places = Place(1), Place(2)
    switch = Switch([place.tap for place in places], seed=1)
    try:
        yield *places, switch
    finally:
        switch.stop()
        for place in places:
            place.close()


def listening(place: Place) -> socket.socket:
    def bound() -> socket.socket:
        place.enter()
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind((place.address, 9_000))
        found.settimeout(60.0)
        return found

    return apart(bound)


def test_frames_take_the_time_of_the_switch_and_stop_where_it_is_cut(
    pair: tuple[Place, Place, Switch],
) -> None:
    here, there, switch = pair
    with listening(here) as near, listening(there) as far:
        near.sendto(b"first", (there.address, 9_000))  # with it they find each other
        assert far.recv(99) == b"first"
        switch.delay_s = 0.1
        begin = time.monotonic()
        near.sendto(b"late", (there.address, 9_000))
        assert far.recv(99) == b"late"
        assert time.monotonic() - begin >= 0.1
        switch.cut = frozenset({(0, 1)})
        near.sendto(b"never", (there.address, 9_000))
        far.sendto(b"other way", (here.address, 9_000))
        assert near.recv(99) == b"other way"
        far.settimeout(1.0)
        with pytest.raises(TimeoutError):
            far.recv(99)


def test_no_interface_appears_outside(pair: tuple[Place, Place, Switch]) -> None:
    assert "tap0" not in {name for _, name in socket.if_nameindex()}


@pytest.mark.mesh
@pytest.mark.once
@pytest.mark.slow
def test_nothing_that_was_promised_is_lost_or_paid_twice_or_done_alone_on_a_bad_network(
    tmp_path: Path,
) -> None:
    plan = Plan(
        members=4,
        clients=2,
        trouble_s=3.0,
        nemeses=("kill", "split", "strand"),
        weather=Weather(delay_s=0.02, jitter_s=0.01),
    )
    outcome = play(tmp_path / "mesh", plan, print)
    assert outcome.faults == []
    assert outcome.history.acknowledged
    assert outcome.history.stranded
    assert len(outcome.history.islands) == 2
