"""Two daemons, each in a home whose router lets nothing in, meet through one that all reach."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ambientd.api.doctor_values import LookRound, Looks
from ambientd.api.operations import DOCTOR_LOOK, TASK_OUTPUT, TASK_SUBMIT, TASK_WAIT
from ambientd.api.requests import GetOutput, SubmitTask, WaitForTask
from ambientd.cli.node_commands import seen_text
from tests.chaos.mesh import ChaosMesh
from tests.chaos.network import HOME_PREFIX, Place, Router, Switch, Weather, run_in, what_is_missing
from tests.mesh.cluster import Daemon
from tests.modules.compiled import module

MISSING = what_is_missing() or (
    None if shutil.which("iptables") else "routers masquerade with iptables: install it"
)
pytestmark = [
    pytest.mark.mesh,
    pytest.mark.net,
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=f"there is no such network here: {MISSING}"),
]

MEMBERS = 4
HOMES = (3, 4)


class Homes(ChaosMesh):
    """Nodes 1 and 2 can be dialled; 3 and 4 are at home, at the same address in two networks."""

    def __init__(self, root: Path, *, serves: bool) -> None:
        super().__init__(root, MEMBERS, seed=1, weather=Weather(0.0, 0.0, 0.0))
        self.inner = [
            Switch([router.inner_tap, self.places[number - 1].tap], seed=1)
            for router, number in zip(self.routers, HOMES, strict=True)
        ]
        for number in range(1, MEMBERS + 1):
            config = root / f"node{number}" / "config.toml"
            known = [
                line for line in config.read_text().splitlines() if f"@{HOME_PREFIX}" not in line
            ]
            text = re.sub(r'\nlisten = "[0-9.]+:', '\nlisten = "0.0.0.0:', "\n".join(known))
            if number in HOMES:
                text = re.sub("^# use = .*", "use = true", text, flags=re.MULTILINE)
            elif serves:
                text = re.sub("^# serve = .*", "serve = true", text, flags=re.MULTILINE)
            config.write_text(text + "\n")

    def _settle(self, members: int) -> list[Place]:
        outer = [Place(number) for number in range(1, members + 1)]
        self.outer = outer
        self.routers = [Router(outer[number - 1]) for number in HOMES]
        inner = {number: Place(2, HOME_PREFIX) for number in HOMES}
        for place in inner.values():
            run_in(place, "ip", "route", "add", "default", "via", f"{HOME_PREFIX}1")
        return [inner.get(number, outer[number - 1]) for number in range(1, members + 1)]

    def _taps(self) -> list[int]:
        return [place.tap for place in self.outer]

    def peers(self, number: int) -> int:
        status = self.daemons[number - 1].status()
        return 0 if status is None else len(status.peers)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.stop()
        for switch in self.inner:
            switch.stop()
        super().close()
        for router in self.routers:
            router.close()


@pytest.fixture
def mesh(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Homes]:
    made = Homes(tmp_path / "mesh", serves=request.param)
    try:
        for daemon in made.daemons:
            daemon.start()
        yield made
        made.check_alive()
    finally:
        made.close()


def look_with(home: Daemon, relays: int) -> Looks | None:
    looks = home.ask(DOCTOR_LOOK, LookRound())
    return looks if looks.relays == relays else None


@pytest.mark.parametrize("mesh", [True], indirect=True)
def test_two_nodes_at_home_are_linked_work_and_say_how_they_are_reached(mesh: Homes) -> None:
    for number in range(1, MEMBERS + 1):
        mesh.until(lambda n=number: mesh.peers(n) == MEMBERS - 1, f"node {number} has all peers")
    home = mesh.daemons[HOMES[0] - 1]
    task = home.ask(TASK_SUBMIT, SubmitTask(module=module("echo"), input=b"home")).task_id
    assert home.ask(TASK_WAIT, WaitForTask(task=task)).verdict == "agreed"
    assert home.ask(TASK_OUTPUT, GetOutput(task=task)).data == b"home"
    looks = mesh.until(lambda: look_with(home, 2), "a home has reserved with both")
    assert not any(each.reached for each in looks.peers)
    status = mesh.until(
        lambda: (
            (told := home.status()) is not None
            and "reachable by relay, through 2 members" in seen_text(told.seen)
            and told
        ),
        "it says how it is reached",
    )
    assert "invisible" not in [trouble.kind for trouble in status.troubles]


@pytest.mark.parametrize("mesh", [False], indirect=True)
def test_two_nodes_at_home_do_not_meet_where_nobody_serves(mesh: Homes) -> None:
    """What the test above shows is due to the relay."""
    for number in HOMES:
        mesh.until(lambda n=number: mesh.peers(n) == 2, f"node {number} has who can be dialled")
    with pytest.raises(AssertionError, match="meets the other"):
        mesh.until(lambda: mesh.peers(HOMES[0]) == MEMBERS - 1, "one meets the other", 10)
