"""Executions that stop at a gas index and go on elsewhere (protocols/08).

The state of a paused execution lies outside the engine. It may go on in the same instance, in a
fresh one, in another engine or on another node, with the same outputs, gas and roots.
"""

from dataclasses import dataclass

from ambientd.codec import canonical
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import (
    PAGE_BYTES,
    Aborted,
    ExecutionLimits,
    ExecutionResult,
)
from ambientd.ports.engine import CompiledModule, EngineFailureError, Instance, TrapError
from ambientd.ports.worker_protocol import TRACE_POINTS_MAX
from ambientd.wasm.host import Host
from ambientd.wasm.host_wasi import WorldState
from ambientd.wasm.interface import GAS_EXPORT, START_EXPORT
from ambientd.wasm.left_out import LeftOut
from ambientd.wasm.pausing import (
    GROW_EXPORT,
    LOAD_EXPORT,
    NEXT_EXPORT,
    SAVE_EXPORT,
    STATE_EXPORT,
)
from ambientd.wasm.pausing_emit import LEAVING, NEXT_NEVER, NORMAL
from ambientd.wasm.state import (
    HOST_BYTES_MAX,
    STATE_VERSION,
    VALUE_BYTES,
    VALUES_MAX,
    ZERO_PAGE,
    Stage,
    State,
    StateHeader,
)
from ambientd.worker.execution import Execution

_EXPORTS = {
    Stage.START: START_EXPORT,
    Stage.ALLOC: "alloc",
    Stage.RUN: "run",
    Stage.COMMAND: "_start",
}
_STAGES = {export: stage for stage, export in _EXPORTS.items()}


@dataclass(frozen=True, slots=True)
class PausableModule:
    """A pausable module, compiled here, with the digest that states name it by."""

    compiled: CompiledModule
    digest: bytes


@dataclass(frozen=True, slots=True)
class Paused:
    """The execution stands at a checkpoint; this is all of it."""

    state: State


@dataclass(frozen=True, slots=True)
class Ended:
    """The execution is over."""

    result: ExecutionResult | Aborted


@dataclass(frozen=True, slots=True)
class _Held:
    """What enters a state again once memory and host are as they were."""

    values: bytes
    gas_left: int
    stage: Stage


class _PausedError(Exception):
    """An export came back because it was left half way."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.name)
        self.stage = stage


class _Values:
    """Serves `push` and `pop`, and passes every other import on to the task's host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.out: list[int] = []
        self.back: list[int] = []

    def taken(self) -> bytes:
        """Return what was pushed since the last time, 8 bytes each."""
        values, self.out = self.out, []
        return b"".join(value.to_bytes(VALUE_BYTES, "little", signed=True) for value in values)

    def call(self, name: str, *arguments: int) -> int | None:
        """Serve the import `name`."""
        if name == "push":
            if len(self.out) >= VALUES_MAX:
                raise _misfit("has too many values")
            self.out.append(arguments[0])
            return None
        if name == "pop":
            if not self.back:
                raise _misfit("has too few values")
            return self.back.pop()
        return self._host.call(name, *arguments)


class PausableExecution(Execution):
    """One execution of a pausable module, from its start or from a state."""

    def __init__(
        self, module: PausableModule, data: bytes, limits: ExecutionLimits, seed: bytes
    ) -> None:
        super().__init__(module.compiled, data, limits, seed)
        self._digest = module.digest
        self._input_digest = sha256(data)
        self._seed = seed
        self._values = _Values(self.host)
        self._held: _Held | None = None  # where the instance stands, if it is paused
        self._left_out: LeftOut | None = None

    @classmethod
    def resume(cls, module: PausableModule, state: State, data: bytes) -> "PausableExecution":
        """Set a state up in a fresh instance; raise RemoteProtocolError if it does not fit.

        EngineFailureError is this host's fault and no word about the state.
        """
        header = state.header
        execution = cls(module, data, header.limits, header.seed)
        if header.module != module.digest or header.input != execution._input_digest:
            raise _misfit("is of another module or input")
        ended = execution.open(execution._values)
        if isinstance(ended, Aborted):
            raise EngineFailureError(ended.reason)  # which says nothing of the state
        if ended is not None:
            raise _misfit("cannot be that of a module which does not start")
        try:
            execution._restore(state)
        except BaseException as error:
            execution.close()
            if isinstance(error, TrapError):
                raise _misfit(f"cannot be loaded: {error}") from None
            raise
        return execution

    def run_until(self, gas_index: int | None) -> Paused | Ended:
        """Run to the first checkpoint that is not before a gas index, or to the end."""
        left = NEXT_NEVER if gas_index is None else self.limits.gas_max - gas_index
        try:
            held, self._held = self._held, None
            result = self._begin(left) if held is None else self._enter(held, left)
        except _PausedError as paused:
            return self._take_state(paused.stage)
        return Ended(result)

    def gas_taken(self) -> int:
        """Return the gas taken so far; nothing is taken before there is an instance."""
        if self._instance is None:
            return 0
        return self.limits.gas_max - max(0, self.instance.global_value(GAS_EXPORT))

    def _begin(self, left: int) -> ExecutionResult | Aborted:
        ended = self.open(self._values)
        if ended is not None:
            return ended
        self.instance.set_global(GAS_EXPORT, self.limits.gas_max)
        self.instance.set_global(NEXT_EXPORT, left)
        return self.finish(None)

    def _enter(self, held: _Held, left: int) -> ExecutionResult | Aborted:
        # Popped from the end: globals, then frames from the outermost, then when to pause.
        self._values.back = [
            left,
            *(
                int.from_bytes(held.values[at : at + VALUE_BYTES], "little", signed=True)
                for at in range(0, len(held.values), VALUE_BYTES)
            ),
        ]
        self.instance.call(LOAD_EXPORT)
        if self.instance.global_value(GAS_EXPORT) != held.gas_left:
            raise _misfit("names other gas in its header than in its globals")
        return self.finish(_EXPORTS[held.stage])

    def _call(self, export: str, *arguments: int) -> int | None:
        result = super()._call(export, *arguments)
        state = self.instance.global_value(STATE_EXPORT)
        if self._values.back:
            raise _misfit("has frames that the module does not enter")
        if state == LEAVING:
            raise _PausedError(_STAGES[export])
        if state != NORMAL:
            raise _misfit("has no frames for the export under way")
        return result

    def _take_state(self, stage: Stage) -> Paused | Ended:
        instance = self.instance
        instance.call(SAVE_EXPORT)
        gas_left = instance.global_value(GAS_EXPORT)
        values = b"".join(
            value.to_bytes(VALUE_BYTES, "little", signed=True) for value in self._values.out
        )
        self._values.out = []
        host = canonical.encode(self.host.snapshot())
        unknown = frozenset[int]() if self._left_out is None else self._left_out.pages
        pages = tuple(
            ZERO_PAGE if page in unknown else _page(instance, page * PAGE_BYTES)
            for page in range(instance.memory_bytes() // PAGE_BYTES)
        )
        header = StateHeader(
            version=STATE_VERSION,
            module=self._digest,
            input=self._input_digest,
            seed=self._seed,
            limits=self.limits,
            stage=stage,
            gas_left=gas_left,
            values=sha256(values),
            values_count=len(values) // VALUE_BYTES,
            host=sha256(host),
            host_bytes=len(host),
            pages=len(pages),
        )
        self._held = _Held(values, gas_left, stage)
        if gas_left < 0:
            # Gas ran out since the last look: the next charge, just ahead, ends the execution.
            return self.run_until(None)
        return Paused(State(header, values, host, pages, self._left_out))

    def _restore(self, state: State) -> None:
        instance = self.instance
        pages_now = instance.memory_bytes() // PAGE_BYTES
        more = state.header.pages - pages_now
        if more < 0 or (more and instance.call(GROW_EXPORT, more) != pages_now):
            raise _misfit(f"has {state.header.pages} pages of memory, which the module cannot have")
        for index, page in enumerate(state.pages):
            if index < pages_now or page is not ZERO_PAGE:
                instance.write(index * PAGE_BYTES, page)
        if state.left_out is not None:
            self._left_out = state.left_out
            for number in sorted(state.left_out.pages):
                instance.leave_out(number)
        world: WorldState = canonical.decode(state.host, WorldState, HOST_BYTES_MAX)
        self.host.restore(world)
        self._held = _Held(state.values, state.header.gas_left, Stage(state.header.stage))


def _page(instance: Instance, address: int) -> bytes:
    page = instance.read(address, PAGE_BYTES)
    return ZERO_PAGE if page == ZERO_PAGE else page


def _misfit(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"the execution state {what}")


def trace_targets(
    execution: PausableExecution, targets: tuple[int, ...]
) -> tuple[tuple[TracePoint, ...], Ended | None]:
    """Note the root at the first checkpoint not before each target; the end, if that is sooner."""
    points: list[TracePoint] = []
    for target in targets:
        if points and points[-1].gas_index >= target:
            points.append(points[-1])
            continue
        stop = execution.run_until(target)
        if isinstance(stop, Ended):
            return tuple(points), stop
        points.append(TracePoint(gas_index=stop.state.gas_index, root=stop.state.root()))
        del stop  # memory for the next state
    return tuple(points), None


def execute_with_trace(
    module: PausableModule, data: bytes, limits: ExecutionLimits, seed: bytes, gas_step: int
) -> tuple[ExecutionResult | Aborted, int, tuple[TracePoint, ...]]:
    """Execute, and note the state's root at the first checkpoint in each stretch of `gas_step`.

    Between outcome and trace stands the gas that was taken before the end, whatever a trap costs.
    """
    if gas_step < 1:
        msg = f"gas_step is {gas_step}; it must be at least 1"
        raise ValueError(msg)
    trace: list[TracePoint] = []
    execution = PausableExecution(module, data, limits, seed)
    try:
        index = 0
        while True:
            more = len(trace) < TRACE_POINTS_MAX
            stop = execution.run_until((index // gas_step + 1) * gas_step if more else None)
            if isinstance(stop, Ended):
                return stop.result, execution.gas_taken(), tuple(trace)
            index = stop.state.gas_index
            trace.append(TracePoint(gas_index=index, root=stop.state.root()))
            del stop  # memory for the next state
    finally:
        execution.close()
