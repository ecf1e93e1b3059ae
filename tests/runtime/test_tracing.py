"""Parties trace a disputed execution in parts, referees execute one stretch, on real processes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wasmtime
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.codec.digest import sha256
from ambientd.codec.statements import end_point
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import AT_BEGINNING, BEGINNING, KnownState, TracePoint
from ambientd.model.effect import Assignment, Execute, Purpose, SegmentWanted, TraceWanted
from ambientd.model.execution import AbortCause
from ambientd.model.task import Assurance, TaskSpec
from ambientd.node.event import ExecutionEnded, SegmentMade, TraceMade
from ambientd.ports.probe import EnergyReading, EnergyUsed
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import Executor, ExecutorOptions
from ambientd.runtime.lies import TRUTH, ExecutorLies
from ambientd.wasm.state import decode_state
from tests.modules.compiled import module
from tests.runtime.pools import pool_of

TASK = TaskId(b"t" * 32)
LENGTH = 20_000

SUM = module("sum")

UNPAUSABLE = bytes(
    wasmtime.wat2wasm(
        """(module (memory (export "memory") 1) (table 2 funcref)
  (func (export "alloc") (param i32) (result i32) (i32.const 0))
  (func (export "run") (param i32 i32) (result i64)
    (table.set (i32.const 0) (ref.null func)) (i64.const 0)))"""
    )
)


class Meter:
    def read(self) -> EnergyReading:
        return EnergyReading(None, "unknown")

    def since(self, mark: EnergyReading) -> EnergyUsed:
        return EnergyUsed(None, mark.source)


@dataclass
class Device:
    executor: Executor
    blobs: Blobs


def spec_of(code: bytes, data: bytes) -> TaskSpec:
    return TaskSpec(
        module=Digest(sha256(code)),
        input=Digest(sha256(data)),
        module_size_bytes=len(code),
        input_size_bytes=len(data),
        gas_max=10_000_000,
        memory_bytes_max=1 << 20,
        wall_ms_max=20_000,
        output_bytes_max=64,
        assurance=Assurance.REPLICATED,
        replicas=2,
        price_msat_per_mgas=1,
    )


DATA = LENGTH.to_bytes(4, "little")
SPEC = spec_of(SUM, DATA)


@asynccontextmanager
async def device(
    folder: Path, others: list[Blobs], lies: ExecutorLies = TRUTH, **options: Any
) -> AsyncIterator[Device]:
    """A device with a pool of real processes, which fetches from the others' blobs."""

    async def request(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        return await others[peer[0]].sealed.give(digest)

    peers = [NodeId(bytes([number])) for number in range(len(others))]
    blobs = Blobs(BlobFiles(folder), request, lambda: peers)
    async with pool_of(**options) as pool:
        most = ExecutorOptions(1 << 24, 60_000, 10**10, lies=lies)
        executor = Executor(pool, blobs, Meter(), most, pool.pausing)
        yield Device(executor, blobs)


@asynccontextmanager
async def holder(folder: Path, lies: ExecutorLies = TRUTH) -> AsyncIterator[Device]:
    """A device that holds the modules and inputs."""
    async with device(folder, [], lies) as place:
        for data in (SUM, UNPAUSABLE, module("loop"), DATA):
            await place.blobs.put(data)
        yield place


def wanted(
    targets: tuple[int, ...],
    low: TracePoint = BEGINNING,
    base: KnownState = AT_BEGINNING,
    spec: TaskSpec = SPEC,
) -> TraceWanted:
    place = Assignment(Purpose.TRACE, TASK, 0, 0)
    return TraceWanted(place, spec, (), base, low, targets)


async def trace(place: Device, effect: TraceWanted) -> TraceMade:
    made = await place.executor.trace(effect)
    assert isinstance(made, TraceMade), made
    return made


async def segment(place: Device, start: KnownState, until_gas: int) -> SegmentMade | ExecutionEnded:
    effect = SegmentWanted(Assignment(Purpose.SEGMENT, TASK, 0, 0), SPEC, (), start, until_gas)
    made = await place.executor.trace(effect)
    assert isinstance(made, SegmentMade | ExecutionEnded)
    return made


async def end_of(place: Device) -> TracePoint:
    effect = Execute(Assignment(Purpose.SLOT, TASK, 0, 0), SPEC, ())
    ended = await place.executor.execute(effect, lambda: 0)
    assert ended.report is not None, ended
    return end_point(ended.report.result)


async def test_a_trace_goes_on_from_the_state_that_the_round_before_kept(tmp_path: Path) -> None:
    async with holder(tmp_path) as place:
        whole = await trace(place, wanted((60_000, 120_000, 180_000, 9_000_000)))
        assert whole.start == AT_BEGINNING
        assert whole.points[3] == await end_of(place)
        narrow = await trace(place, wanted((130_000, 140_000), whole.points[1]))
        assert narrow.start.point == whole.points[1]
        kept = await place.blobs.get(narrow.start.state)
        assert kept is not None
        assert decode_state(kept).root() == whole.points[1].root
        assert len(kept) == narrow.start.state_size_bytes
        final = await trace(place, wanted((131_000, 180_000), narrow.points[0], narrow.start))
        assert final.points[1] == whole.points[2]
        short = await trace(place, wanted((), narrow.points[0], narrow.start))
        assert (short.points, short.start) == ((), final.start)
        again = await trace(place, wanted((140_000,), narrow.points[0], final.start))
        assert again.points == narrow.points[1:]


async def test_a_referee_comes_from_the_state_of_a_party_to_the_same_end(tmp_path: Path) -> None:
    async with holder(tmp_path / "party") as party:
        points = (await trace(party, wanted((60_000, 120_000)))).points
        start = (await trace(party, wanted((70_000,), points[0]))).start
        async with device(tmp_path / "referee", [party.blobs]) as referee:
            assert await segment(referee, start, 120_000) == SegmentMade(
                Assignment(Purpose.SEGMENT, TASK, 0, 0), points[1]
            )
            ended = await segment(referee, start, SPEC.gas_max + 1)
            assert isinstance(ended, SegmentMade)
            assert ended.end == await end_of(party)
            first = await segment(referee, AT_BEGINNING, 60_000)
            assert isinstance(first, SegmentMade)
            assert first.end == points[0]


async def test_a_state_that_has_not_its_root_or_gas_index_is_never_executed(tmp_path: Path) -> None:
    async with holder(tmp_path) as place:
        points = (await trace(place, wanted((60_000, 120_000)))).points
        start = (await trace(place, wanted((70_000,), points[0]))).start
        early = replace(start.point, gas_index=start.point.gas_index + 50_000)
        for false, reason in (
            (replace_point(start, replace(points[0], root=bytes(32))), "not that of its root"),
            (replace_point(start, early), "not that of its gas index"),
            (
                KnownState(point=points[0], state=Digest(sha256(SUM)), state_size_bytes=len(SUM)),
                "not that of its gas index",
            ),
        ):
            ended = await segment(place, false, 120_000)
            assert isinstance(ended, ExecutionEnded)
            assert reason in ended.aborted
            assert not ended.host_failed
        missing = KnownState(point=points[0], state=Digest(bytes(32)), state_size_bytes=9)
        ended = await segment(place, missing, 120_000)
        assert isinstance(ended, ExecutionEnded)
        assert ended.cause is AbortCause.NOT_FETCHED


def replace_point(known: KnownState, point: TracePoint) -> KnownState:
    return replace(known, point=point)


async def test_a_party_that_cannot_come_to_its_own_point_again_says_so(tmp_path: Path) -> None:
    async with holder(tmp_path) as place:
        strange = TracePoint(gas_index=60_000, root=bytes(32))
        ended = await place.executor.trace(wanted((70_000,), strange))
        assert isinstance(ended, ExecutionEnded)
        assert "is not what it was" in ended.aborted


async def test_a_module_that_cannot_be_paused_is_told_of(tmp_path: Path) -> None:
    async with holder(tmp_path) as place:
        effect = wanted((10,), spec=spec_of(UNPAUSABLE, DATA))
        ended = await place.executor.trace(effect)
        assert isinstance(ended, ExecutionEnded)
        assert ended.cause is AbortCause.NOT_PAUSABLE
        assert not ended.host_failed


async def test_an_execution_in_parts_ends_at_its_wall_limit_and_the_next_one_works(
    tmp_path: Path,
) -> None:
    async with holder(tmp_path) as place:
        endless = spec_of(module("loop"), DATA)
        endless = replace(endless, gas_max=1 << 60, wall_ms_max=50)
        ended = await place.executor.trace(wanted((1 << 59,), spec=endless))
        assert isinstance(ended, ExecutionEnded)
        assert ended.cause is AbortCause.WALL_TIME
        assert (await trace(place, wanted((60_000,)))).points


async def test_one_wrong_step_is_in_the_answer_and_in_every_trace_behind_it(
    tmp_path: Path,
) -> None:
    lies = ExecutorLies(wrong_step_gas=100_000)
    async with holder(tmp_path / "a") as honest, holder(tmp_path / "b", lies) as liar:
        truth, lie = await end_of(honest), await end_of(liar)
        assert truth.gas_index == lie.gas_index
        assert truth.root != lie.root
        effect = wanted((50_000, 99_000, 150_000, 9_000_000))
        right, wrong = await trace(honest, effect), await trace(liar, effect)
        assert right.points[:2] == wrong.points[:2]
        assert [a == b for a, b in zip(right.points, wrong.points, strict=True)][2:] == [False] * 2
        assert wrong.points[3] == lie
        low = right.points[1]
        narrow = wanted((99_900, 100_000, 100_001, 100_100), low)
        right, wrong = await trace(honest, narrow), await trace(liar, narrow)
        assert right.start == wrong.start
        assert right.points[0] == wrong.points[0]
        assert [p.gas_index for p in right.points] == [p.gas_index for p in wrong.points]
        assert right.points[1] != wrong.points[1]


async def test_an_audit_draws_the_random_numbers_of_the_audited_task(tmp_path: Path) -> None:
    audit = TaskId(b"a" * 32)
    async with holder(tmp_path) as place:
        await place.blobs.put(module("wasi"))
        drawing = spec_of(module("wasi"), DATA)

        async def output(task: TaskId, seed_task: TaskId | None) -> bytes:
            asked = Assignment(Purpose.SLOT, task, 0, 0)
            ended = await place.executor.execute(Execute(asked, drawing, (), seed_task), lambda: 0)
            assert ended.report is not None, ended
            return ended.report.result.output

        assert await output(audit, TASK) == await output(TASK, None)
        assert await output(audit, None) != await output(TASK, None)


async def test_a_wrong_output_has_a_right_trace_up_to_its_end(tmp_path: Path) -> None:
    lies = ExecutorLies(corrupt_output=True)
    async with holder(tmp_path / "a") as honest, holder(tmp_path / "b", lies) as liar:
        effect = wanted((50_000, 150_000, 9_000_000))
        right, wrong = await trace(honest, effect), await trace(liar, effect)
        assert right.points[:2] == wrong.points[:2]
        assert wrong.points[2] == await end_of(liar) != right.points[2]


async def test_a_device_without_processes_that_pause_says_so(tmp_path: Path) -> None:
    async with holder(tmp_path) as place, pool_of() as pool:
        most = ExecutorOptions(1 << 24, 60_000, 10**10)
        executor = Executor(pool, place.blobs, Meter(), most)
        ended = await executor.trace(wanted((10,)))
    assert isinstance(ended, ExecutionEnded)
    assert ended.cause is AbortCause.NOT_PAUSABLE


async def test_an_execution_above_the_budget_is_not_begun(tmp_path: Path) -> None:
    async with device(tmp_path, [], memory_budget_bytes=1 << 26) as place:
        await place.blobs.put(SUM)
        await place.blobs.put(DATA)
        large = replace(SPEC, memory_bytes_max=1 << 28)
        ended = await place.executor.trace(wanted((10,), spec=large))
    assert isinstance(ended, ExecutionEnded)
    assert ended.cause is AbortCause.MEMORY
