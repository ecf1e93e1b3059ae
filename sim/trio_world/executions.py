"""What stands in for engines, probes and disks in a trio world: nothing is executed there."""

import random
from dataclasses import replace

import trio
from msgspec import structs

from ambientd.codec.digest import sha256
from ambientd.model.base import Digest
from ambientd.model.effect import (
    CheckProof,
    CheckStep,
    Execute,
    ProveStep,
    SegmentWanted,
    TraceWanted,
)
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult, OutcomeKind
from ambientd.node.event import (
    ExecutionEnded,
    ProofChecked,
    SegmentMade,
    StepChecked,
    StepMade,
    TraceMade,
)
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.probe import EnergyReading, EnergyUsed
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.cpu_share import CpuSpent
from ambientd.runtime.execution import Executor, ExecutorOptions
from ambientd.runtime.pump import Pump
from ambientd.wasm.interface import Interface
from sim.parties import ECHO_MS, TARDY_MS_MAX, followed, traced, waits_to_echo
from sim.proofs import claimed, judged, made
from sim.step_proofs import step_judged, step_made
from sim.vices import Resident, Vice, output_by, prepared_of, work_ms

EXECUTION_MS_MAX = 400
LIMITS = ExecutorOptions(memory_bytes_max=1 << 30, wall_ms_max=30_000, gas_max=10**10)


class PretendedEngines:
    """Takes its time and gives the output that every honest engine has, or a lie."""

    engine = "sim"
    engine_version = "1"

    def __init__(
        self, key: bytes, dice: random.Random, aborts_permille: int, vices: frozenset[Vice]
    ) -> None:
        self._key = key
        self._dice = dice
        self._aborts_permille = aborts_permille
        self._vices = vices

    async def prepare(
        self, source: bytes, module: bytes, spent: CpuSpent | None = None
    ) -> ReadyModule:
        """Call a module prepared."""
        del module, spent
        name = prepared_of(Digest(source))
        return ReadyModule(source, name, Interface.AMBIENT, (), b"", is_compiled=False)

    async def work(self, effect: TraceWanted | SegmentWanted | None = None) -> bool:
        """Take the time of an execution, or of a part of one; tell whether it came to its end."""
        drawn_ms = 1 + self._dice.randrange(EXECUTION_MS_MAX)
        if Vice.TARDY in self._vices and isinstance(effect, TraceWanted):
            drawn_ms += self._dice.randrange(TARDY_MS_MAX)
        await trio.sleep(work_ms(drawn_ms, self._vices) / 1000)
        return self._dice.randrange(1000) >= self._aborts_permille

    async def execute(
        self,
        module: ReadyModule,
        data: bytes,
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> ExecutionResult | Aborted:
        """Wait, and give an output."""
        del seed, spent
        if not await self.work():
            return Aborted(reason="the wall-clock limit was reached")
        name = Digest(sha256(data))
        source = Digest(module.source)
        output, gas = output_by(self._key, self._vices, source, name, limits.gas_max)
        return ExecutionResult(
            kind=OutcomeKind.COMPLETED, reason="", output=output, gas=gas, log=b""
        )

    async def execute_items(
        self,
        module: ReadyModule,
        items: tuple[bytes, ...],
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> tuple[ExecutionResult, ...] | Aborted:
        """Wait, and give an output for each item."""
        results: list[ExecutionResult] = []
        for item in items:
            result = await self.execute(module, item, limits, seed, spent)
            if isinstance(result, Aborted):
                return result
            results.append(result)
        return tuple(results)


class PretendedExecutor(Executor):
    """Executes whole tasks by its engines, and parts of disputed ones as `sim.parties` tells."""

    def __init__(self, host: Resident, pump: Pump, engines: PretendedEngines, blobs: Blobs) -> None:
        super().__init__(engines, blobs, NoMeter(), LIMITS)
        self._host = host
        self._pump = pump
        self._engines = engines

    async def trace(
        self, effect: TraceWanted | SegmentWanted
    ) -> TraceMade | SegmentMade | ExecutionEnded:
        """Wait, and tell where the execution stands, in truth or as the host's vices have it."""
        if not await self._engines.work(effect):
            reason = "the wall-clock limit was reached"
            return ExecutionEnded(effect.assignment, effect.spec, None, reason)
        if isinstance(effect, SegmentWanted):
            return followed(self._host, effect)
        while waits_to_echo(self._host, effect):  # noqa: ASYNC110 - the ledger tells no event
            await trio.sleep(ECHO_MS / 1000)
        told, *others = traced(self._host, effect)
        for event in others:  # what it says by itself, beside what it was asked
            await self._pump.post(event)
        assert isinstance(told, TraceMade | ExecutionEnded), "a trace, or why there is none"
        return told

    async def _prove(self, effect: Execute, ended: ExecutionEnded) -> ExecutionEnded:
        """Name a proof, or what the host's vices call one."""
        if ended.report is None:
            return ended
        vices = self._host.vices
        result = claimed(effect.spec, ended.report.result, vices)
        report = replace(ended.report, result=result, proof=made(effect, result, vices))
        return structs.replace(ended, report=report)

    async def check_proof(self, effect: CheckProof) -> ProofChecked | ExecutionEnded:
        """Wait, and judge a proof by its name, in truth or as the host's vices have it."""
        if not await self._engines.work():
            reason = "the verifier did not work"
            return ExecutionEnded(effect.assignment, effect.spec, None, reason)
        return judged(effect, self._host.vices)

    async def step(self, effect: ProveStep | CheckStep) -> StepMade | StepChecked | ExecutionEnded:
        """Wait, and name a proof of a stretch, or judge one by its name."""
        if not await self._engines.work():
            reason = "the prover or the verifier did not work"
            return ExecutionEnded(effect.assignment, effect.spec, None, reason)
        if isinstance(effect, ProveStep):
            return step_made(effect, self._host.vices)
        return step_judged(effect, self._host.vices)


class NoMeter:
    """A device whose energy nothing measures."""

    def read(self) -> EnergyReading:
        """Say so."""
        return EnergyReading(None, "none")

    def since(self, mark: EnergyReading) -> EnergyUsed:
        """Say so."""
        return EnergyUsed(None, mark.source)


class Shelf:
    """Blobs in memory; a crash leaves them."""

    def __init__(self) -> None:
        self._blobs: dict[bytes, bytes] = {}

    def get(self, digest: bytes) -> bytes | None:
        """Give a blob's bytes, or None."""
        return self._blobs.get(digest)

    def remembered(self, digest: bytes) -> bytes | None:
        """Give a blob's bytes, or None: all are in memory."""
        return self._blobs.get(digest)

    def size_of(self, digest: bytes) -> int | None:
        """Give how long a blob is, or None."""
        data = self._blobs.get(digest)
        return None if data is None else len(data)

    def is_unsynced(self, digest: bytes) -> bool:  # noqa: ARG002 - no disk
        """Deny it: nothing is kept worse than the rest."""
        return False

    def is_fresh(self, digest: bytes) -> bool:
        """Tell whether a blob is here: to put it again changes nothing."""
        return digest in self._blobs

    def put(self, data: bytes, *, is_synced: bool = True, name: bytes | None = None) -> bytes:  # noqa: ARG002 - no disk
        """Keep a blob and give its SHA-256."""
        name = sha256(data) if name is None else name
        self._blobs[name] = data
        return name
