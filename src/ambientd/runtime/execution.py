"""Carry out one assignment: bring its blobs, prepare the module, execute, keep the output."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog
import trio
from msgspec import structs

from ambientd.codec.digest import sha256
from ambientd.config.options import Config, Lie
from ambientd.errors import AmbientError
from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, TaskId
from ambientd.model.bundle import size_of
from ambientd.model.effect import (
    CheckProof,
    CheckStep,
    Execute,
    ExecutionReport,
    ProveStep,
    Purpose,
    SegmentWanted,
    TraceWanted,
)
from ambientd.model.execution import (
    AbortCause,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.model.learning import LessonInput
from ambientd.model.task import Result
from ambientd.node.event import (
    ExecutionEnded,
    ProofChecked,
    SegmentMade,
    StepChecked,
    StepMade,
    TraceMade,
)
from ambientd.ports.module_cache import ReadyModule
from ambientd.ports.probe import EnergyMeter, EnergyUsed
from ambientd.ports.proving import ProofTools
from ambientd.rules.bundles import (
    bundle_result,
    is_bundle,
    item_limits_of,
    items_of,
    not_bundled,
)
from ambientd.rules.energy import SHARE_MARK, share_mj
from ambientd.rules.executions import limits_of, result_of, seed_of
from ambientd.rules.lessons import joined, lesson_parts
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.cpu_share import CpuSpent
from ambientd.runtime.handed_states import HandedStates
from ambientd.runtime.lies import TRUTH, ExecutorLies
from ambientd.runtime.long_executions import KeptStates, LongExecutions, Marking
from ambientd.runtime.marking import Markings, Tell
from ambientd.runtime.pausing_workers import PausableCall, PausingWorkers
from ambientd.runtime.proving import NO_PROVER, Proofs
from ambientd.runtime.steps import Steps
from ambientd.runtime.tracing import Tracer
from ambientd.runtime.workers import WorkerPool
from ambientd.wasm.prepare import Refused

log = structlog.get_logger("ambientd.execution")

Answer = tuple[Result, bytes]
"""What replicas must agree on, and the output."""

PREPARED_BYTES_MAX = 64 * 1024 * 1024
# Once may be this host's bad moment; the same module twice is the module.
FAILURES_MAX = 2
FAILURES_KEPT_MS = 5 * 60 * 1000
FAILURES_KEPT_MAX = 256


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """What this device offers, and whether it lies (for tests and demonstrations only)."""

    memory_bytes_max: int
    wall_ms_max: int
    gas_max: int
    at_once_max: int = 4
    lies: ExecutorLies = TRUTH


def executor_options(config: Config) -> ExecutorOptions:
    """Give what a device's configuration lets it execute."""
    chosen, faults = config.execution, config.faults
    return ExecutorOptions(
        memory_bytes_max=chosen.memory_bytes_max,
        wall_ms_max=chosen.wall_ms_max,
        gas_max=chosen.gas_max,
        at_once_max=chosen.workers + 1,
        lies=ExecutorLies(
            corrupt_output=faults.lie is Lie.CORRUPT_OUTPUT,
            wrong_step_gas=faults.wrong_step_gas if faults.lie is Lie.WRONG_STEP else None,
        ),
    )


@dataclass(slots=True)
class _Failure:
    """How often a module could not be prepared here, why the last time, how long that counts."""

    times: int
    aborted: Aborted
    until_ms: int


class Failures:
    """The modules whose preparation ended at this host's limits again and again."""

    def __init__(self) -> None:
        self._by_source: OrderedDict[bytes, _Failure] = OrderedDict()

    def find(self, source: bytes, now_ms: int) -> Aborted | None:
        """Give why a module is not tried again now; None if it is."""
        failure = self._by_source.get(source)
        if failure is None or now_ms >= failure.until_ms:
            self._by_source.pop(source, None)
            return None
        return failure.aborted if failure.times >= FAILURES_MAX else None

    def note(self, source: bytes, aborted: Aborted, now_ms: int) -> None:
        """Count a preparation that took more than there is."""
        known = self._by_source.pop(source, None)
        times = 1 if known is None else known.times + 1
        self._by_source[source] = _Failure(times, aborted, now_ms + FAILURES_KEPT_MS)
        while len(self._by_source) > FAILURES_KEPT_MAX:
            self._by_source.popitem(last=False)

    def forget(self, source: bytes) -> None:
        """Count nothing against a module that could be prepared."""
        self._by_source.pop(source, None)


class Engines(Protocol):
    """What prepares and executes modules: `runtime.workers.WorkerPool`, or a simulated one."""

    @property
    def engine(self) -> str:
        """Give the engine's name."""
        ...

    @property
    def engine_version(self) -> str:
        """Give the engine's version."""
        ...

    async def prepare(
        self, source: bytes, module: bytes, spent: CpuSpent | None = None
    ) -> ReadyModule | Refused | Aborted:
        """Bring a module, named by the SHA-256 of its bytes, into the form that is executed."""
        ...

    async def execute(
        self,
        module: ReadyModule,
        data: bytes,
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> ExecutionResult | Aborted:
        """Execute a prepared module on an input."""
        ...

    async def execute_items(
        self,
        module: ReadyModule,
        items: tuple[bytes, ...],
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> tuple[ExecutionResult, ...] | Aborted:
        """Execute a prepared module on each item of a bundle."""
        ...


class Executor:
    """Turns Execute effects into ExecutionEnded events."""

    def __init__(
        self,
        pool: Engines,
        blobs: Blobs,
        meter: EnergyMeter,
        options: ExecutorOptions,
        pausing: PausingWorkers | None = None,
        proofs: Proofs | None = None,
        long: LongExecutions | None = None,
        steps: Steps | None = None,
        markings: Markings | None = None,
    ) -> None:
        self._steps = steps
        self._pool = pool
        self._proofs = proofs
        self._long = long
        self._tracer = None if pausing is None else Tracer(pausing, blobs, options.lies)
        self._blobs = blobs
        self._meter = meter
        self._options = options
        self._prepared: OrderedDict[bytes, ReadyModule | Refused] = OrderedDict()
        self._prepared_bytes = 0
        self._failures = Failures()
        # Modules and inputs are only brought into memory when a worker is about to be free.
        self._room = trio.Semaphore(options.at_once_max)
        # One process pauses; what waits for it shall hold up no ordinary execution.
        self._tracing = trio.Lock()
        self.markings = markings or Markings()

    async def execute(
        self, effect: Execute, clock: Callable[[], int], tell: Tell | None = None
    ) -> ExecutionEnded:
        """Give the assignment's outcome; whatever this host could not do is an abort.

        What a task asks for must never end the daemon, so every error on the way is one.
        """
        try:
            async with self._room:
                marking = await self.markings.begin(effect, tell)
                ended = await self._execute(effect, clock, marking)
            is_proven = effect.spec.proof is not None and effect.assignment.purpose is Purpose.SLOT
            # Not in a room: what is proven for minutes shall hold up no ordinary execution.
            return await self._prove(effect, ended) if is_proven else ended
        except (AmbientError, ValueError) as error:
            return self._aborted(effect, str(error), host_failed=True)

    async def check_proof(self, effect: CheckProof) -> ProofChecked | ExecutionEnded:
        """Judge a proof that another has made."""
        if self._proofs is None:
            return ExecutionEnded(effect.assignment, effect.spec, None, NO_PROVER)
        try:
            return await self._proofs.check(effect)
        except (AmbientError, ValueError) as error:
            return ExecutionEnded(effect.assignment, effect.spec, None, str(error), True)

    async def step(self, effect: ProveStep | CheckStep) -> StepMade | StepChecked | ExecutionEnded:
        """Prove a disputed stretch, or judge what another has proven of one."""
        if self._steps is None:
            return ExecutionEnded(effect.assignment, effect.spec, None, NO_PROVER)
        try:
            if isinstance(effect, ProveStep):
                return await self._steps.prove(effect)
            return await self._steps.check(effect)
        except (AmbientError, ValueError) as error:
            return ExecutionEnded(effect.assignment, effect.spec, None, str(error), True)

    async def _prove(self, effect: Execute, ended: ExecutionEnded) -> ExecutionEnded:
        """Prove what was executed: only with its proof is it an answer."""
        if ended.report is None:
            return ended
        if self._proofs is None:
            return self._aborted(effect, NO_PROVER, AbortCause.NOT_PROVABLE)
        result = ended.report.result
        made = await self._proofs.prove(
            effect.assignment, effect.spec, result, effect.own_image, effect.doubted_image
        )
        if isinstance(made, Aborted):
            return self._aborted(effect, made.reason, made.cause)
        return structs.replace(ended, report=replace(ended.report, proof=made))

    def forget(self, task: TaskId) -> None:
        """Drop what is kept of a task that has ended."""
        if self._long is not None:
            self._long.forget(task)

    async def trace(
        self, effect: TraceWanted | SegmentWanted
    ) -> TraceMade | SegmentMade | ExecutionEnded:
        """Execute part of a disputed task."""
        if self._tracer is None:
            reason, cause = "executions cannot be paused here", AbortCause.NOT_PAUSABLE
            return ExecutionEnded(effect.assignment, effect.spec, None, reason, cause=cause)
        async with self._tracing:
            return await self._tracer.carry_out(effect)

    async def _execute(
        self, effect: Execute, clock: Callable[[], int], marking: Marking | None
    ) -> ExecutionEnded:
        spec = effect.spec
        if not self._is_allowed(effect):
            reason = "the task asks for more than this device's owner allows"
            return self._aborted(effect, reason, AbortCause.NOT_ALLOWED)
        module = await self._blobs.fetch(spec.module, spec.module_size_bytes, effect.holders)
        data = await self._blobs.fetch(
            spec.input, size_of(spec.input_size_bytes), effect.holders, is_synced=False
        )
        parts = None if data is None else lesson_parts(spec, data)
        if parts is not None:
            data = await self._lesson_input(parts, effect.holders)
        if module is None or data is None:
            reason = "module or input could not be fetched from any holder"
            return self._aborted(effect, reason, AbortCause.NOT_FETCHED)
        started_ms = clock()
        energy_before, spent = self._meter.read(), CpuSpent()
        prepared = await self._prepare(spec.module, module, clock, spent)
        if isinstance(prepared, Aborted):
            answer: Answer | Aborted = prepared
        elif isinstance(prepared, Refused):
            answer = _refused(prepared)
        elif is_bundle(spec):
            answer = await self._bundled(effect, prepared, data, spent)
        else:
            call = PausableCall(module, data, limits_of(spec), _seed(effect))
            answer = await self._alone(effect, prepared, call, spent, marking)
        if isinstance(answer, Aborted):
            self._forget(spec.module)  # the module's compiled form may be the reason
            self.markings.aborted(effect.assignment)
            return self._aborted(effect, answer.reason, answer.cause)
        energy_mj, energy_source = _share(self._meter.since(energy_before), spent)
        result, output = answer
        if effect.assignment.purpose is Purpose.SLOT and not await self._blobs.has(sha256(output)):
            self._blobs.sealed.seal(effect.assignment.task, sha256(output))
        await self._blobs.put(output)
        report = ExecutionReport(
            result=result,
            engine=self._pool.engine,
            engine_version=self._pool.engine_version,
            started_ms=started_ms,
            finished_ms=clock(),
            energy_mj=energy_mj,
            energy_source=energy_source,
            start=None if marking is None else marking.mark,
        )
        return ExecutionEnded(effect.assignment, spec, report)

    async def _alone(
        self,
        effect: Execute,
        ready: ReadyModule,
        call: PausableCall,
        spent: CpuSpent,
        marking: Marking | None,
    ) -> Answer | Aborted:
        outcome = None
        is_slot = effect.assignment.purpose is Purpose.SLOT
        if is_slot and self._long is not None and self._long.takes(effect.spec):
            task = effect.assignment.task
            outcome = await self._long.execute(task, call, ready.prepared, spent, marking)
        if outcome is None:
            if marking is not None:
                marking.start = None  # what follows is all this node's own
            outcome = await self._pool.execute(ready, call.input, call.limits, call.seed, spent)
        if isinstance(outcome, ExecutionResult):
            outcome = await self._told(outcome, call)
        if isinstance(outcome, Aborted):
            return outcome
        return result_of(outcome, ready.prepared), outcome.output

    async def _bundled(
        self, effect: Execute, ready: ReadyModule, data: bytes, spent: CpuSpent
    ) -> Answer | Aborted:
        """Execute each item by itself; a lie about a bundle is one about its last item."""
        spec, seed = effect.spec, _seed(effect)
        items = items_of(spec, data)
        if items is None:
            return result_of(not_bundled(), ready.prepared), b""
        results = await self._pool.execute_items(ready, items, item_limits_of(spec), seed, spent)
        if isinstance(results, Aborted):
            return results
        told = (*results[:-1], *map(self._options.lies.told, results[-1:]))
        return bundle_result(told, spec, ready.prepared)

    async def _lesson_input(self, parts: LessonInput, holders: tuple[NodeId, ...]) -> bytes | None:
        """Put a lesson's input together; each part is fetched by its own hash."""
        model = await self._blobs.fetch(parts.model, parts.model_size_bytes, holders)
        data = await self._blobs.fetch(parts.data, parts.data_size_bytes, holders)
        return None if model is None or data is None else joined(parts, model, data)

    def _is_allowed(self, effect: Execute) -> bool:
        """Tell whether this device's owner lets it do this; a member referees what is long, too.

        Else whoever lies in tasks beyond the usual limits would find no referee to be convicted by.
        """
        spec, options = effect.spec, self._options
        wall_ms, gas = options.wall_ms_max * spec.items, options.gas_max * spec.items
        is_short = spec.wall_ms_max <= wall_ms and spec.gas_max <= gas
        is_owed = effect.assignment.purpose is not Purpose.SLOT
        return spec.memory_bytes_max <= options.memory_bytes_max and (is_short or is_owed)

    async def _told(
        self, outcome: ExecutionResult, call: PausableCall
    ) -> ExecutionResult | Aborted:
        """Give an outcome as this node tells it: as it is, unless its owner wants lies."""
        if self._tracer is not None and self._options.lies.wrong_step_gas is not None:
            return await self._tracer.with_wrong_step(outcome, call)
        return self._options.lies.told(outcome)

    async def _prepare(
        self, digest: Digest, module: bytes, clock: Callable[[], int], spent: CpuSpent
    ) -> ReadyModule | Refused | Aborted:
        known = self._prepared.get(digest)
        if known is not None:
            self._prepared.move_to_end(digest)
            return known
        failed = self._failures.find(digest, clock())
        if failed is not None:
            return failed
        prepared = await self._pool.prepare(digest, module, spent)
        if isinstance(prepared, Aborted):
            if prepared.cause is AbortCause.PREPARATION:
                self._failures.note(digest, prepared, clock())
        else:
            self._failures.forget(digest)
            self._prepared[digest] = prepared
            self._prepared_bytes += _size_bytes(prepared)
            while self._prepared_bytes > PREPARED_BYTES_MAX and len(self._prepared) > 1:
                self._prepared_bytes -= _size_bytes(self._prepared.popitem(last=False)[1])
        return prepared

    def _forget(self, digest: Digest) -> None:
        forgotten = self._prepared.pop(digest, None)
        if forgotten is not None:
            self._prepared_bytes -= _size_bytes(forgotten)

    @staticmethod
    def _aborted(
        effect: Execute,
        reason: str,
        cause: AbortCause = AbortCause.OTHER,
        *,
        host_failed: bool = False,
    ) -> ExecutionEnded:
        log.warning("execution aborted", task=effect.assignment.task.hex()[:12], reason=reason)
        place, spec = effect.assignment, effect.spec
        # More memory than the owner lends will not be there later either.
        is_too_large = cause is AbortCause.MEMORY and place.purpose is Purpose.SLOT
        declined = is_too_large or cause is AbortCause.NOT_ALLOWED
        return ExecutionEnded(place, spec, None, reason, host_failed, declined, cause)


def _seed(effect: Execute) -> bytes:
    return seed_of(effect.seed_task or effect.assignment.task)


def _refused(refused: Refused) -> Answer:
    outcome = ExecutionResult(
        kind=OutcomeKind.REFUSED, reason=refused.reason, output=b"", gas=0, log=b""
    )
    return result_of(outcome, Digest(bytes(DIGEST_BYTES))), b""


def _share(used: EnergyUsed, spent: CpuSpent) -> tuple[int | None, str]:
    """Give what of the device's energy went into one execution, and what tells so."""
    if used.energy_uj is None or spent.ns is None:
        return None, "unknown"
    energy_mj = share_mj(used.energy_uj, used.elapsed_ms, used.busy_ms, spent.ns)
    return energy_mj, f"{used.source}{SHARE_MARK}"


def _size_bytes(prepared: ReadyModule | Refused) -> int:
    return len(prepared.code) if isinstance(prepared, ReadyModule) else len(prepared.reason)


def executor_of(
    config: Config,
    pool: WorkerPool,
    blobs: Blobs,
    meter: EnergyMeter,
    tools: ProofTools,
    states: KeptStates,
    handed: HandedStates | None,
) -> Executor:
    """Give what executes on this device, and proves where it has a prover."""
    proofs = Proofs(pool, blobs, tools)
    long = LongExecutions(pool.stretching, states, config.execution.state_every_gas)
    steps = Steps(pool, blobs, tools, pool.stepping)
    options = executor_options(config)
    markings = Markings(handed)
    return Executor(pool, blobs, meter, options, pool.pausing, proofs, long, steps, markings)
