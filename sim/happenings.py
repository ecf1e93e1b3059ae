"""What befalls a world and when, as a list that can be stored, shortened and laid out again."""

import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeAlias

from msgspec import Struct

from ambientd.ports.store import StoreTable
from sim.anchor_chain import BLOCK_MS, AnchorChain
from sim.disk import Keeper, Unreliable
from sim.faults import Fault
from sim.network import Weather
from sim.stage import Stage
from sim.strikes import MARKED, ROLES, STATES, Striker, Strikes
from sim.updates import Updates, bring_to_newest, update
from sim.vices import Resident

ROT_SEEN_MS = 300
CALM_RATE_MSAT_VB = 1_000
COOL, HOT = 45_000, 95_000  # thousandths of a degree Celsius


class WeatherTurns(Struct, frozen=True, tag="weather"):
    """From now on the network is like this; chances in permille."""

    at_ms: int
    delay_ms_max: int
    slow: int
    slow_ms_max: int
    loss: int
    duplication: int


class Parts(Struct, frozen=True, tag="partition"):
    """Nodes reach only those of their group."""

    at_ms: int
    groups: tuple[int, ...]
    heals_ms: int


class Deafens(Struct, frozen=True, tag="one-way"):
    """Messages of one node to some others are lost, and the other way they are not."""

    at_ms: int
    pairs: tuple[tuple[int, int], ...]
    heals_ms: int


class Crashes(Struct, frozen=True, tag="crash"):
    """A node stops after some more effects, and starts again later."""

    at_ms: int
    node: int
    effects: int
    back_ms: int


class Pauses(Struct, frozen=True, tag="pause"):
    """A node stands still."""

    at_ms: int
    node: int
    until_ms: int


class Forgets(Struct, frozen=True, tag="amnesia"):
    """A member stops at once, loses its safety file, and starts again later."""

    at_ms: int
    node: int
    back_ms: int


class Fills(Struct, frozen=True, tag="disk-full"):
    """A node's disk takes nothing more until there is room again."""

    at_ms: int
    node: int
    until_ms: int


class Rots(Struct, frozen=True, tag="bit-rot"):
    """A stored row goes bad, and the node stops and starts again; later it gets an empty disk."""

    at_ms: int
    node: int
    table: str
    pick: int
    repaired_ms: int


class Tears(Struct, frozen=True, tag="torn-log"):
    """A node stops amid a write, which is then there whole or not at all, and starts again."""

    at_ms: int
    node: int
    syncs: int
    is_kept: bool


class Reorganises(Struct, frozen=True, tag="reorganisation"):
    """The last Bitcoin blocks give way to others, which may hold what was ever signed before.

    Bitcoin nodes may forget what waits, and from then on Bitcoin blocks ask for this fee.
    """

    at_ms: int
    depth: int
    rate_msat_vb: int
    forgets: bool


class DropsOut(Struct, frozen=True, tag="dropout"):
    """A participant does nothing more in rounds, and loses what it was at, until it is back."""

    at_ms: int
    node: int
    until_ms: int


class Heats(Struct, frozen=True, tag="heat"):
    """A device is too hot for work, until it is cool again."""

    at_ms: int
    node: int
    until_ms: int


class LosesStates(Struct, frozen=True, tag="lost-states"):
    """What a node keeps of others' long executions is gone."""

    at_ms: int
    node: int


NodeHappening: TypeAlias = (
    WeatherTurns
    | Parts
    | Deafens
    | Crashes
    | Pauses
    | Forgets
    | Fills
    | Rots
    | Tears
    | DropsOut
    | Heats
    | LosesStates
    | Strikes
    | Updates
)
Happening: TypeAlias = NodeHappening | Reorganises
ROTTING = ("ledger", "committed", "block", "safety", "local")


def draw(
    nodes: int, crashing: Sequence[int], faults: frozenset[Fault], dice: random.Random, heal_at: int
) -> list[Happening]:
    """Draw bad weather, partitions and crashes up to `heal_at`."""
    happenings: list[Happening] = []
    time_ms = dice.randrange(1_000, 4_000)
    while time_ms < heal_at:
        happenings.append(_weather(time_ms, faults, dice))
        if Fault.PARTITION in faults and dice.randrange(3) == 0:
            of = dice.choice
            groups = tuple(dice.randrange(of([2, 2, 3])) for _ in range(nodes))
            happenings.append(Parts(time_ms, groups, time_ms + dice.randrange(500, 6_000)))
        if Fault.CRASH in faults:
            for node in crashing:
                if dice.randrange(4) == 0:
                    at_ms = min(time_ms + dice.randrange(3_000), heal_at - 1)
                    effects, back_ms = (
                        dice.choice([0, 1, 2, 3, 5, 9]),
                        dice.choice([60, 300, 2_000]),
                    )
                    happenings.append(Crashes(at_ms, node, effects, back_ms))
        time_ms += dice.randrange(1_500, 5_000)
    return happenings


def _weather(time_ms: int, faults: frozenset[Fault], dice: random.Random) -> WeatherTurns:
    delay_ms_max, slow, slow_ms_max, loss, duplication = 12, 0, 0, 0, 0
    if Fault.DELAY in faults:
        delay_ms_max = dice.choice([5, 20, 60, 200])
        slow, slow_ms_max = dice.choice([(0, 0), (50, 1000), (10, 5000)])
    if Fault.LOSS in faults:
        loss = dice.choice([0, 0, 20, 150, 400])
    if Fault.DUPLICATION in faults:
        duplication = dice.choice([0, 30, 200])
    return WeatherTurns(time_ms, delay_ms_max, slow, slow_ms_max, loss, duplication)


def draw_more(
    nodes: int,
    honest: Sequence[int],
    forgetful: Sequence[int],
    faults: frozenset[Fault],
    dice: random.Random,
    heal_at: int,
) -> list[Happening]:
    """Draw deaf nodes, pauses and lost safety files up to `heal_at`."""
    happenings: list[Happening] = []
    time_ms = dice.randrange(1_000, 6_000)
    while time_ms < heal_at:
        if Fault.ONE_WAY in faults and dice.randrange(3) == 0 and nodes > 1:
            node = dice.randrange(nodes)
            others = [other for other in range(nodes) if other != node and dice.randrange(3)]
            pairs = [(node, other) for other in others]
            pairs = pairs if dice.randrange(2) else [(b, a) for a, b in pairs]
            happenings.append(Deafens(time_ms, tuple(pairs), time_ms + dice.randrange(500, 6_000)))
        if Fault.PAUSE in faults and dice.randrange(3) == 0:
            until_ms = min(time_ms + dice.randrange(200, 5_000), heal_at)
            happenings.append(Pauses(time_ms, dice.choice(honest), until_ms))
        time_ms += dice.randrange(2_000, 6_000)
    if Fault.AMNESIA in faults:
        happenings += [
            Forgets(dice.randrange(1_000, max(1_001, heal_at)), node, dice.choice([60, 300, 2_000]))
            for node in forgetful
        ]
    return happenings


def draw_disks(
    honest: Sequence[int],
    unneeded: Sequence[int],
    faults: frozenset[Fault],
    dice: random.Random,
    heal_at: int,
) -> tuple[Happening, ...]:
    """Draw disks that fill up, cut writes short, or lose rows, up to `heal_at`.

    What a node has signed is only ever lost by those whose votes the others do not need.
    """
    happenings: list[Happening] = []
    for node in honest:
        time_ms = dice.randrange(1_000, max(1_001, heal_at))
        if Fault.DISK_FULL in faults and dice.randrange(3) == 0:
            happenings.append(Fills(time_ms, node, time_ms + dice.randrange(500, 5_000)))
        if Fault.TORN_LOG in faults:
            for _ in range(dice.randrange(4)):
                at_ms = dice.randrange(1_000, max(1_001, heal_at))
                happenings.append(Tears(at_ms, node, dice.randrange(6), bool(dice.randrange(2))))
    for node in unneeded:
        time_ms = dice.randrange(1_000, max(1_001, heal_at))
        if Fault.BIT_ROT in faults and dice.randrange(2):
            table, pick = dice.choice(ROTTING), dice.randrange(10_000)
            repaired_ms = time_ms + dice.randrange(1_500, 6_000)
            happenings.append(Rots(time_ms, node, table, pick, repaired_ms))
        elif Fault.AMNESIA in faults:
            happenings.append(Forgets(time_ms, node, dice.choice([60, 300, 2_000])))
    return tuple(happenings)


def misfit(
    happening: Happening,
    nodes: int,
    faults: frozenset[Fault],
    *,
    has_disks: bool,
    has_tasks: bool,
) -> str | None:
    """Say why a happening cannot befall a world of so many nodes; None when it can."""
    befallen: Iterable[int] = ()
    match happening:
        case WeatherTurns():
            pass
        case Reorganises():
            if Fault.REORGANISATION not in faults:
                return "nobody anchors in this world; add reorganisation to its faults"
        case Parts(groups=groups):
            if len(groups) != nodes:
                return f"it has {len(groups)} groups; give one for each of the {nodes} nodes"
        case Deafens(pairs=pairs):
            befallen = (node for pair in pairs for node in pair)
        case DropsOut() if Fault.DROPOUTS not in faults:
            return "there are no studies to drop out of; add dropouts to this world's faults"
        case Fills() | Rots() | Tears() if not has_disks:
            return "nobody here has a disk; take a scenario with nodes"
        case Heats() | Strikes() if not has_tasks:
            return "only whole nodes have tasks; take a scenario with nodes"
        case Heats() if Fault.HEAT not in faults:
            return "no device has a sensor; add heat to this world's faults"
        case LosesStates() | Strikes(state="marked") if Fault.MARKS not in faults:
            return "no states are marked in this world; add marks to its faults"
        case Updates() if Fault.VERSIONS not in faults:
            return "nobody is updated in this world; add versions to its faults"
        case Strikes(state=state, role=role):
            if state not in (*STATES, MARKED) or role not in ROLES:
                return f"there are the states {', '.join(STATES)}, of {' and '.join(ROLES)}"
        case Rots(table=table) if table not in set(StoreTable):
            return f"there is no table {table!r}; there are {', '.join(StoreTable)}"
        case _:
            befallen = (happening.node,)
    wrong = [node for node in befallen if not 0 <= node < nodes]
    return f"there is no node {wrong[0]}; they are 0 to {nodes - 1}" if wrong else None


def lay(
    world: Stage,
    keys: Sequence[bytes],
    happenings: Sequence[Happening],
    *heals_ms: int,
    chain: AnchorChain | None = None,
) -> None:
    """Put what happens into a world, and the healing of it all at these times."""
    for happening in happenings:
        if isinstance(happening, Reorganises):
            assert chain is not None, "a world without Bitcoin is refused before"
            world.at(happening.at_ms, partial(_reorganise, world, chain, happening))
            continue
        world.at(happening.at_ms, _action(world, keys, happening))
        if isinstance(happening, Parts):
            world.at(happening.heals_ms, world.network.heal)
        elif isinstance(happening, Deafens):
            world.at(happening.heals_ms, world.network.hear)
        elif isinstance(happening, Fills):
            world.at(happening.until_ms, partial(_calm, world, keys[happening.node]))
        elif isinstance(happening, DropsOut):
            world.at(happening.until_ms, partial(_take_part, world, keys[happening.node]))
        elif isinstance(happening, Heats):
            world.at(happening.until_ms, partial(_warm, world, keys[happening.node], COOL))
        elif isinstance(happening, Rots):
            world.at(happening.repaired_ms, partial(_repair, world, keys[happening.node]))
    if chain is not None:
        _keep_mining(world, chain)
    for heal_at in heals_ms:
        world.at(heal_at, partial(_heal, world, keys))
        if chain is not None:
            world.at(heal_at, partial(setattr, chain, "rate_msat_vb", CALM_RATE_MSAT_VB))


def _keep_mining(world: Stage, chain: AnchorChain) -> None:
    """Let Bitcoin blocks come as long as the world lasts."""

    def mine() -> None:
        chain.mine()
        world.at(world.now + chain.rng.randrange(BLOCK_MS // 2, BLOCK_MS * 3 // 2), mine)

    world.at(BLOCK_MS, mine)


def _reorganise(world: Stage, chain: AnchorChain, happening: Reorganises) -> None:
    depth = min(happening.depth, chain.height)
    world.note("reorganises", depth)
    chain.rate_msat_vb = happening.rate_msat_vb
    chain.reorganise(depth)
    if happening.forgets:
        chain.forget()


def _action(world: Stage, keys: Sequence[bytes], happening: NodeHappening) -> Callable[[], None]:
    match happening:
        case WeatherTurns():
            weather = Weather(
                delay_ms_max=happening.delay_ms_max,
                slow=happening.slow,
                slow_ms_max=happening.slow_ms_max,
                loss=happening.loss,
                duplication=happening.duplication,
            )
            return partial(setattr, world.network, "weather", weather)
        case Parts(groups=groups):
            return partial(world.network.partition, dict(zip(keys, groups, strict=True)))
        case Deafens(pairs=pairs):
            return partial(world.network.deafen, frozenset((keys[a], keys[b]) for a, b in pairs))
        case Crashes(node=node, effects=effects, back_ms=back_ms):
            return partial(world.crash_within, keys[node], effects, back_ms)
        case Pauses(node=node, until_ms=until_ms):
            return partial(world.pause, keys[node], until_ms)
        case Forgets(node=node, back_ms=back_ms):
            return partial(_forget, world, keys[node], back_ms)
        case Fills(node=node):
            return partial(_fill, world, keys[node])
        case Rots(node=node, table=table, pick=pick):
            return partial(_rot, world, keys[node], StoreTable(table), pick)
        case Tears(node=node, syncs=syncs, is_kept=is_kept):
            return partial(_tear, world, keys[node], syncs, is_kept)
        case DropsOut(node=node):
            return partial(_drop_out, world, keys[node])
        case Heats(node=node):
            return partial(_warm, world, keys[node], HOT)
        case LosesStates(node=node):
            return partial(_lose_states, world, keys[node])
        case Updates(node=node, is_newer=is_newer, back_ms=back_ms):
            return partial(update, world, keys[node], back_ms, is_newer=is_newer)
        case Strikes():
            return Striker(world, happening).watch


def _forget(world: Stage, key: bytes, back_ms: int) -> None:
    """Do what a careful host does without its safety file: follow, and never vote again."""
    world.crash(key)
    world.note("forget", key)
    _keeper(world, key).lose_safety()
    world.restart_at(world.now + back_ms, key)


def _resident(world: Stage, key: bytes) -> Resident:
    host = world.host_of(key)
    assert isinstance(host, Resident), "only whole nodes have sensors, or take part in rounds"
    return host


def _keeper(world: Stage, key: bytes) -> Keeper:
    host = world.host_of(key)
    assert isinstance(host, Keeper), "light nodes keep nothing"
    return host


def _disk(world: Stage, key: bytes) -> Unreliable:
    return _keeper(world, key).disk


def _fill(world: Stage, key: bytes) -> None:
    world.note("disk full", key)
    _disk(world, key).is_full = True


def _calm(world: Stage, key: bytes) -> None:
    _disk(world, key).calm()


def _tear(world: Stage, key: bytes, syncs: int, is_kept: bool) -> None:
    world.note("tears", key, syncs, is_kept)
    _disk(world, key).tear_within(syncs, is_kept=is_kept)


def _drop_out(world: Stage, key: bytes) -> None:
    world.note("drops out", key)
    _resident(world, key).drop_out()


def _take_part(world: Stage, key: bytes) -> None:
    _resident(world, key).has_dropped_out = False


def _warm(world: Stage, key: bytes, milli_celsius: int) -> None:
    world.note("is at", key, milli_celsius)
    _resident(world, key).milli_celsius = milli_celsius


def _lose_states(world: Stage, key: bytes) -> None:
    world.note("loses states", key)
    _resident(world, key).handed.clear()


def _rot(world: Stage, key: bytes, table: StoreTable, pick: int) -> None:
    """Let a row go bad unseen, until the node reads it: at its next start, if not before."""
    if _disk(world, key).rot(table, pick):
        world.note("rots", key, table)
        world.crash(key)
        world.restart_at(world.now + ROT_SEEN_MS, key)


def _repair(world: Stage, key: bytes) -> None:
    """Do what the message asks the operator for."""
    if _disk(world, key).is_rotten:
        world.lose_disk(key)
        world.start(key)


def _heal(world: Stage, keys: Sequence[bytes]) -> None:
    world.network.heal()
    world.network.hear()
    world.network.weather = Weather()
    for key in keys:
        world.spare(key)
        _disk(world, key).calm()
        if isinstance(host := world.host_of(key), Resident):
            host.has_dropped_out = False
            if host.milli_celsius is not None:
                host.milli_celsius = COOL
        _repair(world, key)
        bring_to_newest(world, key)
        world.start(key)
