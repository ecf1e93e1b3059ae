"""A module that this host could not prepare twice is not tried again for a while."""

import hashlib
from pathlib import Path
from typing import Any

import trio

from ambientd.adapters.blob_files import BlobFiles
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.effect import Assignment, Execute, Purpose
from ambientd.model.execution import AbortCause, Aborted
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.event import ExecutionEnded
from ambientd.ports.probe import EnergyReading, EnergyUsed
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import (
    FAILURES_KEPT_MAX,
    FAILURES_KEPT_MS,
    FAILURES_MAX,
    Executor,
    ExecutorOptions,
    Failures,
)

TOO_LARGE = Aborted(reason="preparing took too much", cause=AbortCause.PREPARATION)
TOO_MUCH_MEMORY = Aborted(reason="this device lends less memory", cause=AbortCause.MEMORY)
BUSY = Aborted(reason="every worker process is busy", cause=AbortCause.BUSY)


class UnablePool:
    """Prepares nothing, and counts how often it was asked."""

    engine = engine_version = "none"

    def __init__(self, answer: Aborted) -> None:
        self.asked = 0
        self.answer = answer

    async def prepare(self, source: bytes, code: bytes, spent: object) -> Aborted:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        return self.answer


class NoMeter:
    def read(self) -> EnergyReading:
        return EnergyReading(None, "unknown")

    def since(self, mark: EnergyReading) -> EnergyUsed:
        return EnergyUsed(None, mark.source)


class Stage:
    """One task that is assigned again and again at times that the test chooses."""

    def __init__(self, folder: Path, answer: Aborted) -> None:
        async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
            return None

        self.pool = UnablePool(answer)
        self.blobs = Blobs(BlobFiles(folder, quota_bytes=1 << 20), nobody, list)
        options = ExecutorOptions(memory_bytes_max=1 << 24, wall_ms_max=5_000, gas_max=10**10)
        pool: Any = self.pool
        self.executor = Executor(pool, self.blobs, NoMeter(), options)

    async def assign(self, attempt: int, now_ms: int, code: bytes = b"a module") -> str:
        return (await self.ended(attempt, now_ms, code)).aborted

    async def ended(
        self,
        attempt: int,
        now_ms: int,
        code: bytes = b"a module",
        purpose: Purpose = Purpose.SLOT,
    ) -> ExecutionEnded:
        await self.blobs.put(code)
        await self.blobs.put(b"")
        spec = TaskSpec(
            module=Digest(hashlib.sha256(code).digest()),
            input=Digest(hashlib.sha256(b"").digest()),
            module_size_bytes=len(code),
            input_size_bytes=0,
            gas_max=1_000_000,
            memory_bytes_max=1 << 22,
            wall_ms_max=1_000,
            output_bytes_max=1_000,
            assurance=Assurance.NONE,
            replicas=1,
            price_msat_per_mgas=1,
        )
        place = Assignment(purpose, TaskId(bytes(32)), 0, attempt)
        ended = await self.executor.execute(Execute(place, spec, ()), lambda: now_ms)
        assert ended.report is None
        return ended


async def test_a_module_that_was_too_much_twice_is_answered_without_another_try(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, TOO_LARGE)
    for attempt in range(6):
        assert await stage.assign(attempt, 1_000) == TOO_LARGE.reason
    assert stage.pool.asked == FAILURES_MAX
    assert await stage.assign(6, 1_000, b"another module") == TOO_LARGE.reason
    assert stage.pool.asked == FAILURES_MAX + 1


async def test_a_module_that_was_too_much_is_tried_again_after_a_while(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TOO_LARGE)
    for attempt in range(3):
        await stage.assign(attempt, 1_000)
    await stage.assign(3, 1_000 + FAILURES_KEPT_MS)
    assert stage.pool.asked == FAILURES_MAX + 1


async def test_a_slot_that_needs_more_memory_than_is_lent_is_declined_and_refereeing_is_not(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, TOO_MUCH_MEMORY)
    assert (await stage.ended(0, 1_000)).declined
    assert not (await stage.ended(1, 1_000, purpose=Purpose.REFEREE)).declined
    assert not (await Stage(tmp_path / "busy", BUSY).ended(0, 1_000)).declined


async def test_a_busy_device_holds_nothing_against_a_module(tmp_path: Path) -> None:
    stage = Stage(tmp_path, BUSY)
    for attempt in range(5):
        assert await stage.assign(attempt, 1_000) == BUSY.reason
    assert stage.pool.asked == 5


def test_failures_of_ever_new_modules_fill_no_memory() -> None:
    failures = Failures()
    for number in range(FAILURES_KEPT_MAX + 1):
        for _ in range(FAILURES_MAX):
            failures.note(number.to_bytes(32, "big"), TOO_LARGE, 0)
    assert failures.find((0).to_bytes(32, "big"), 1) is None
    assert failures.find((1).to_bytes(32, "big"), 1) == TOO_LARGE


def test_a_module_that_could_be_prepared_after_all_starts_afresh() -> None:
    failures = Failures()
    failures.note(b"m", TOO_LARGE, 0)
    failures.forget(b"m")
    failures.note(b"m", TOO_LARGE, 1)
    assert failures.find(b"m", 2) is None
