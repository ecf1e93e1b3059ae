"""A committee whose members run two versions of the program, in the world of the simulator.

The earlier one is no model of it: its own cores and its own host, out of the repository's history,
in one world with ours. They share bytes alone: frames, and the rows of a store.
"""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ambientd.codec.canonical import encode
from ambientd.model.task import TaskState
from ambientd.ports.store import Delete
from sim.cluster import RULES, genesis_of
from sim.joining import seed_of
from sim.network import Weather
from sim.world import World
from tests.before import import_before
from tests.fakes.memory_store import MemoryStore

# Cheap signatures are those of one version alone.
pytestmark = [pytest.mark.slow, pytest.mark.real_keys]

MEMBERS = 4
STORM = Weather(delay_ms_max=60, slow=100, slow_ms_max=1_500, loss=40, duplication=40)
UPGRADE_MS = 3_000
"""How long a member is away while its program is replaced."""


class Version:
    """One version of the program, by the prefix of its packages."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def __call__(self, name: str) -> Any:
        """Give a module of it."""
        return import_module(self._prefix + name)


NOW = Version("")


@pytest.fixture
def before(tmp_path: Path) -> Iterator[Version]:
    with imported(tmp_path, "before_") as version:
        yield version


@contextmanager
def imported(folder: Path, prefix: str, *change: str) -> Iterator[Version]:
    """Have the earlier version importable for a while, with or without a change."""
    path = list(sys.path)
    import_before(folder, prefix, *change)
    try:
        yield Version(prefix)
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.startswith(prefix)]:
            del sys.modules[name]


class SharedStore(MemoryStore):
    """Rows that both versions write: an update of a program leaves the disk as it is."""

    def write(self, batch: Any) -> None:
        ours = NOW("ambientd.ports.store")
        super().write(
            [
                ours.Put(ours.StoreTable(each.table), each.key, each.value)
                if hasattr(each, "value")
                else Delete(ours.StoreTable(each.table), each.key)
                for each in batch
            ]
        )


class Mixed:
    """A committee in which each member runs the version it was given last."""

    def __init__(self, seed: int, versions: list[Version]) -> None:
        self.world = World(seed)
        self.genesis = encode(genesis_of(len(versions), RULES))
        self.keys: list[bytes] = []
        self.versions = list(versions)
        self._stores = [SharedStore() for _ in versions]
        self._seed = seed
        self.tasks: list[bytes] = []
        for number in range(len(versions)):
            host = self._host(number)
            self.keys.append(host.key)
            self.world.add(host)

    def _host(self, number: int) -> Any:
        version = self.versions[number]
        genesis = version("ambientd.model.genesis").Genesis
        options = version("ambientd.node.build").NodeOptions(
            version("ambientd.codec.canonical").decode(self.genesis, genesis),
            seed_of("member", number),
            telemetry=version("ambientd.telemetry.core").TelemetryOptions(capacity=4),
        )
        dice = self._seed * 1_000 + number
        host = version("sim.node_machine").NodeHost(options, self._stores[number], dice)
        host.aborts_permille = 0
        return host

    def host(self, number: int) -> Any:
        return self.world.places[self.keys[number]].host

    def start(self) -> None:
        for key in self.keys:
            self.world.start(key)

    def upgrade(self, number: int, version: Version) -> None:
        """Take a member down and bring another version up on its disk, with what it wanted."""
        key = self.keys[number]
        self.world.crash(key)
        self.versions[number] = version
        self.world.places[key].host = self._host(number)
        self.world.restart_at(self.world.now + UPGRADE_MS, key)

    def submit(self, number: int) -> None:
        """Let a member's owner want a task, in the words of the member's own version."""
        if not self.world.places[self.keys[number]].is_up:
            return
        version, host = self.versions[number], self.host(number)
        record, task = version("ambientd.model.record"), version("ambientd.model.task")
        serial = len(self.tasks)
        spec = version("sim.choices").task_spec(serial, task.Assurance.REPLICATED, 2)
        until_ms = version("sim.world").EPOCH_MS + self.world.now + RULES.keep_ms // 2
        body = record.Admit(nonce=b"%d" % serial, spec=spec, until_ms=until_ms)
        base = version("ambientd.model.base")
        statements = version("ambientd.codec.statements")
        self.tasks.append(statements.task_id(base.NodeId(host.key), body.nonce, spec))
        self.world.act(host.key, lambda now: host.want(body, now))

    def run(self, time_ms: int) -> None:
        self.world.run(self.world.now + time_ms)

    def check(self) -> None:
        """All members have the same state; every task has come to a good end."""
        heads = {host.ledger.applied_index: host.ledger.root for host in self._hosts()}
        roots = {(host.ledger.applied_index, host.ledger.root) for host in self._hosts()}
        assert len(roots) == len(heads), "two states of one height"
        assert max(heads) - min(heads) < 10
        assert min(heads) > 20
        for task in self.tasks:
            states = {int(host.ledger.task(task).state) for host in self._hosts()}
            assert states == {TaskState.FINAL}

    def _hosts(self) -> list[Any]:
        return [self.host(number) for number in range(len(self.keys))]


def keep_submitting(mixed: Mixed, dice: random.Random, until_ms: int) -> None:
    for time_ms in range(mixed.world.now + 1_000, until_ms, 1_500):
        mixed.world.at(time_ms, partial(mixed.submit, dice.randrange(MEMBERS)))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_committee_half_of_which_runs_the_version_before_goes_on_as_one(
    before: Version, seed: int
) -> None:
    mixed, dice = Mixed(seed, [before, NOW, before, NOW]), random.Random(seed)
    mixed.start()
    mixed.world.network.weather = STORM
    keep_submitting(mixed, dice, 20_000)
    mixed.run(24_000)
    mixed.world.network.weather = Weather()
    mixed.run(25_000)
    mixed.check()
    assert len(mixed.tasks) >= 10


@pytest.mark.parametrize("seed", [1, 2])
def test_members_are_updated_one_after_another_and_no_task_is_lost(
    before: Version, seed: int
) -> None:
    mixed, dice = Mixed(seed, [before] * MEMBERS), random.Random(seed)
    mixed.start()
    order = dice.sample(range(MEMBERS), MEMBERS)
    for place, number in enumerate(order):
        time_ms = 8_000 + place * 12_000 + dice.randrange(4_000)
        mixed.world.at(time_ms, partial(mixed.upgrade, number, NOW))
    keep_submitting(mixed, dice, 52_000)
    mixed.run(80_000)
    mixed.check()
    assert mixed.versions == [NOW] * MEMBERS
    assert len(mixed.tasks) >= 25


def test_halves_that_agree_on_different_states_stand_still_and_never_fork(tmp_path: Path) -> None:
    with imported(tmp_path, "other_", "ambient/state-page/1", "ambient/state-page/0") as other:
        mixed = Mixed(1, [other, NOW, other, NOW])
        mixed.start()
        mixed.submit(0)
        mixed.run(20_000)
        assert [mixed.host(number).ledger.applied_index for number in range(MEMBERS)] == [1] * 4
        told = {fault.reason for number in range(MEMBERS) for fault in mixed.host(number).faults}
        assert told == {"the state root at index 1 differs from this node's"}
        with pytest.raises(AssertionError):
            mixed.check()
