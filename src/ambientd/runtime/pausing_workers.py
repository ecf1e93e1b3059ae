"""Executions that stop at a gas index and go on, in locked-down processes of the daemon.

A dispute is rare, so the process that pauses is started for the first one. It makes a module
pausable, executes it, and keeps it while it lives: the rounds of a dispute follow each other. What
it says is held against what was asked; whatever it or this host could not do is `Aborted`.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import trio

from ambientd.codec.digest import sha256
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import AbortCause, Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.paused_state import PausedState, checked_state, pieces_of, requests_for
from ambientd.ports.worker_protocol import (
    REASON_CHARACTERS_MAX,
    STATE_PIECE_BYTES,
    Executed,
    ExecutePausable,
    ExecutionPaused,
    ModulePrepared,
    ModuleRefused,
    PageLeftOut,
    PreparePausable,
    ReplayStretch,
    Reply,
    Request,
    StatePiece,
    StateRefused,
    StateTaken,
    StretchReplayed,
    TargetsTraced,
    TraceTargets,
    is_plausible,
    is_plausible_answer,
)
from ambientd.rules.executions import memory_need_bytes
from ambientd.runtime.control_groups import ControlGroups
from ambientd.runtime.memory_budget import MemoryBudget
from ambientd.runtime.worker_crew import WorkerCrew
from ambientd.runtime.worker_options import WorkerPoolOptions
from ambientd.runtime.worker_process import WorkerProcess
from ambientd.wasm.prepare import Refused

PIECE_MS_MAX = 20_000
# A pausable module takes up to twice as long, and the roots of its states come on top.
WALL_TIMES_MAX = 4
_STATE_COPIES = 2  # the pages of a state, and their encoded form


@dataclass(frozen=True, slots=True)
class PausableCall:
    """A submitted module, and what it is executed on."""

    module: bytes
    input: bytes
    limits: ExecutionLimits
    seed: bytes


class PausingStoppedError(Exception):
    """This host could not go on."""

    def __init__(self, aborted: Aborted) -> None:
        super().__init__(aborted.reason)
        self.aborted = aborted


class PausingWorkers:
    """One process that pauses, from the first time that one is needed."""

    def __init__(
        self,
        options: WorkerPoolOptions,
        nursery: trio.Nursery,
        groups: ControlGroups | None,
        memory: MemoryBudget,
    ) -> None:
        self._options = options
        self._memory = memory
        self.crew = WorkerCrew(
            options,
            nursery,
            groups,
            size=1,
            uses_max=options.executions_max,
            arguments=("--pausing",),
        )
        self._opening = trio.Lock()
        self._is_open = False
        self._pausable: dict[bytes, tuple[bytes, bytes]] = {}

    async def close(self) -> None:
        """End the process, if there is one."""
        await self.crew.close()

    @contextlib.asynccontextmanager
    async def begin(self, call: PausableCall) -> AsyncIterator["PausingRun | Refused"]:
        """Lend the process with the module made pausable; or say why no one can pause it.

        Raises PausingStoppedError, from the block as well.
        """
        limits = call.limits
        need_bytes = memory_need_bytes(limits, len(call.input))
        if need_bytes > self._memory.total_bytes:
            reason = f"the execution needs {need_bytes} bytes, the budget is smaller"
            raise PausingStoppedError(Aborted(reason=reason, cause=AbortCause.MEMORY))
        need_bytes += _STATE_COPIES * limits.memory_bytes_max
        await self._open()
        async with (
            self.crew.lend() as process,
            self._memory.reserve(min(need_bytes, self._memory.total_bytes)),
        ):
            made = await self._make_pausable(process, call.module)
            if isinstance(made, Refused):
                yield made
            else:
                yield PausingRun(self.crew, process, call, self._options, *made)

    async def _open(self) -> None:
        async with self._opening:
            if not self._is_open:
                failure = await self.crew.open()
                if failure is not None:
                    raise PausingStoppedError(Aborted(reason=str(failure)))
                self._is_open = True

    async def _make_pausable(
        self, process: WorkerProcess, module: bytes
    ) -> tuple[bytes, bytes] | Refused:
        """Give the digests of the pausable module and of the prepared one beneath."""
        source = sha256(module)
        known = self._pausable.get(source)
        if known is not None and process.loaded.get(known[0]) == source:
            return known
        request = PreparePausable(module=module, cpu_ms_max=self._options.prepare_cpu_ms_max)
        limit_ms, what = self._options.prepare_wall_ms_max, "making the module pausable"
        reply = await self.crew.reply_within(process, process.ask(request), limit_ms, what)
        if isinstance(reply, ModuleRefused):
            return Refused(reply.reason[:REASON_CHARACTERS_MAX])
        if not isinstance(reply, ModulePrepared):
            raise PausingStoppedError(await self.crew.no_answer(process, reply))
        made = sha256(reply.module), reply.beneath
        process.loaded.clear()  # of one module at a time is it known that it is still there
        process.loaded[made[0]] = source
        self._pausable = {source: made}
        return made


class PausingRun:
    """A module that can be paused, in the process that has it; as many goes as are wanted."""

    def __init__(
        self,
        crew: WorkerCrew,
        process: WorkerProcess,
        call: PausableCall,
        options: WorkerPoolOptions,
        pausable: bytes,
        prepared: bytes,
    ) -> None:
        self._options = options
        self.pausable = pausable
        self.prepared = prepared
        self._crew = crew
        self._process = process
        self._call = call

    @property
    def pid(self) -> int:
        """Give the id of the process that executes."""
        return self._process.pid

    async def pause(
        self, gas_index: int, start: PausedState | None
    ) -> PausedState | ExecutionResult | StateRefused:
        """Execute to the first checkpoint not before a gas index, or to the end before it."""
        call = self._call
        request = ExecutePausable(
            prepared=self.pausable,
            input=call.input,
            limits=call.limits,
            seed=call.seed,
            pause_at=gas_index,
            root=None if start is None else start.root,
        )
        match reply := await self._go_on(request, start):
            case ExecutionPaused():
                return await self._take_out(reply, request)
            case Executed(result=result) if is_plausible(result, call.limits):
                return result
            case StateRefused() if start is not None:
                return StateRefused(reason=reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                raise await self._stopped(reply)

    async def trace(
        self, targets: tuple[int, ...], start: PausedState | None
    ) -> TargetsTraced | StateRefused:
        """Give the root at the first checkpoint not before each target, or the end."""
        call = self._call
        request = TraceTargets(
            prepared=self.pausable,
            input=call.input,
            limits=call.limits,
            seed=call.seed,
            targets=targets,
            root=None if start is None else start.root,
        )
        match reply := await self._go_on(request, start):
            case TargetsTraced() if is_plausible_answer(reply, request):
                return reply
            case StateRefused() if start is not None:
                return StateRefused(reason=reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                raise await self._stopped(reply)

    async def replay(
        self, until_gas: int, start: PausedState
    ) -> TracePoint | ExecutionResult | PageLeftOut | StateRefused:
        """Give where an execution leads from a state that may have pages left out."""
        call = self._call
        request = ReplayStretch(
            prepared=self.pausable,
            input=call.input,
            limits=call.limits,
            seed=call.seed,
            pause_at=until_gas,
            root=start.root,
        )
        match reply := await self._go_on(request, start):
            case StretchReplayed(point=point):
                return point
            case Executed(result=result) if is_plausible(result, call.limits):
                return result
            case PageLeftOut():
                return reply
            case StateRefused():
                return StateRefused(reason=reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                raise await self._stopped(reply)

    async def module(self) -> bytes:
        """Make the pausable module once more, for its bytes: few ask for them."""
        options = self._options
        request = PreparePausable(module=self._call.module, cpu_ms_max=options.prepare_cpu_ms_max)
        what = "making the module pausable"
        reply = await self._ask(request, options.prepare_wall_ms_max, what)
        if not isinstance(reply, ModulePrepared) or sha256(reply.module) != self.pausable:
            raise await self._stopped(reply)
        return reply.module

    async def _go_on(
        self, request: ExecutePausable | TraceTargets | ReplayStretch, start: PausedState | None
    ) -> Reply | Aborted:
        if start is not None:
            for piece in pieces_of(start):
                reply = await self._ask(piece, PIECE_MS_MAX, "handing over the state")
                if not isinstance(reply, StateTaken):
                    raise await self._stopped(reply)
        limit_ms = WALL_TIMES_MAX * request.limits.wall_ms_max
        return await self._ask(request, limit_ms, "the execution in parts")

    async def _take_out(self, paused: ExecutionPaused, request: ExecutePausable) -> PausedState:
        pieces: list[bytes] = []
        for asked in requests_for(paused):
            reply = await self._ask(asked, PIECE_MS_MAX, "taking the state")
            if not isinstance(reply, StatePiece) or len(reply.data) > STATE_PIECE_BYTES:
                raise await self._stopped(reply)
            pieces.append(reply.data)
        data = b"".join(pieces)
        pieces.clear()  # memory for the pages
        state = await trio.to_thread.run_sync(checked_state, data, paused, request)
        if state is None:
            raise await self._stopped(paused)
        return state

    async def _ask(self, request: Request, limit_ms: int, what: str) -> Reply | Aborted:
        asking = self._process.ask(request)
        return await self._crew.reply_within(self._process, asking, limit_ms, what)

    async def _stopped(self, reply: Reply | Aborted) -> PausingStoppedError:
        return PausingStoppedError(await self._crew.no_answer(self._process, reply))
