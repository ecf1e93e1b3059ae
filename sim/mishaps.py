"""Draws what befalls devices in a storm: they drop out, overheat, stop amid a task, are updated."""

import random
from collections.abc import Sequence

from sim.happenings import DropsOut, Happening, Heats, LosesStates
from sim.strikes import COORDINATOR, MARKED, ROLES, STATES, WORKER, Strikes
from sim.updates import Updates


def draw_dropouts(
    nodes: int, begins_ms: int, heals_ms: int, dice: random.Random
) -> list[Happening]:
    """Draw participants that drop out of rounds in a storm: one, some, or all at once."""
    happenings: list[Happening] = []
    time_ms = begins_ms + dice.randrange(2_000, 8_000)
    while time_ms < heals_ms:
        gone = 1 + min(dice.randrange(nodes), dice.randrange(nodes))
        for node in dice.sample(range(nodes), gone):
            at_ms = min(time_ms + dice.randrange(1_500), heals_ms - 1)
            until_ms = min(at_ms + dice.randrange(500, 6_000), heals_ms)
            happenings.append(DropsOut(at_ms, node, until_ms))
        time_ms += dice.randrange(3_000, 9_000)
    return happenings


def draw_heats(
    honest: Sequence[int], begins_ms: int, heals_ms: int, dice: random.Random
) -> list[Happening]:
    """Draw devices that overheat in a storm, at times several at once."""
    happenings: list[Happening] = []
    time_ms = begins_ms + dice.randrange(2_000, 6_000)
    while time_ms < heals_ms:
        for node in dice.sample(honest, min(len(honest), dice.choice([1, 1, 2]))):
            until_ms = min(time_ms + dice.randrange(5_000, 15_000), heals_ms)
            happenings.append(Heats(time_ms, node, until_ms))
        time_ms += dice.randrange(3_000, 9_000)
    return happenings


def draw_strikes(begins_ms: int, heals_ms: int, dice: random.Random) -> list[Happening]:
    """Draw crashes of coordinators and workers at states of tasks in a storm."""
    happenings: list[Happening] = []
    time_ms = begins_ms + dice.randrange(1_000, 3_000)
    while time_ms < heals_ms:
        state, role = dice.choice(STATES), dice.choice(ROLES)
        back_ms = dice.choice([60, 300, 2_000, 6_000])
        happenings.append(Strikes(time_ms, state, role, back_ms, heals_ms))
        time_ms += dice.randrange(700, 3_000)
    return happenings


def draw_marks(nodes: int, begins_ms: int, heals_ms: int, dice: random.Random) -> list[Happening]:
    """Draw makers that stop just as the log has their mark, and states that are lost."""
    happenings: list[Happening] = []
    time_ms = begins_ms + dice.randrange(3_000, 6_000)
    while time_ms < heals_ms:
        if dice.randrange(3):
            role = dice.choice([WORKER, WORKER, WORKER, COORDINATOR])
            back_ms = dice.choice([60, 300, 2_000, 9_000, 20_000])
            happenings.append(Strikes(time_ms, MARKED, role, back_ms, heals_ms))
        else:
            happenings.append(LosesStates(time_ms, dice.randrange(nodes)))
        time_ms += dice.randrange(1_000, 4_000)
    return happenings


def draw_updates(nodes: int, begins_ms: int, heals_ms: int, dice: random.Random) -> list[Happening]:
    """Draw nodes whose program is replaced by a newer one, now and then by the older again."""
    happenings: list[Happening] = []
    time_ms = begins_ms + dice.choice([dice.randrange(1_000, 6_000), dice.randrange(12_000)])
    while time_ms < heals_ms:
        is_newer = dice.randrange(4) > 0
        for node in dice.sample(range(nodes), min(nodes, dice.choice([1, 1, 1, 2, nodes]))):
            at_ms = min(time_ms + dice.randrange(300), heals_ms - 1)
            happenings.append(Updates(at_ms, node, is_newer, dice.choice([60, 300, 2_000])))
        time_ms += dice.randrange(1_500, 6_000)
    return happenings
