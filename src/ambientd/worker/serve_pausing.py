"""Answer what the daemon asks about pausable modules, too (protocols/08).

One state is kept between requests, as bytes. Whoever wants to move an execution takes it from here
piece by piece, so nothing is lost with this process once the state is out of it.
"""

from dataclasses import dataclass, field

from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted
from ambientd.ports.engine import CompiledModule, EngineFailureError, PageLeftOutError
from ambientd.ports.worker_protocol import (
    REASON_CHARACTERS_MAX,
    STATE_PIECE_BYTES,
    Executed,
    ExecutePausable,
    ExecutionAborted,
    ExecutionPaused,
    ExecutionTraced,
    GiveState,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    PageLeftOut,
    PreparePausable,
    ReplayStretch,
    Reply,
    Request,
    StatePiece,
    StateRefused,
    StateTaken,
    StretchReplayed,
    TakeState,
    TargetsTraced,
    TraceExecution,
    TraceTargets,
)
from ambientd.wasm.interface import GAS_EXPORT
from ambientd.wasm.pausing import (
    GROW_EXPORT,
    LOAD_EXPORT,
    NEXT_EXPORT,
    SAVE_EXPORT,
    STATE_EXPORT,
    make_pausable,
)
from ambientd.wasm.prepare import Refused
from ambientd.wasm.state import (
    STATE_BYTES_MAX,
    decode_partial,
    decode_state,
    encode_state,
    is_partial,
)
from ambientd.worker.pausing import (
    PausableExecution,
    PausableModule,
    Paused,
    execute_with_trace,
    trace_targets,
)
from ambientd.worker.serve import CpuLimit, Session


@dataclass
class PausingSession(Session):
    """A session that can also pause executions, resume and trace them."""

    _pieces: list[bytes] = field(default_factory=list)  # of the kept state

    def _answer(self, request: Request) -> Reply:
        try:
            return self._answer_about_pausing(request)
        except EngineFailureError as failure:
            # While a state is set up, outside the calls that `Execution` looks after.
            return ExecutionAborted(aborted=Aborted(reason=str(failure)))

    def _answer_about_pausing(self, request: Request) -> Reply:
        match request:
            case PreparePausable():
                return self._prepare_pausable(request)
            case TakeState():
                return self._take(request)
            case GiveState():
                return self._give(request.offset)
            case ExecutePausable() | TraceExecution() | TraceTargets() | ReplayStretch():
                module = self._ready(request.prepared, request.seed, request.limits)
                if isinstance(module, ModuleUnknown | ExecutionAborted):
                    return module
                if not _is_pausable(module):
                    return ModuleRefused(reason="the module was not made pausable", detail="")
                pausable = PausableModule(module, request.prepared)
                if isinstance(request, TraceExecution):
                    return _trace(pausable, request)
                if isinstance(request, TraceTargets):
                    return self._trace_targets(pausable, request)
                if isinstance(request, ReplayStretch):
                    return self._replay(pausable, request)
                return self._execute_pausable(pausable, request)
            case _:
                self._pieces = []  # an ordinary execution shall have the memory
                return super()._answer(request)

    def _prepare_pausable(self, request: PreparePausable) -> Reply:
        with CpuLimit(request.cpu_ms_max):
            made = make_pausable(request.module)
            if isinstance(made, Refused):
                return ModuleRefused(reason=made.reason, detail="")
            refused = self._keep(made.module)
        return refused or ModulePrepared(
            module=made.module,
            interface=made.prepared.interface.value,
            imports=made.prepared.imports,
            beneath=sha256(made.prepared.module),
        )

    def _take(self, request: TakeState) -> Reply:
        if request.offset == 0:
            self._pieces = []
        kept_bytes = sum(map(len, self._pieces))
        if request.offset != kept_bytes or kept_bytes + len(request.data) > STATE_BYTES_MAX:
            msg = f"piece of a state at {request.offset}, where {kept_bytes} bytes of it are kept"
            raise RemoteProtocolError(msg)
        self._pieces.append(request.data)
        return StateTaken()

    def _give(self, offset: int) -> Reply:
        state = b"".join(self._pieces)
        if not 0 <= offset < len(state):
            msg = f"no piece of a state at {offset}, {len(state)} bytes are kept"
            raise RemoteProtocolError(msg)
        end = offset + STATE_PIECE_BYTES
        self._pieces = [] if end >= len(state) else [state]
        return StatePiece(data=state[offset:end])

    def _execute_pausable(self, module: PausableModule, request: ExecutePausable) -> Reply:
        try:
            execution = self._entered(module, request)
            try:
                stop = execution.run_until(request.pause_at)
            finally:
                execution.close()  # its memory is not needed beside the state's
        except RemoteProtocolError as error:
            return StateRefused(reason=str(error)[:REASON_CHARACTERS_MAX])
        if isinstance(stop, Paused):
            encoded = encode_state(stop.state)
            self._pieces = [encoded]
            return ExecutionPaused(
                gas_index=stop.state.gas_index, root=stop.state.root(), size_bytes=len(encoded)
            )
        if isinstance(stop.result, Aborted):
            return ExecutionAborted(aborted=stop.result)
        return Executed(result=stop.result)

    def _trace_targets(self, module: PausableModule, request: TraceTargets) -> Reply:
        if list(request.targets) != sorted(set(request.targets)):
            msg = "the targets of a trace ascend"
            raise RemoteProtocolError(msg)
        try:
            execution = self._entered(module, request)
            try:
                points, stop = trace_targets(execution, request.targets)
                gas_reached = execution.gas_taken()
            finally:
                execution.close()
        except RemoteProtocolError as error:
            return StateRefused(reason=str(error)[:REASON_CHARACTERS_MAX])
        result = None if stop is None else stop.result
        if isinstance(result, Aborted):
            return ExecutionAborted(aborted=result)
        return TargetsTraced(points=points, result=result, gas_reached=gas_reached)

    def _replay(self, module: PausableModule, request: ReplayStretch) -> Reply:
        try:
            execution = self._entered(module, request)
            try:
                stop = execution.run_until(request.pause_at)
            finally:
                execution.close()
        except RemoteProtocolError as error:
            return StateRefused(reason=str(error)[:REASON_CHARACTERS_MAX])
        except PageLeftOutError as missed:
            return PageLeftOut(page=missed.page)
        if isinstance(stop, Paused):
            point = TracePoint(gas_index=stop.state.gas_index, root=stop.state.root())
            return StretchReplayed(point=point)
        if isinstance(stop.result, Aborted):
            return ExecutionAborted(aborted=stop.result)
        return Executed(result=stop.result)

    def _entered(
        self, module: PausableModule, request: ExecutePausable | TraceTargets | ReplayStretch
    ) -> PausableExecution:
        """Begin, or take the kept state up; raise RemoteProtocolError if it does not fit."""
        encoded, self._pieces = b"".join(self._pieces), []
        if request.root is None:
            return PausableExecution(module, request.input, request.limits, request.seed)
        # Only a replay, which hands no state on, can do without pages.
        is_whole = not isinstance(request, ReplayStretch) or not is_partial(encoded)
        state = (decode_state if is_whole else decode_partial)(encoded)
        del encoded  # memory for the instance
        if (state.header.limits, state.header.seed) != (request.limits, request.seed):
            msg = "the execution state is of other limits or another seed"
            raise RemoteProtocolError(msg)
        if state.root() != request.root:
            msg = "the execution state does not have the root that it should have"
            raise RemoteProtocolError(msg)
        return PausableExecution.resume(module, state, request.input)


def _trace(module: PausableModule, request: TraceExecution) -> Reply:
    if request.gas_step < 1:
        msg = f"gas step of {request.gas_step}, at least 1 is needed"
        raise RemoteProtocolError(msg)
    result, gas_reached, trace = execute_with_trace(
        module, request.input, request.limits, request.seed, request.gas_step
    )
    if isinstance(result, Aborted):
        return ExecutionAborted(aborted=result)
    return ExecutionTraced(result=result, gas_reached=gas_reached, trace=trace)


def _is_pausable(module: CompiledModule) -> bool:
    shape = module.shape
    return {GAS_EXPORT, STATE_EXPORT, NEXT_EXPORT} <= shape.integer_globals and {
        SAVE_EXPORT,
        LOAD_EXPORT,
        GROW_EXPORT,
    } <= shape.functions.keys()
