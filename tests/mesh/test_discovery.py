"""Daemons in networks of their own: who has moved, slept or lost power is back by itself.

Within 10 s where the processors have room; the longer, the more wait for them.
"""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.ports.transport import TransportOptions
from tests.chaos.mesh import ChaosMesh
from tests.chaos.network import Weather, what_is_missing
from tests.mesh.cluster import READY_DEADLINE_S

MISSING = what_is_missing()
pytestmark = [
    pytest.mark.mesh,
    pytest.mark.net,
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=f"there is no such network here: {MISSING}"),
]

BACK_S = 10.0
SLEEP_S = 30.0
FELT_S = 0.2
MEMBERS = 4
IDLE_S = TransportOptions().idle_limit_s


class Moving(ChaosMesh):
    """Nodes that listen on every address that they have, on a network without trouble."""

    def __init__(self, root: Path, *, mdns: str = "off", dht: bool = False) -> None:
        super().__init__(root, MEMBERS, seed=1, weather=Weather(0.0, 0.0, 0.0))
        for number in range(1, MEMBERS + 1):
            self.rewrite(number, r'^listen = "[0-9.]+:', 'listen = "0.0.0.0:')
            self.rewrite(number, r"^# mdns = .*", f'mdns = "{mdns}"')
            self.rewrite(number, r"^# dht = .*", f"dht = {str(dht).lower()}")

    def rewrite(self, number: int, before: str, after: str) -> None:
        config = self.root / f"node{number}" / "config.toml"
        text, count = re.subn(before, after, config.read_text(), flags=re.MULTILINE)
        assert count == 1, before
        config.write_text(text)

    def knows(self, number: int, *others: int) -> None:
        """Leave of a node's configured peers those to the others."""
        config = self.root / f"node{number}" / "config.toml"
        kept = [f"@{self.places[other - 1].address}:" for other in others]
        lines = [
            line
            for line in config.read_text().splitlines(keepends=True)
            if "@10.99.1." not in line or any(each in line for each in kept)
        ]
        config.write_text("".join(lines))

    def peers(self, number: int) -> int:
        """Give how many others a node is connected to."""
        status = self.daemons[number - 1].status()
        return 0 if status is None else len(status.peers)

    def has_peers(self, number: int) -> bool:
        return self.peers(number) == MEMBERS - 1

    def misses_one(self) -> bool:
        return not any(map(self.has_peers, range(1, MEMBERS)))

    def is_back(self, number: int) -> None:
        """Wait until all are with a node that has gone, and it with them; it must be soon."""
        begin, crowded = time.monotonic(), crowding()
        last_missed = self.until_back(number, READY_DEADLINE_S)
        took_s = last_missed - begin
        assert took_s < BACK_S * max(crowded, crowding()), f"after {took_s:.1f} s"

    def until_back(self, number: int, deadline_s: float) -> float:
        """Wait until all are with a node that has gone, and it with them; give when it was so.

        Links to where it was count until nothing has been heard on them for a while.
        """
        begin = time.monotonic()
        others = [each for each in range(1, MEMBERS + 1) if each != number]
        last_missed = begin

        def back() -> bool:
            nonlocal last_missed
            if not all(map(self.has_peers, [number, *others])):
                last_missed = time.monotonic()
            return time.monotonic() > begin + IDLE_S + 1.0 and time.monotonic() > last_missed + 1.0

        self.until(back, f"node {number} is back", deadline_s)
        return last_missed


def crowding() -> float:
    """Give how many want each processor, as the system counts them or as one feels it here."""
    begun, used = time.monotonic(), time.thread_time()
    while time.thread_time() < used + FELT_S:
        pass
    felt = (time.monotonic() - begun) / FELT_S
    return max(1.0, felt, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "mesh"


def whole(mesh: Moving) -> None:
    mesh.start()
    for number in range(1, MEMBERS + 1):
        mesh.until(lambda n=number: mesh.has_peers(n), f"node {number} has all peers")


def ended(mesh: Moving) -> Iterator[Moving]:
    try:
        yield mesh
    finally:
        mesh.close()


def test_nodes_that_know_no_address_find_each_other_in_their_network(root: Path) -> None:
    for mesh in ended(Moving(root, mdns="on")):
        for number in range(1, MEMBERS + 1):
            mesh.knows(number)
        whole(mesh)


def test_a_node_that_has_moved_is_found_in_its_network(root: Path) -> None:
    """It knows nobody's address, so that others must find it."""
    for mesh in ended(Moving(root, mdns="on")):
        mesh.knows(MEMBERS)
        whole(mesh)
        mesh.places[-1].move(77)
        mesh.is_back(MEMBERS)


def test_a_node_that_has_moved_is_found_through_a_peer_in_common(root: Path) -> None:
    """It knows one peer, and the others know where it was."""
    for mesh in ended(Moving(root, dht=True)):
        mesh.knows(MEMBERS, 1)
        mesh.knows(1, 2, 3)
        whole(mesh)
        mesh.places[-1].move(77)
        mesh.is_back(MEMBERS)


def test_a_node_that_nothing_looks_for_stays_away(root: Path) -> None:
    """What the two tests above show is due to what they switch on."""
    for mesh in ended(Moving(root)):
        mesh.knows(MEMBERS, 1)
        mesh.knows(1, 2, 3)
        whole(mesh)
        mesh.places[-1].move(77)
        with pytest.raises(AssertionError, match="is back"):
            mesh.until_back(MEMBERS, BACK_S * min(3.0, crowding()))


def test_a_node_that_has_slept_is_back(root: Path) -> None:
    for mesh in ended(Moving(root)):
        whole(mesh)
        sleeper = mesh.daemons[-1]
        sleeper.pause()
        time.sleep(SLEEP_S)
        assert mesh.misses_one()
        sleeper.resume()
        mesh.is_back(MEMBERS)


def test_a_node_that_has_lost_power_is_back(root: Path) -> None:
    """From its start on: what it takes to read its log and open its workers counts."""
    for mesh in ended(Moving(root)):
        whole(mesh)
        mesh.daemons[-1].kill()
        mesh.until(mesh.misses_one, "it is missed")
        mesh.daemons[-1].start()
        mesh.is_back(MEMBERS)
