"""The session that pauses: one state at a time, pieces in order, nothing for ordinary processes."""

import subprocess
import sys

import pytest

from ambientd.adapters.wasmtime_engine import WasmtimeEngine
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted, ExecutionLimits
from ambientd.ports.engine import CompiledModule, EngineFailureError, HostCalls, Instance
from ambientd.ports.worker_protocol import (
    STATE_PIECE_BYTES,
    Executed,
    ExecuteModule,
    ExecutePausable,
    ExecutionAborted,
    ExecutionPaused,
    ExecutionTraced,
    GiveState,
    ModulePrepared,
    ModuleRefused,
    ModuleUnknown,
    PrepareModule,
    PreparePausable,
    Request,
    StatePiece,
    StateRefused,
    StateTaken,
    TakeState,
    TargetsTraced,
    TraceExecution,
    TraceTargets,
)
from ambientd.wasm.pausing import LOAD_EXPORT
from ambientd.wasm.state import STATE_BYTES_MAX
from ambientd.worker.serve import Session
from ambientd.worker.serve_pausing import PausingSession
from tests.modules.compiled import module, prepared

ENGINE = WasmtimeEngine()
LIMITS = ExecutionLimits(gas_max=100_000)
SEED = bytes(32)


def pausable(here: PausingSession) -> bytes:
    reply = here.answer(PreparePausable(module=module("loop"), cpu_ms_max=10_000))
    assert isinstance(reply, ModulePrepared), reply
    return sha256(reply.module)


def until(digest: bytes, pause_at: int | None, root: bytes | None = None) -> ExecutePausable:
    return ExecutePausable(
        prepared=digest, input=b"", limits=LIMITS, seed=SEED, pause_at=pause_at, root=root
    )


def tracing(digest: bytes, gas_step: int) -> TraceExecution:
    return TraceExecution(prepared=digest, input=b"", limits=LIMITS, seed=SEED, gas_step=gas_step)


def targeting(digest: bytes, targets: tuple[int, ...], root: bytes | None = None) -> TraceTargets:
    return TraceTargets(
        prepared=digest, input=b"", limits=LIMITS, seed=SEED, targets=targets, root=root
    )


def pause(here: PausingSession, digest: bytes, index: int) -> tuple[ExecutionPaused, bytes]:
    paused = here.answer(until(digest, index))
    assert isinstance(paused, ExecutionPaused), paused
    piece = here.answer(GiveState(offset=0))
    assert isinstance(piece, StatePiece)
    assert len(piece.data) == paused.size_bytes
    return paused, piece.data


def test_a_state_that_is_given_back_goes_on_and_ends_as_the_whole() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    whole = here.answer(until(digest, None))
    assert isinstance(whole, Executed)
    paused, state = pause(here, digest, 50_000)
    half = len(state) // 2
    assert here.answer(TakeState(offset=0, data=state[:half])) == StateTaken()
    assert here.answer(TakeState(offset=half, data=state[half:])) == StateTaken()
    assert here.answer(until(digest, None, paused.root)) == whole
    traced = here.answer(tracing(digest, 50_000))
    assert isinstance(traced, ExecutionTraced)
    assert (traced.result, traced.gas_reached) == (whole.result, LIMITS.gas_max)
    assert (traced.trace[0].gas_index, traced.trace[0].root) == (paused.gas_index, paused.root)


def test_a_state_is_forgotten_once_it_is_used_or_handed_out() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    paused, state = pause(here, digest, 50_000)
    with pytest.raises(RemoteProtocolError, match="0 bytes are kept"):
        here.answer(GiveState(offset=0))
    here.answer(TakeState(offset=0, data=state))
    assert isinstance(here.answer(until(digest, None, paused.root)), Executed)
    assert isinstance(here.answer(until(digest, None, paused.root)), StateRefused)


def test_an_ordinary_execution_leaves_no_state_behind() -> None:
    here = PausingSession(ENGINE)
    here.answer(TakeState(offset=0, data=b"left"))
    here.answer(PrepareModule(module=module("echo"), cpu_ms_max=10_000))
    with pytest.raises(RemoteProtocolError, match="0 bytes are kept"):
        here.answer(GiveState(offset=0))


def test_pieces_come_in_order_and_up_to_the_limit() -> None:
    here = PausingSession(ENGINE)
    with pytest.raises(RemoteProtocolError, match="at 1, where 0 bytes"):
        here.answer(TakeState(offset=1, data=b"late"))
    piece = bytes(STATE_PIECE_BYTES)
    whole = STATE_BYTES_MAX // STATE_PIECE_BYTES
    for number in range(whole):
        here.answer(TakeState(offset=number * STATE_PIECE_BYTES, data=piece))
    with pytest.raises(RemoteProtocolError, match="piece of a state"):
        here.answer(TakeState(offset=whole * STATE_PIECE_BYTES, data=piece))
    assert here.answer(TakeState(offset=0, data=b"another")) == StateTaken()


def test_only_modules_that_were_made_pausable_can_be_paused() -> None:
    here = PausingSession(ENGINE)
    assert here.answer(until(bytes(32), 5)) == ModuleUnknown()
    here.answer(PrepareModule(module=module("echo"), cpu_ms_max=10_000))
    for request in (until(sha256(prepared("echo")), 5), tracing(sha256(prepared("echo")), 5)):
        assert isinstance(here.answer(request), ModuleRefused)


def test_a_pausable_module_can_be_executed_as_any_other() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    ordinary = here.answer(ExecuteModule(prepared=digest, input=b"", limits=LIMITS, seed=SEED))
    assert isinstance(ordinary, Executed)
    assert ordinary == here.answer(until(digest, None))


@pytest.mark.parametrize(
    "request_",
    [
        PreparePausable(module=b"", cpu_ms_max=1),
        TakeState(offset=0, data=b""),
        GiveState(offset=0),
        until(bytes(32), None),
        tracing(bytes(32), 1),
    ],
    ids=lambda request: type(request).__name__,
)
def test_an_ordinary_process_is_not_for_pausing(request_: Request) -> None:
    with pytest.raises(RemoteProtocolError, match="not started for pausing"):
        Session(ENGINE).answer(request_)


def test_an_ordinary_process_does_not_even_load_what_pausing_needs() -> None:
    look = "import sys, ambientd.worker.__main__; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "ambientd.worker.serve" in loaded
    assert not {"ambientd.wasm.pausing", "ambientd.wasm.state", "ambientd.worker.pausing"} & set(
        loaded
    )


class TiredEngine(WasmtimeEngine):
    """wasmtime, but instances give up at a certain step; counts those that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.fails_at = ""
        self.open = 0

    def compile(self, module: bytes) -> CompiledModule:
        return TiredModule(self, super().compile(module))


class TiredModule:
    def __init__(self, engine: TiredEngine, module: CompiledModule) -> None:
        self.shape, self.serialize = module.shape, module.serialize
        self._engine, self._module = engine, module

    def instantiate(self, memory_bytes_max: int, host: HostCalls | None) -> Instance:
        if self._engine.fails_at == "instantiate":
            raise EngineFailureError("enough")
        self._engine.open += 1
        return TiredInstance(self._engine, self._module.instantiate(memory_bytes_max, host))


class TiredInstance:
    def __init__(self, engine: TiredEngine, instance: Instance) -> None:
        self._engine, self._instance = engine, instance
        self.memory_bytes, self.read = instance.memory_bytes, instance.read
        self.global_value, self.set_global = instance.global_value, instance.set_global

    def write(self, address: int, data: bytes) -> None:
        self._reach("write")
        self._instance.write(address, data)

    def call(self, name: str, *arguments: int) -> int | None:
        self._reach(name)
        return self._instance.call(name, *arguments)

    def close(self) -> None:
        self._engine.open -= 1
        self._instance.close()

    def _reach(self, step: str) -> None:
        if step == self._engine.fails_at:
            raise EngineFailureError("enough")


@pytest.mark.parametrize("step", ["instantiate", "write", LOAD_EXPORT])
def test_an_engine_that_gives_up_over_a_state_aborts_and_leaves_no_instance(step: str) -> None:
    engine = TiredEngine()
    here = PausingSession(engine)
    digest = pausable(here)
    paused, state = pause(here, digest, 50_000)
    here.answer(TakeState(offset=0, data=state))
    engine.fails_at = step
    aborted = ExecutionAborted(aborted=Aborted(reason="enough"))
    assert here.answer(until(digest, None, paused.root)) == aborted
    assert engine.open == 0
    engine.fails_at = ""
    here.answer(TakeState(offset=0, data=state))
    assert isinstance(here.answer(until(digest, None, paused.root)), Executed)


def test_targets_that_one_checkpoint_is_the_first_behind_have_the_same_point() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    paused, state = pause(here, digest, 50_000)
    index = paused.gas_index
    found = here.answer(targeting(digest, (10_000, index - 1, index, index + 1)))
    assert isinstance(found, TargetsTraced), found
    first, before, at, after = found.points
    assert (before, at) == (TracePoint(gas_index=index, root=paused.root),) * 2
    assert first.gas_index < index < after.gas_index
    here.answer(TakeState(offset=0, data=state))
    again = here.answer(targeting(digest, (index + 1, 60_000), paused.root))
    assert isinstance(again, TargetsTraced), again
    assert (again.points[0], again.result) == (after, None)


def test_an_execution_that_ends_before_a_target_says_how() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    whole = here.answer(until(digest, None))
    assert isinstance(whole, Executed)
    found = here.answer(targeting(digest, (50_000, LIMITS.gas_max + 1)))
    assert isinstance(found, TargetsTraced), found
    assert (len(found.points), found.result) == (1, whole.result)
    assert found.gas_reached == LIMITS.gas_max


def test_targets_ascend() -> None:
    here = PausingSession(ENGINE)
    digest = pausable(here)
    with pytest.raises(RemoteProtocolError, match="ascend"):
        here.answer(targeting(digest, (2, 1)))
    assert isinstance(here.answer(targeting(digest, (1,), bytes(32))), StateRefused)
