"""A disputed stretch is proven from what parties show, and members judge it by what is so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from ambientd.adapters.blob_files import BlobFiles
from ambientd.adapters.engines import installed
from ambientd.codec.digest import sha256
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import KnownState, TracePoint
from ambientd.model.effect import Assignment, CheckStep, ProveStep, Purpose, SegmentWanted
from ambientd.model.execution import AbortCause
from ambientd.model.proof import NO_PROOF, Finding
from ambientd.node.event import ExecutionEnded, SegmentMade, StepChecked, StepMade, TraceMade
from ambientd.ports.proving import ProofTools
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.execution import Executor, ExecutorOptions
from ambientd.runtime.steps import Steps
from tests.fakes.prover import FakeVerifier, RememberedPlaces
from tests.fakes.step_prover import FakeStepProver
from tests.proofs.test_images import module
from tests.runtime.pools import pool_of
from tests.runtime.test_tracing import DATA, SPEC, SUM, Meter, wanted

LOW_GAS, STRETCH_GAS = 50_000, 3_000
TASK = TaskId(b"t" * 32)


@dataclass
class Bench:
    """One device that is party, prover and member, and what it proves and verifies with."""

    executor: Executor
    blobs: Blobs
    prover: FakeStepProver
    verifier: FakeVerifier

    async def at(self, gas: int) -> KnownState:
        """Give the state at a gas index as a party shows it."""
        found = await self.executor.trace(wanted((gas,)))
        assert isinstance(found, TraceMade)
        made = await self.executor.trace(wanted((gas + 1,), low=found.points[0]))
        assert isinstance(made, TraceMade)
        return made.start

    async def executed(self, start: KnownState, until_gas: int) -> TracePoint:
        place = Assignment(Purpose.SEGMENT, TASK, 0, 0)
        found = await self.executor.trace(SegmentWanted(place, SPEC, (), start, until_gas))
        assert isinstance(found, SegmentMade)
        return found.end

    async def prove(self, start: KnownState, until_gas: int) -> StepMade | ExecutionEnded:
        place = Assignment(Purpose.STEP_PROOF, TASK, 0, 1)
        made = await self.executor.step(ProveStep(place, SPEC, (), start, until_gas))
        assert isinstance(made, StepMade | ExecutionEnded)
        return made

    async def check(
        self, proof: Digest, start: TracePoint, until_gas: int
    ) -> StepChecked | ExecutionEnded:
        place = Assignment(Purpose.STEP, TASK, 0, 0)
        found = await self.executor.step(CheckStep(place, SPEC, (), proof, start, until_gas))
        assert isinstance(found, StepChecked | ExecutionEnded)
        return found


@asynccontextmanager
async def bench(folder: Path, engine: str = "wasmtime") -> AsyncIterator[Bench]:
    async def nobody(peer: NodeId, digest: bytes, size_bytes: int) -> bytes | None:
        del peer, digest, size_bytes
        return None

    blobs = Blobs(BlobFiles(folder), nobody, list)
    for data in (SUM, DATA):
        await blobs.put(data)
    prover, verifier = FakeStepProver(DATA), FakeVerifier()
    tools = ProofTools(RememberedPlaces(), None, verifier, prover)
    async with pool_of(engine=engine) as pool:
        most = ExecutorOptions(1 << 24, 60_000, 10**10)
        steps = Steps(pool, blobs, tools, pool.stepping)
        yield Bench(
            Executor(pool, blobs, Meter(), most, pool.pausing, steps=steps),
            blobs,
            prover,
            verifier,
        )


async def test_before_a_promise_is_seen_whether_there_can_be_a_proof(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        here = Assignment(Purpose.STEP_PROOF, TASK, 0, 0)
        seen = await place.executor.step(ProveStep(here, SPEC, (), None, 0))
        assert seen == StepMade(here, NO_PROOF)
        assert place.prover.made == 0
        floats = module("(drop (f32.const 1)) (i64.const 0)")
        await place.blobs.put(floats)
        spec = replace(SPEC, module=Digest(sha256(floats)), module_size_bytes=len(floats))
        for each in (
            spec,
            replace(SPEC, memory_bytes_max=(512 << 20) + 65_536),
            replace(SPEC, output_bytes_max=(64 << 20) + 1),
        ):
            seen = await place.executor.step(ProveStep(here, each, (), None, 0))
            assert isinstance(seen, ExecutionEnded)
            assert seen.cause is AbortCause.NOT_PROVABLE


@pytest.mark.parametrize("engine", installed())
async def test_a_proof_leads_where_executing_leads_paused_or_over(
    tmp_path: Path, engine: str
) -> None:
    async with bench(tmp_path, engine) as place:
        start = await place.at(LOW_GAS)
        for until_gas in (LOW_GAS + STRETCH_GAS, SPEC.gas_max):
            made = await place.prove(start, until_gas)
            assert isinstance(made, StepMade), made
            judged = await place.check(made.proof, start.point, until_gas)
            assert isinstance(judged, StepChecked), judged
            assert judged.finding is Finding.HOLDS
            assert judged.end == await place.executed(start, until_gas)
            assert judged.cycles > 0


async def test_hostile_proofs_are_wrong_and_name_no_end(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        start, until_gas = await place.at(LOW_GAS), LOW_GAS + STRETCH_GAS
        made = await place.prove(start, until_gas)
        assert isinstance(made, StepMade), made
        proof = await place.blobs.get(made.proof)
        assert proof is not None
        bogus = [
            b"",
            b"no proof at all",
            proof[:-1] + bytes([proof[-1] ^ 1]),
            proof + b"\0",
            proof[:90] + bytes([proof[90] ^ 1]) + proof[91:],
            proof[:188] + (5).to_bytes(4, "big") + 5 * proof[192:],
        ]
        for each in bogus:
            name = Digest(await place.blobs.put(each))
            judged = await place.check(name, start.point, until_gas)
            assert isinstance(judged, StepChecked), judged
            assert (judged.finding, judged.end, judged.cycles) == (Finding.WRONG, None, 0)
        for other in ((start.point, until_gas + 1), (await place.at(2 * LOW_GAS), until_gas)):
            point = other[0].point if isinstance(other[0], KnownState) else other[0]
            judged = await place.check(made.proof, point, other[1])
            assert isinstance(judged, StepChecked)
            assert judged.finding is Finding.WRONG


async def test_a_proof_that_nobody_gives_is_missing_and_a_broken_verifier_says_nothing(
    tmp_path: Path,
) -> None:
    async with bench(tmp_path) as place:
        start, until_gas = await place.at(LOW_GAS), LOW_GAS + STRETCH_GAS
        judged = await place.check(Digest(sha256(b"gone")), start.point, until_gas)
        assert isinstance(judged, StepChecked)
        assert judged.finding is Finding.MISSING
        made = await place.prove(start, until_gas)
        assert isinstance(made, StepMade)
        place.verifier.works = False
        assert isinstance(await place.check(made.proof, start.point, until_gas), ExecutionEnded)


@pytest.mark.parametrize("shown", [b"no state", None])
async def test_a_false_state_is_looked_for_elsewhere(tmp_path: Path, shown: bytes | None) -> None:
    async with bench(tmp_path) as place:
        start = await place.at(LOW_GAS)
        data = shown
        if data is None:  # a true state, of another place
            other = await place.at(2 * LOW_GAS)
            data = await place.blobs.get(other.state)
        assert data is not None
        false = KnownState(
            point=start.point,
            state=Digest(await place.blobs.put(data)),
            state_size_bytes=len(data),
        )
        made = await place.prove(false, LOW_GAS + STRETCH_GAS)
        assert isinstance(made, ExecutionEnded)
        assert made.cause is AbortCause.NOT_FETCHED
        assert place.prover.made == 0


async def test_a_prover_whose_proof_is_of_something_else_names_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as place:
        place.prover.bent = True
        start = await place.at(LOW_GAS)
        made = await place.prove(start, LOW_GAS + STRETCH_GAS)
        assert isinstance(made, ExecutionEnded)
        assert made.aborted == "what was proven is not that stretch"
