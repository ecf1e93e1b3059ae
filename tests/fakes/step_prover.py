"""A prover of stretches that proves nothing: it goes on by an engine, from what the image reads."""

from collections.abc import Iterator
from dataclasses import replace

import trio

from ambientd.adapters.engines import open_engine
from ambientd.codec.digest import sha256
from ambientd.errors import RemoteProtocolError
from ambientd.model.execution import ExecutionLimits, ExecutionResult, OutcomeKind, TrapReason
from ambientd.ports.engine import PageLeftOutError
from ambientd.ports.proving import NotProven
from ambientd.rules.steps import STEP_IMAGE, STEP_VERSION
from ambientd.wasm.left_out import LeftOut, blocks
from ambientd.wasm.state import PAGE_BYTES, STATE_VERSION, ZERO_PAGE, Stage, State, StateHeader
from ambientd.wasm.step import CARRIED, LEFT_OUT
from ambientd.worker.pausing import Ended, PausableExecution, PausableModule, Paused
from tests.fakes.prover import sealed

VALUE_BYTES = 8


class FakeStepProver:
    """Gives the file that a proof of the step would be; it has to be told what the input is."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.made = 0
        self.pause_s = 0.0
        self.bent = False

    async def prove_step(self, words: bytes) -> bytes | NotProven:
        """Give a file whose seal holds for the fake verifier."""
        await trio.sleep(self.pause_s)
        try:
            statement = stated(words, self._data)
        except (PageLeftOutError, RemoteProtocolError) as error:
            return NotProven(f"the image gave up: {error}", is_final=True)
        self.made += 1
        if self.bent:
            statement = bytes([statement[0] ^ 1]) + statement[1:]
        return sealed(statement, self.made, STEP_IMAGE, STEP_VERSION)


def stated(words: bytes, data: bytes) -> bytes:
    """Give what the image of steps states of what it reads."""
    until_gas, pausable, state = read_words(words)
    module = PausableModule(open_engine("wasmtime").compile(pausable), sha256(pausable))
    state = replace(state, host=host_of(module, state, data))
    execution = PausableExecution.resume(module, state, data)
    try:
        stop = execution.run_until(until_gas)
    finally:
        execution.close()
    gas_max = state.header.limits.gas_max
    end, output, told, gas = bytes(32), sha256(b""), (0, 0, 0, 0), 0
    match stop:
        case Paused(state=then):
            end, gas = then.root(), then.gas_index
        case Ended(result=ExecutionResult() as result):
            reasons = ("", *(reason.value for reason in TrapReason))
            told = (1, int(result.kind), reasons.index(result.reason), len(result.output))
            output, gas = sha256(result.output), result.gas
        case _:
            raise RemoteProtocolError("an engine that could not go on")
    assert told[1] in (0, OutcomeKind.TRAPPED, OutcomeKind.OUT_OF_GAS, OutcomeKind.COMPLETED)
    narrow = b"".join(number.to_bytes(4, "big") for number in told)
    wide = (state.gas_index, until_gas, gas, gas_max)
    return state.root() + end + output + narrow + b"".join(n.to_bytes(8, "big") for n in wide)


def host_of(module: PausableModule, state: State, data: bytes) -> bytes:
    """Give the host's part of a state, of which the image reads nothing but its hash."""
    header = state.header
    execution = PausableExecution(module, data, header.limits, header.seed)
    try:
        stop = execution.run_until(0)
    finally:
        execution.close()
    assert isinstance(stop, Paused)
    assert sha256(stop.state.host) == header.host
    return stop.state.host


def read_words(words: bytes) -> tuple[int, bytes, State]:
    """Read what `step_words` wrote: how far to go, the module, and the state."""
    pieces = Pieces(words)
    until_gas, memory, wall, gas_max, output, log, gas_left = pieces.numbers(7, 8)
    count, host_bytes, pages, hashes, size = pieces.numbers(5, 4)
    digest, seed, host = (pieces.take(32) for _ in range(3))
    pausable, values = pieces.take(size), pieces.take(count * VALUE_BYTES)
    kinds = pieces.take(pages)
    memory_pages = tuple(
        pieces.take(PAGE_BYTES) if kind == CARRIED else ZERO_PAGE for kind in kinds
    )
    unknown = frozenset(at for at, kind in enumerate(kinds) if kind == LEFT_OUT)
    named = {block: pieces.take(32) for block in blocks(unknown)}
    assert len(named) == hashes
    assert not pieces.rest
    header = StateHeader(
        version=STATE_VERSION,
        module=sha256(pausable),
        input=digest,
        seed=seed,
        limits=ExecutionLimits(
            memory_bytes_max=memory,
            wall_ms_max=wall,
            gas_max=gas_max,
            output_bytes_max=output,
            log_bytes_max=log,
        ),
        stage=Stage.RUN,
        gas_left=gas_left,
        values=sha256(values),
        values_count=count,
        host=host,
        host_bytes=host_bytes,
        pages=pages,
    )
    left_out = LeftOut(unknown, named) if unknown else None
    return until_gas, pausable, State(header, values, b"", memory_pages, left_out)


class Pieces:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        """Give so many bytes."""
        found, self.rest = self.rest[:size], self.rest[size:]
        assert len(found) == size
        return found

    def numbers(self, count: int, size: int) -> Iterator[int]:
        """Give so many little-endian numbers."""
        return (int.from_bytes(self.take(size), "little") for _ in range(count))
