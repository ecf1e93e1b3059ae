"""Worlds of daemons keep the same promises, by the same checkers, in the same scenarios."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from ambientd.adapters.sqlite_store import SqliteStore
from ambientd.ports.store import Store
from sim.__main__ import main
from sim.cluster import ClusterOptions, run
from sim.faults import NODE, Fault
from sim.plans import Plan, judge, play
from sim.trio_world.host import TrioHost
from sim.trio_world.seeded import run_seeded
from sim.trio_world.world import TrioKit

SHORT_MS = 30_000


@pytest.mark.slow
def test_a_seed_means_the_same_world_of_daemons_under_any_hash_seed() -> None:
    answers = []
    for hash_seed in ("0", "1"):
        words = ["run", "node", "--world", "trio", "--seed", "7", "--time-ms", "30000"]
        done = subprocess.run(
            [sys.executable, "-m", "sim", *words],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        answers.append(done.stdout)
    assert "trace " in answers[0]
    assert answers[0] == answers[1]


def test_in_fair_weather_every_task_of_the_daemons_is_agreed_on() -> None:
    options = ClusterOptions(1, joiners=1, faults=frozenset(), time_ms=22_000)
    outcome = run(options, (), TrioKit(1))
    assert outcome.tasks == len(range(1_000, 7_000, 700))
    assert set(outcome.endings) <= {"agreed", "none", "cancelled"}
    assert outcome.closed == outcome.receipts > 0
    assert outcome.convicted == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(31, 34))
def test_the_promises_hold_among_daemons_with_all_faults_at_once(seed: int) -> None:
    outcome = run(ClusterOptions(seed, (4, 7, 3)[seed % 3], time_ms=SHORT_MS), (), TrioKit(seed))
    assert outcome.tasks > 15


@pytest.mark.hunt
@pytest.mark.parametrize("fault", [f for f in Fault if NODE in f.worlds], ids=lambda f: f.label)
def test_the_promises_hold_among_daemons_with_each_fault_alone(fault: Fault) -> None:
    run(ClusterOptions(6, 4, faults=frozenset({fault}), time_ms=SHORT_MS), (), TrioKit(6))


def test_a_broken_promise_among_daemons_is_found_by_its_own_name() -> None:
    plan = Plan("node-calm", 1, 4, 20_000, mutant="pays-twice", world="trio")
    found = judge(plan)
    assert "at most one payout" in str(found)
    assert "--world trio" in plan.command


@pytest.mark.slow
@pytest.mark.real_keys
def test_daemons_keep_their_promises_on_the_real_store(tmp_path: Path) -> None:
    class OnDisk(TrioKit):
        def host(self, *arguments: object) -> TrioHost:
            host = super().host(*arguments)  # type: ignore[arg-type]
            assert isinstance(host, TrioHost)
            file = tmp_path / f"{host.key.hex()[:8]}.db"

            def open_store() -> Store:
                return SqliteStore(file)

            host.open_store = open_store
            return host

    options = ClusterOptions(3, faults=frozenset({Fault.CRASH}), time_ms=20_000)
    assert run(options, (), OnDisk(3)).tasks > 5
    assert len(list(tmp_path.glob("*.db"))) == 6


def test_the_command_line_takes_the_world(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "node-calm", "--world", "trio", "--nodes", "1", "--time-ms", "30000"]
    assert main(words) == 0
    assert "tasks: " in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["run", "log", "--world", "trio"])
    assert "log is a world of the log" in capsys.readouterr().err


def test_the_order_of_coroutines_comes_from_the_seed() -> None:
    def order(seed: int) -> list[int]:
        seen: list[int] = []

        async def note(number: int) -> None:
            await trio.lowlevel.checkpoint()
            seen.append(number)

        async def start() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(note, number)

        run_seeded(start, seed)
        return seen

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(5)}) == 5


def test_both_worlds_play_one_scenario() -> None:
    fast, trio_world = (
        play(Plan("node-calm", 3, 3, 20_000, world=world)) for world in ("fast", "trio")
    )
    assert fast.tasks == trio_world.tasks  # type: ignore[union-attr]
    assert fast.trace_hash != trio_world.trace_hash
