"""Whatever a process does to its replies, at any byte, harms one task only."""

import os
import signal
import sys
from pathlib import Path

import pytest
import trio

from ambientd.codec import canonical
from ambientd.model.execution import (
    AbortCause,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.worker_protocol import (
    REQUIRED_PROTECTIONS,
    Executed,
    Hello,
    ModuleLoaded,
    Reply,
)
from ambientd.runtime.workers import WorkerPool
from ambientd.wasm.prepare import REWRITER_VERSION
from tests.runtime.pools import SEED, as_ready, has_ended, pool_of

pytestmark = pytest.mark.slow

RESULT = ExecutionResult(kind=OutcomeKind.COMPLETED, reason="", output=b"right", gas=7, log=b"")
MODULE = as_ready(b"not looked at")
# Waiting for bytes that a wrong length announces ends here.
LIMITS = ExecutionLimits(wall_ms_max=1_000)
POOLS = 4

# Plays the replies in turn; the first to start after a plan was written deviates from them once.
PLAYER = """
import os, sys
replies = [bytes.fromhex(each) for each in sys.argv[2].split(",")]
kind, at = "none", 0
try:
    with open(sys.argv[1]) as file:
        kind, at = file.read().split()
    os.unlink(sys.argv[1])
except OSError:
    pass
at, said = int(at), 0
def take(size):
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data
def say(data):
    global said, kind
    where, said = at - said, said + len(data)
    if kind != "none" and 0 <= where < len(data):
        if kind == "cut":
            os.write(1, data[:where])
            os._exit(0)
        if kind == "flip":
            data = data[:where] + bytes([data[where] ^ 1 << at % 8]) + data[where + 1:]
        if kind == "insert":
            data = data[:where] + b"\\xa5" + data[where:]
        if kind == "append":
            data = data + data[:where + 1]
        kind = "none"
    os.write(1, data)
say(replies[0])
while True:
    take(int.from_bytes(take(4), "little"))
    say(replies[1])
    take(int.from_bytes(take(4), "little"))
    say(replies[2])
    while True:
        request = take(int.from_bytes(take(4), "little"))
        say(replies[2])
"""


def frame(message: Reply) -> bytes:
    data = canonical.encode(message)
    return len(data).to_bytes(4, "little") + data


REPLIES = (
    frame(
        Hello(
            protections=tuple(sorted(REQUIRED_PROTECTIONS)),
            engine="wasmtime",
            engine_version="1",
            rewriter_version=REWRITER_VERSION,
        )
    ),
    frame(ModuleLoaded()),
    frame(Executed(result=RESULT)),
)
HELLO_BYTES = len(REPLIES[0])
ALL_BYTES = sum(map(len, REPLIES))


async def run(pool: WorkerPool) -> ExecutionResult | Aborted:
    return await pool.execute(MODULE, b"", LIMITS, SEED)


async def run_with_patience(pool: WorkerPool) -> ExecutionResult | Aborted:
    """Run again where a sound process only waited for a processor longer than it may."""
    outcome = await run(pool)
    for _ in range(4):
        if not isinstance(outcome, Aborted) or outcome.cause is not AbortCause.WALL_TIME:
            break
        outcome = await run(pool)
    return outcome


async def survives(pool: WorkerPool, plan: Path, kind: str, at: int) -> None:
    """Let the next process deviate; its task may be lost, the one after it is not."""
    plan.write_text(f"{kind} {at}", "ascii")
    (pid,) = pool.pids
    os.kill(pid, signal.SIGKILL)
    while not has_ended(pid):
        await trio.sleep(0)
    first = await run(pool)
    for _ in range(4):
        if not plan.exists():
            break
        first = await run(pool)  # the one before had no processor to begin on in time
    assert not plan.exists(), "no process deviated"
    if isinstance(first, ExecutionResult) and kind != "flip":
        # A result that came whole; a flip in it is a lie, which replicas are there to find.
        assert first == RESULT, (kind, at)
    assert await run_with_patience(pool) == RESULT, (kind, at)


@pytest.mark.parametrize("kind", ["cut", "flip", "insert", "append"])
async def test_a_reply_wrong_at_any_byte_harms_one_task_only(kind: str, tmp_path: Path) -> None:
    # The greeting is long: each of its first bytes, then every seventh.
    greeting = [*range(32), *range(32, HELLO_BYTES, 7)]
    places = [*greeting, *range(HELLO_BYTES, ALL_BYTES)]
    # Most of it is waiting for bytes that never come, which several pools do at once.
    async with trio.open_nursery() as nursery:
        for number in range(POOLS):
            plan = tmp_path / f"plan{number}"
            nursery.start_soon(survive_all, plan, kind, places[number::POOLS])


async def survive_all(plan: Path, kind: str, places: list[int]) -> None:
    replies = ",".join(reply.hex() for reply in REPLIES)
    command = (sys.executable, "-I", "-S", "-c", PLAYER, str(plan), replies)
    async with pool_of(command=command, prepare_wall_ms_max=1_000, start_ms_max=1_000) as pool:
        assert await run_with_patience(pool) == RESULT
        for at in places:
            await survives(pool, plan, kind, at)
