"""Nine ways in which things go wrong; each begins here, and `ChaosMesh.calm` ends it."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from ambientd.api.operations import TASK_LIST
from ambientd.api.requests import ListTasks
from tests.chaos.clients import Clients
from tests.chaos.mesh import ChaosMesh

SKEWS_MS = (-90_000, 120_000)
WAITS_S = 60.0
ON_DISK_S = 2.0
"""After which all that waits now is on disk."""


@dataclass(frozen=True)
class Scene:
    """What something happens to, who asks meanwhile, and what draws whom it happens to."""

    mesh: ChaosMesh
    clients: Clients
    dice: random.Random


Nemesis = Callable[[Scene], str]


def _coordinator(mesh: ChaosMesh) -> int:
    for daemon in mesh.daemons:
        status = daemon.status()
        if status is not None and status.coordinator is not None:
            by_id = {(s := each.status()) and s.node: n for n, each in enumerate(mesh.daemons)}
            return by_id.get(status.coordinator, 0)
    return 0


def _faulty(mesh: ChaosMesh) -> int:
    """Give how many members may fail at once."""
    return (len(mesh.daemons) - 1) // 3


def kill(scene: Scene) -> str:
    """Cut the power of the coordinator."""
    mesh = scene.mesh
    lost = mesh.daemons[_coordinator(mesh)]
    lost.kill()
    return f"{lost.data_dir.name}, the coordinator, is killed"


def pause(scene: Scene) -> str:
    """Let the coordinator stand still with all connections open."""
    mesh = scene.mesh
    lost = mesh.daemons[_coordinator(mesh)]
    lost.pause()
    return f"{lost.data_dir.name}, the coordinator, stands still"


def split(scene: Scene) -> str:
    """Cut off as many as may fail, the coordinator among them."""
    mesh = scene.mesh
    others = [number for number in range(len(mesh.daemons)) if number != _coordinator(mesh)]
    island = {_coordinator(mesh), *scene.dice.sample(others, _faulty(mesh) - 1)}
    mesh.split(island)
    return f"an island: {sorted(mesh.daemons[number].data_dir.name for number in island)}"


def strand(scene: Scene) -> str:
    """Cut one off that nobody asks, ask it for a task, kill it when it waits, start it again."""
    mesh = scene.mesh
    everybody = range(len(mesh.daemons))
    unasked = [n for n in everybody if mesh.daemons[n] not in scene.clients.homes]
    alone = scene.dice.choice(unasked or everybody)
    daemon = mesh.daemons[alone]
    mesh.split({alone})
    scene.clients.strand(daemon, b"asked on an island %d 1" % mesh.switch.frames)
    mesh.until(
        lambda: (status := daemon.status()) and status.tasks_waiting,
        "a task waits on an island's disk",
        WAITS_S,
    )
    for line in daemon.ask(TASK_LIST, ListTasks(state="waiting")).tasks:
        scene.clients.stranded(line.task_id)
    time.sleep(ON_DISK_S)
    daemon.kill()
    daemon.start()
    return f"{daemon.data_dir.name} is alone, asked for a task, killed and started again"


def one_way(scene: Scene) -> str:
    """Let the coordinator be heard by all and hear nobody."""
    mesh = scene.mesh
    deaf = _coordinator(mesh)
    mesh.switch.cut = frozenset((n, deaf) for n in range(len(mesh.daemons)) if n != deaf)
    return f"{mesh.daemons[deaf].data_dir.name}, the coordinator, hears nobody"


def ring(scene: Scene) -> str:
    """Let each see most of the others, and no two the same ones."""
    mesh = scene.mesh
    order = list(range(len(mesh.daemons)))
    scene.dice.shuffle(order)
    cut = {(order[n - 1], order[n]) for n in range(len(order))}
    mesh.switch.cut = frozenset(cut | {(b, a) for a, b in cut})
    return "a ring: each has lost its two neighbours"


def storm(scene: Scene) -> str:
    """Lose and delay far more than usual."""
    mesh = scene.mesh
    mesh.switch.loss, mesh.switch.delay_s, mesh.switch.jitter_s = 0.15, 0.15, 0.1
    return "a storm: 15 % loss, 150 ms +- 100"


def slow_disk(scene: Scene) -> str:
    """Make every flush of some disks take long, the coordinator's among them."""
    mesh = scene.mesh
    others = [number for number in range(len(mesh.daemons)) if number != _coordinator(mesh)]
    slow = {_coordinator(mesh), *scene.dice.sample(others, max(0, _faulty(mesh) - 1))}
    for number in slow:
        mesh.daemons[number].slow.touch()
    return f"{len(slow)} slow disks"


def wrong_clock(scene: Scene) -> str:
    """Start as many as may fail again with clocks that are wrong, and that stay so."""
    mesh = scene.mesh
    wrong = scene.dice.sample(range(len(mesh.daemons)), _faulty(mesh))
    for number, skew_ms in zip(wrong, SKEWS_MS, strict=False):
        daemon = mesh.daemons[number]
        daemon.kill()
        daemon.skew_ms = skew_ms
        daemon.start()
    return f"{len(wrong)} clocks are off by minutes"


NEMESES: dict[str, Nemesis] = {
    "kill": kill,
    "pause": pause,
    "split": split,
    "strand": strand,
    "one-way": one_way,
    "ring": ring,
    "storm": storm,
    "slow-disk": slow_disk,
    "wrong-clock": wrong_clock,
}
NEED_SHIM = frozenset({"slow-disk", "wrong-clock"})
