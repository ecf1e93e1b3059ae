"""States that nobody honest made: whatever they hold, no engine's own limits become an outcome."""

import msgspec

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.wasm.limits import PrepareLimits
from ambientd.wasm.pausing import Pausable, make_pausable
from ambientd.wasm.state import VALUE_BYTES, State
from ambientd.worker.pausing import Ended, PausableExecution, PausableModule, Paused
from tests.engines import engines
from tests.wasm.everywhere import assembled
from tests.worker.small_stack import SmallStack

SEED = bytes(32)
LIMITS = ExecutionLimits(gas_max=1_000_000)
FRAMES = 2_000  # more than a small stack holds
# Calls itself 50 times; then the innermost call loops, calls nothing more, and all return.
NESTED = """
  (func $nested (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $nested (i32.sub (local.get 0) (i32.const 1)))))
      (else (loop $l (br_if $l (i32.load (i32.const 8)))) (i32.const 0))))
  (func $body (i32.store (i32.const 4096) (call $nested (i32.const 50))))"""
FRAME_VALUES = 5  # parameter, depth, two operands, point


def innermost(module: PausableModule) -> State:
    """Pause in the loop of the innermost call."""
    index = 0
    while True:
        execution = PausableExecution(module, b"", LIMITS, SEED)
        stop = execution.run_until(index)
        execution.close()
        assert isinstance(stop, Paused)
        values = numbers(stop.state.values)
        if len(values) > 50 * FRAME_VALUES and values[0] == 0 and values[FRAME_VALUES - 1] > 1:
            return stop.state
        index = stop.state.gas_index + 1


def numbers(values: bytes) -> list[int]:
    pieces = (values[at : at + VALUE_BYTES] for at in range(0, len(values), VALUE_BYTES))
    return [int.from_bytes(piece, "little") for piece in pieces]


def holding(state: State, values: list[int]) -> State:
    data = b"".join(value.to_bytes(VALUE_BYTES, "little") for value in values)
    header = msgspec.structs.replace(state.header, values=sha256(data), values_count=len(values))
    return State(header, data, state.host, state.pages)


def test_a_stack_that_a_false_state_fills_is_never_an_outcome() -> None:
    made = make_pausable(assembled(NESTED))
    assert isinstance(made, Pausable)
    digest = sha256(made.module)
    modules = [
        PausableModule(engine.compile(made.module), digest)
        for engine in (SmallStack(), *map(open_engine, engines()))
    ]
    true = innermost(modules[-1])
    values = numbers(true.values)
    values[FRAME_VALUES:FRAME_VALUES] = values[FRAME_VALUES : 2 * FRAME_VALUES] * FRAMES
    values[-1] = PrepareLimits().call_depth_weight_max + 1  # the depth, of the globals the last
    results = []
    for module in modules:
        execution = PausableExecution.resume(module, holding(true, values), b"")
        stop = execution.run_until(None)
        execution.close()
        assert isinstance(stop, Ended)
        results.append(stop.result)
    small, *others = results
    assert isinstance(small, Aborted)
    outcomes = set()
    for each in others:
        assert isinstance(each, ExecutionResult)
        outcomes.add((each.kind, each.output, each.gas))
    assert len(outcomes) == 1
