"""One run: a mesh, clients, one trouble after the other, and what came of it."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.history import Ending, History, faults
from tests.chaos.mesh import ChaosMesh
from tests.chaos.nemeses import NEED_SHIM, NEMESES, Scene
from tests.chaos.network import Weather

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How many, how long, how bad."""

    members: int = 7
    clients: int = 3
    every_s: float = 1.0
    trouble_s: float = 10.0
    settle_s: float = 180.0
    weather: Weather = field(default_factory=Weather)
    nemeses: Sequence[str] = tuple(NEMESES)
    seed: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a run has shown."""

    faults: list[str]
    history: History
    recoveries_s: dict[str, float]
    """From the end of a trouble until all nodes are as far as one another."""
    left_out: list[str]
    frames: tuple[int, int, int]
    """Relayed, lost, and overtaken by a later one."""


def play(root: Path, plan: Plan, say: Say) -> Outcome:
    """Run it; raise AssertionError only when the mesh does not come up or does not settle."""
    dice, history = random.Random(plan.seed), History()
    mesh = ChaosMesh(root, plan.members, plan.seed, plan.weather)
    recoveries: dict[str, float] = {}
    left_out = [name for name in plan.nemeses if name in NEED_SHIM and not mesh.has_shim]
    try:
        mesh.calm()
        mesh.until(mesh.is_whole, "all nodes have found each other", plan.settle_s)
        say(f"{plan.members} nodes, {plan.weather}")
        clients = Clients(mesh, history, plan.clients, plan.every_s)
        scene = Scene(mesh, clients, dice)
        try:
            for name in plan.nemeses:
                if name in left_out:
                    say(f"{name}: left out, there is no C compiler")
                    continue
                say(f"{name}: {NEMESES[name](scene)}")
                if mesh.island is not None:
                    history.cut_off(mesh.island.name)
                time.sleep(plan.trouble_s)
                mesh.calm()
                begin = time.monotonic()
                mesh.until(mesh.is_whole, f"all agree again after {name}", plan.settle_s)
                recoveries[name] = time.monotonic() - begin
                say(f"{name}: over, all agree {recoveries[name]:.1f} s later")
        finally:
            clients.stop()
        say(f"{len(history.unanswered)} questions had no answer, and are asked again")
        _ask_again(mesh, clients, history, plan)
        say("every question has its answer; all nodes finish what is open")
        endings = _settled(mesh, history, plan, say)
        found = faults(history, endings, mesh.minted_msat) + doubles(endings)
        switch = mesh.switch
        frames = switch.frames, switch.lost, switch.overtaken
        return Outcome(found, history, recoveries, left_out, frames)
    finally:
        mesh.close()


def _ask_again(mesh: ChaosMesh, clients: Clients, history: History, plan: Plan) -> None:
    """Ask once more for whatever had no answer: the nonce makes it the same task."""
    for nonce in list(dict.fromkeys(history.unanswered)):
        mesh.until(
            lambda nonce=nonce: clients.ask(clients.home[nonce], nonce, 20.0),
            "a task that had no answer is taken when all is calm",
            plan.settle_s,
        )


def _settled(mesh: ChaosMesh, history: History, plan: Plan, say: Say) -> dict[str, Ending]:
    """Wait until every node has every acknowledged task as final."""
    mesh.until(mesh.waits_for_nothing, "nothing waits on a disk any more", plan.settle_s)
    mesh.until(mesh.has_settled, "every node knows how all tasks ended", plan.settle_s)
    say("nothing is open; receipts are checked, and disks are read")
    return mesh.endings(sorted(history.acknowledged))


def doubles(endings: dict[str, Ending]) -> list[str]:
    """Name the nonces that became two tasks; each nonce is an input of its own."""
    found = []
    for name, ending in sorted(endings.items()):
        inputs = [task.input_sha256 for task in ending.tasks.values() if not task.audits]
        twice = sorted({each for each in inputs if inputs.count(each) > 1})
        found += [f"{name}: input {each[:12]} was admitted twice" for each in twice]
    return found
