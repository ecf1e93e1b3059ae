"""Eight ways in which things go wrong; each begins here, and `ChaosMesh.calm` ends it."""

import random
from collections.abc import Callable

from tests.chaos.mesh import ChaosMesh

Nemesis = Callable[[ChaosMesh, random.Random], str]

SKEWS_MS = (-90_000, 120_000)


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


def kill(mesh: ChaosMesh, dice: random.Random) -> str:
    """Cut the power of the coordinator."""
    del dice
    lost = mesh.daemons[_coordinator(mesh)]
    lost.kill()
    return f"{lost.data_dir.name}, the coordinator, is killed"


def pause(mesh: ChaosMesh, dice: random.Random) -> str:
    """Let the coordinator stand still with all connections open."""
    del dice
    lost = mesh.daemons[_coordinator(mesh)]
    lost.pause()
    return f"{lost.data_dir.name}, the coordinator, stands still"


def split(mesh: ChaosMesh, dice: random.Random) -> str:
    """Cut off as many as may fail, the coordinator among them."""
    others = [number for number in range(len(mesh.daemons)) if number != _coordinator(mesh)]
    island = {_coordinator(mesh), *dice.sample(others, _faulty(mesh) - 1)}
    mesh.split(island)
    return f"an island: {sorted(mesh.daemons[number].data_dir.name for number in island)}"


def one_way(mesh: ChaosMesh, dice: random.Random) -> str:
    """Let the coordinator be heard by all and hear nobody."""
    del dice
    deaf = _coordinator(mesh)
    mesh.switch.cut = frozenset((n, deaf) for n in range(len(mesh.daemons)) if n != deaf)
    return f"{mesh.daemons[deaf].data_dir.name}, the coordinator, hears nobody"


def ring(mesh: ChaosMesh, dice: random.Random) -> str:
    """Let each see most of the others, and no two the same ones."""
    order = list(range(len(mesh.daemons)))
    dice.shuffle(order)
    cut = {(order[n - 1], order[n]) for n in range(len(order))}
    mesh.switch.cut = frozenset(cut | {(b, a) for a, b in cut})
    return "a ring: each has lost its two neighbours"


def storm(mesh: ChaosMesh, dice: random.Random) -> str:
    """Lose and delay far more than usual."""
    del dice
    mesh.switch.loss, mesh.switch.delay_s, mesh.switch.jitter_s = 0.15, 0.15, 0.1
    return "a storm: 15 % loss, 150 ms +- 100"


def slow_disk(mesh: ChaosMesh, dice: random.Random) -> str:
    """Make every flush of some disks take long, the coordinator's among them."""
    others = [number for number in range(len(mesh.daemons)) if number != _coordinator(mesh)]
    slow = {_coordinator(mesh), *dice.sample(others, max(0, _faulty(mesh) - 1))}
    for number in slow:
        mesh.daemons[number].slow.touch()
    return f"{len(slow)} slow disks"


def wrong_clock(mesh: ChaosMesh, dice: random.Random) -> str:
    """Start as many as may fail again with clocks that are wrong, and that stay so."""
    wrong = dice.sample(range(len(mesh.daemons)), _faulty(mesh))
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
    "one-way": one_way,
    "ring": ring,
    "storm": storm,
    "slow-disk": slow_disk,
    "wrong-clock": wrong_clock,
}
NEED_SHIM = frozenset({"slow-disk", "wrong-clock"})
