"""Processes are held to a share of the processor by being stopped, and nothing stays stopped."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ambientd.model.execution import AbortCause, Aborted, ExecutionLimits
from ambientd.runtime.cpu_share import CpuShare, cpu_ns
from tests.runtime.pools import ENDLESS, LIMITS, SEED, echo_works, pool_of, ready

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

BUSY = """import threading
for _ in range(2): threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
"""


@pytest.fixture
def busy() -> Iterator[list[int]]:
    """Two processes of two threads that want all the processor there is."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
    yield [process.pid for process in processes]
    for process in processes:
        process.kill()
        process.wait()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0]


def used_s(pids: list[int]) -> float:
    return sum(cpu_ns(pid) or 0 for pid in pids) / 1e9


@pytest.mark.slow
async def test_busy_processes_get_their_share_and_go_on_when_it_is_lifted(busy: list[int]) -> None:
    share = CpuShare(lambda: busy, cores=1)
    share.set_percent(10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(share.run)
        await trio.sleep(0.5)
        before_s, began_s = used_s(busy), trio.current_time()
        states: list[str] = []

        def are_held() -> bool:
            passed_s = trio.current_time() - began_s
            is_share = used_s(busy) - before_s < 0.1 * passed_s + 0.4
            return is_share and states.count("T") > len(states) // 2

        # A tick of all cores may be over by the time it is seen; the purse makes up for it, the
        # later the more this process itself waits for a processor.
        with trio.fail_after(60):
            while len(states) < 20 or not are_held():
                await trio.sleep(0.1)
                states.append(state(busy[0]))
        share.set_percent(100)
        assert {state(pid) for pid in busy} <= {"R", "S"}
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_what_ends_while_it_is_watched_is_no_trouble_and_nothing_stays_stopped(
    busy: list[int],
) -> None:
    pids = list(busy)
    share = CpuShare(lambda: pids, cores=1)
    share.set_percent(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(share.run)
        with trio.fail_after(60):
            while state(busy[0]) != "T":
                await trio.sleep(0.05)
        pids.append(2**22 + 1)  # no process has this number
        await trio.sleep(0.2)
        nursery.cancel_scope.cancel()
    assert "T" not in {state(pid) for pid in busy}


@pytest.mark.slow
async def test_a_pool_heeds_its_owner_at_once() -> None:
    async with pool_of() as pool, trio.open_nursery() as nursery:
        await echo_works(pool)
        (pid,) = pool.pids
        pool.hold_to(5, 0)
        limits = ExecutionLimits(gas_max=ENDLESS.gas_max, wall_ms_max=60_000)
        nursery.start_soon(pool.execute, ready("loop"), b"", limits, SEED)
        with trio.fail_after(60):
            while state(pid) != "T":
                await trio.sleep(0.02)
        pool.hold_to(100, 0)
        assert state(pid) != "T"
        nursery.cancel_scope.cancel()


async def test_a_smaller_memory_budget_holds_for_what_comes_next() -> None:
    async with pool_of(memory_budget_bytes=1 << 30) as pool:
        pool.hold_to(100, 1 << 20)
        assert pool.memory_bytes == 1 << 20
        refused = await pool.execute(ready("echo"), b"", LIMITS, SEED)
        assert isinstance(refused, Aborted)
        assert refused.cause is AbortCause.MEMORY
        pool.hold_to(100, 0)
        await echo_works(pool)
