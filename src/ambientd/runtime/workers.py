"""The pool of locked-down worker processes: modules are prepared in some, executed in others.

A worker process is never trusted: its replies are decoded as hostile and bounded by the limits
that were asked for. Whatever goes wrong with a process becomes `Aborted`, and the pool goes on.
A module is compiled in a process that executes none and sees no other module, so code that has
run here cannot have written into what is kept of it or of another module.
"""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeGuard

import structlog
import trio

from ambientd.codec.digest import sha256
from ambientd.errors import ConfigError, LocalProtocolError
from ambientd.model.execution import (
    INPUT_BYTES_CEILING,
    AbortCause,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
    OutcomeKind,
)
from ambientd.ports.module_cache import ModuleCache, ReadyModule
from ambientd.ports.worker_protocol import (
    COMPILED_BYTES_MAX,
    REASON_CHARACTERS_MAX,
    SEED_BYTES,
    Executed,
    ExecuteItems,
    ExecuteModule,
    GiveCompiled,
    ItemsExecuted,
    LoadModule,
    ModuleCompiled,
    ModuleLoaded,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    NotRestored,
    PrepareModule,
    Protection,
    Reply,
    are_plausible,
    is_plausible,
)
from ambientd.rules.executions import memory_need_bytes
from ambientd.runtime.control_groups import delegated_groups
from ambientd.runtime.cpu_share import CpuShare, CpuSpent
from ambientd.runtime.memory_budget import MemoryBudget
from ambientd.runtime.pausing_workers import PausingWorkers
from ambientd.runtime.worker_crew import WorkerCrew
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.worker_process import WorkerProcess
from ambientd.wasm.interface import Interface
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.prepare import Refused

log = structlog.get_logger("ambientd.workers")

_MODULE_BYTES_MAX = PrepareLimits().module_bytes_max
_DETAIL_CHARACTERS_MAX = 2_000
LEAVES_PAGES_OUT = "wasmtime"
"""The engine that comes with the package; of the others nobody knows where their memory lies."""


class WorkerPool:
    """Prepares and executes modules in whichever process is free."""

    def __init__(
        self,
        options: WorkerPoolOptions,
        nursery: trio.Nursery,
        cache: ModuleCache | None = None,
    ) -> None:
        groups = delegated_groups()
        self._options = options
        self._nursery = nursery
        self._cache = cache
        self._executors = WorkerCrew(
            options, nursery, groups, size=options.size, uses_max=options.executions_max
        )
        self._preparers = WorkerCrew(
            options, nursery, groups, size=options.preparers, uses_max=options.preparations_max
        )
        self._memory = MemoryBudget(options.budget_bytes)
        self._share = CpuShare(self._pids_at_work)
        # Long executions shall hold up no dispute, so each has a process of its own.
        self.pausing = PausingWorkers(options, nursery, groups, self._memory)
        self.stretching = PausingWorkers(options, nursery, groups, self._memory)
        # What is proven is replayed without the pages that it does not touch: one engine can.
        leaving_out = replace(options, engine=LEAVES_PAGES_OUT)
        self.stepping = PausingWorkers(leaving_out, nursery, groups, self._memory)
        self._calls = 0

    @property
    def engine(self) -> str:
        """The engine's name, as receipts give it."""
        return self._options.engine

    @property
    def engine_version(self) -> str:
        """The engine's version, as the processes say it."""
        hello = self._executors.hello
        return "" if hello is None else hello.engine_version

    @property
    def protections(self) -> frozenset[Protection]:
        """What has held every process so far."""
        return self._executors.protections & self._preparers.protections

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of the processes that execute, for supervision."""
        return self._executors.pids

    @property
    def preparer_pids(self) -> tuple[int, ...]:
        """The ids of the processes that prepare, for supervision."""
        return self._preparers.pids

    @property
    def size(self) -> int:
        """How many executions run at once, at most."""
        return self._options.size

    @property
    def cores(self) -> int:
        """How many cores this device has."""
        return self._share.cores

    def hold_to(self, cpu_percent: int, memory_bytes_max: int) -> None:
        """Hold all processes together to so much, from now on; 0 bytes for the whole budget.

        What runs goes on with the memory that it was lent.
        """
        self._share.set_percent(cpu_percent)
        budget = self._options.budget_bytes
        self._memory.resize(min(budget, memory_bytes_max or budget))

    def _pids_at_work(self) -> tuple[int, ...]:
        pausing = (each.crew for each in (self.pausing, self.stretching, self.stepping))
        crews = (self._executors, self._preparers, *pausing)
        return tuple(pid for crew in crews for pid in crew.pids_at_work)

    @property
    def memory_bytes(self) -> int:
        """How much memory all processes together may be lent."""
        return self._memory.total_bytes

    @property
    def memory_free_bytes(self) -> int:
        """How much of the memory budget is not lent now."""
        return self._memory.free_bytes

    async def open(self) -> None:
        """Start all processes at once; raise ConfigError if one does not come up."""
        failures: list[ConfigError] = []

        async def start(crew: WorkerCrew, *, is_known: bool) -> None:
            failure = await crew.open(is_known=is_known)
            if failure is not None:
                failures.append(failure)

        async with trio.open_nursery() as starting:
            starting.start_soon(partial(start, self._executors, is_known=False))
            starting.start_soon(partial(start, self._preparers, is_known=True))
        if failures:
            raise failures[0]
        self._nursery.start_soon(self._share.run)

    async def close(self) -> None:
        """End every process."""
        await self._executors.close()
        await self._preparers.close()
        await self.pausing.close()
        await self.stretching.close()
        await self.stepping.close()

    async def prepare(
        self, source: bytes, module: bytes, spent: CpuSpent | None = None
    ) -> ReadyModule | Refused | Aborted:
        """Rewrite, validate and compile a submitted module, unless it is kept from last time.

        `source` is the module's SHA-256. The module is as hostile as can be. What that takes of
        the processor is added to `spent`.
        """
        if len(module) > _MODULE_BYTES_MAX:
            return Refused(
                f"the module has {len(module)} bytes, at most {_MODULE_BYTES_MAX} are allowed. "
                "Make the module smaller or split it."
            )
        known = await self._find(source)
        if known is not None:
            return known
        if sha256(module) != source:
            msg = "the module is not the one of that hash"
            raise LocalProtocolError(msg)
        with self._waiting() as has_room:
            if not has_room:
                return self._busy()
            async with self._preparers.lend() as process:
                # Someone may have wanted the same module, and waited less.
                known = await self._find(source)
                if known is not None:
                    return known
                need_bytes = min(self._options.preparation_bytes, self._memory.total_bytes)
                async with self._memory.reserve(need_bytes):
                    process.hold_to(need_bytes)
                    with (spent or CpuSpent()).by(process.pid):
                        ready = await self._prepare(process, source, module)
        if isinstance(ready, Aborted):
            return Aborted(reason=ready.reason, cause=AbortCause.PREPARATION)
        if self._cache is not None and isinstance(ready, ReadyModule):
            await trio.to_thread.run_sync(self._cache.keep, self._maker, ready)
        return ready

    @property
    def _maker(self) -> str:
        return f"{self.engine} {self.engine_version}"

    async def _find(self, source: bytes) -> ReadyModule | None:
        if self._cache is None:
            return None
        return await trio.to_thread.run_sync(self._cache.find, source, self._maker)

    async def rewrite(self, source: bytes, module: bytes) -> bytes | Refused | Aborted:
        """Give a submitted module's prepared form itself, which is what is proven of it."""
        assert sha256(module) == source, "a blob has the hash that it is named by"
        with self._waiting() as has_room:
            if not has_room:
                return self._busy()
            async with self._preparers.lend() as process:
                need_bytes = min(self._options.preparation_bytes, self._memory.total_bytes)
                async with self._memory.reserve(need_bytes):
                    process.hold_to(need_bytes)
                    reply = await self._ask_to_prepare(process, module)
        match reply:
            case ModulePrepared():
                return reply.module
            case ModuleRefused():
                return Refused(reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                return await self._preparers.no_answer(process, reply)

    async def _ask_to_prepare(self, process: WorkerProcess, module: bytes) -> Reply | Aborted:
        limit_ms = self._options.prepare_wall_ms_max
        request = PrepareModule(module=module, cpu_ms_max=self._options.prepare_cpu_ms_max)
        asking = process.ask(request)
        return await self._preparers.reply_within(process, asking, limit_ms, "preparing the module")

    async def _prepare(
        self, process: WorkerProcess, source: bytes, module: bytes
    ) -> ReadyModule | Refused | Aborted:
        reply = await self._ask_to_prepare(process, module)
        match reply:
            case ModulePrepared() if reply.interface in {kind.value for kind in Interface}:
                return await self._compiled(process, source, reply)
            case ModuleRefused():
                if reply.detail:
                    log.info(
                        "module does not validate",
                        engine_says=reply.detail[:_DETAIL_CHARACTERS_MAX],
                    )
                return Refused(reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                return await self._preparers.no_answer(process, reply)

    async def _compiled(
        self, process: WorkerProcess, source: bytes, prepared: ModulePrepared
    ) -> ReadyModule | Aborted:
        digest, limit_ms = sha256(prepared.module), self._options.prepare_wall_ms_max
        reply: Reply | Aborted = ModuleCompiled(code=b"")
        if process.takes_code:
            asking = process.ask(GiveCompiled(prepared=digest))
            reply = await self._preparers.reply_within(
                process, asking, limit_ms, "taking compiled code"
            )
        if not isinstance(reply, ModuleCompiled) or len(reply.code) > COMPILED_BYTES_MAX:
            return await self._preparers.no_answer(process, reply)
        return ReadyModule(
            source=source,
            prepared=digest,
            interface=Interface(prepared.interface),
            imports=prepared.imports,
            code=reply.code or prepared.module,
            is_compiled=bool(reply.code),
        )

    async def execute(
        self,
        module: ReadyModule,
        data: bytes,
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> ExecutionResult | Aborted:
        """Execute a ready module once; `seed` feeds its random numbers, `spent` is added to."""
        request = ExecuteModule(prepared=module.prepared, input=data, limits=limits, seed=seed)
        reply = await self._executed(module, request, len(data), spent)
        assert not isinstance(reply, ItemsExecuted), "nobody asked for items"
        return reply.result if isinstance(reply, Executed) else reply

    async def execute_items(
        self,
        module: ReadyModule,
        items: tuple[bytes, ...],
        limits: ExecutionLimits,
        seed: bytes,
        spent: CpuSpent | None = None,
    ) -> tuple[ExecutionResult, ...] | Aborted:
        """Execute a ready module on each item, with the limits of one; fewer where too large."""
        request = ExecuteItems(prepared=module.prepared, items=items, limits=limits, seed=seed)
        reply = await self._executed(module, request, sum(map(len, items)), spent)
        if isinstance(reply, Executed):  # the module does not load, so no item does
            return tuple(reply.result for _ in items)
        return reply.results if isinstance(reply, ItemsExecuted) else reply

    async def _executed(
        self,
        module: ReadyModule,
        request: ExecuteModule | ExecuteItems,
        input_bytes: int,
        spent: CpuSpent | None,
    ) -> Executed | ItemsExecuted | Aborted:
        if len(request.seed) != SEED_BYTES:
            msg = f"the seed has {len(request.seed)} bytes, it needs {SEED_BYTES}"
            raise LocalProtocolError(msg)
        if input_bytes > INPUT_BYTES_CEILING:
            return Aborted(reason=f"input of {input_bytes} bytes, at most {INPUT_BYTES_CEILING}")
        need_bytes = memory_need_bytes(request.limits, input_bytes)
        if need_bytes > self._memory.total_bytes:
            return Aborted(
                reason=f"the execution needs {need_bytes} bytes of memory, this device lends its "
                f"workers {self._memory.total_bytes}. Lower the task's limits, or raise the "
                "memory budget of the workers",
                cause=AbortCause.MEMORY,
            )
        with self._waiting() as has_room:
            if not has_room:
                return self._busy()
            # The process first: whoever holds memory can run, so it comes back.
            async with (
                self._executors.lend(module.prepared) as process,
                self._memory.reserve(need_bytes),
            ):
                with (spent or CpuSpent()).by(process.pid):
                    return await self._execute(process, module, request)

    async def _execute(
        self, process: WorkerProcess, module: ReadyModule, request: ExecuteModule | ExecuteItems
    ) -> Executed | ItemsExecuted | Aborted:
        reply: Reply | Aborted = ModuleUnknown()
        if process.loaded.get(module.prepared) == module.source:
            reply = await self._ask_to_execute(process, request)
        if isinstance(reply, ModuleUnknown):  # not loaded yet, or evicted there in the meantime
            process.loaded.pop(module.prepared, None)
            refused = await self._load(process, module)
            if isinstance(refused, ExecutionResult):
                return Executed(result=refused)
            if refused is not None:
                return refused
            reply = await self._ask_to_execute(process, request)
        if _answers(reply, request):
            return reply
        return await self._executors.no_answer(process, reply)

    async def _ask_to_execute(
        self, process: WorkerProcess, request: ExecuteModule | ExecuteItems
    ) -> Reply | Aborted:
        limit_ms = request.limits.wall_ms_max
        asking = process.ask(request)
        return await self._executors.reply_within(process, asking, limit_ms, "the execution")

    async def _load(
        self, process: WorkerProcess, module: ReadyModule
    ) -> ExecutionResult | Aborted | None:
        limit_ms, what = self._options.prepare_wall_ms_max, "loading the module"
        if module.is_compiled:
            asking = process.restore(module.prepared, module.code)
        else:
            cpu_ms_max = self._options.prepare_cpu_ms_max
            asking = process.ask(LoadModule(prepared=module.code, cpu_ms_max=cpu_ms_max))
        match reply := await self._executors.reply_within(process, asking, limit_ms, what):
            case ModuleLoaded():
                process.loaded[module.prepared] = module.source
                return None
            case ModuleRefused():
                return ExecutionResult(
                    kind=OutcomeKind.REFUSED,
                    reason=reply.reason[:REASON_CHARACTERS_MAX],
                    output=b"",
                    gas=0,
                    log=reply.detail[:_DETAIL_CHARACTERS_MAX].encode(),
                )
            case NotRestored():
                log.warning(
                    "compiled module does not load: made again",
                    engine_says=reply.detail[:_DETAIL_CHARACTERS_MAX],
                )
                if self._cache is not None:
                    await trio.to_thread.run_sync(self._cache.discard, module.source)
                return Aborted(reason="the compiled module does not load; it is made again")
            case _:
                return await self._executors.no_answer(process, reply)

    def _busy(self) -> Aborted:
        return Aborted(
            reason=f"every worker process is busy and {self._options.waiting_max} calls wait "
            "already. Lower the number of slots or raise the pool's size",
            cause=AbortCause.BUSY,
        )

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[bool]:
        """Count a call for as long as it lasts; False when too many wait already."""
        if self._calls >= self._options.size + self._options.waiting_max:
            yield False
            return
        self._calls += 1
        try:
            yield True
        finally:
            self._calls -= 1


def _answers(
    reply: Reply | Aborted, request: ExecuteModule | ExecuteItems
) -> TypeGuard[Executed | ItemsExecuted]:
    """Tell whether a reply is to what was asked, and within the limits."""
    if isinstance(request, ExecuteItems):
        return isinstance(reply, ItemsExecuted) and are_plausible(reply.results, request)
    return isinstance(reply, Executed) and is_plausible(reply.result, request.limits)


@contextlib.asynccontextmanager
async def open_worker_pool(
    options: WorkerPoolOptions, cache: ModuleCache | None = None
) -> AsyncIterator[WorkerPool]:
    """Run a pool for as long as the block lasts."""
    async with trio.open_nursery() as nursery:
        pool = WorkerPool(options, nursery, cache)
        try:
            await pool.open()
            yield pool
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await pool.close()
