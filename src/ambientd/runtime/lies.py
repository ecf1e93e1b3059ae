"""How a node lies on purpose, so that tests and demonstrations have something to find."""

from dataclasses import dataclass

from msgspec.structs import replace

from ambientd.model.dispute import TracePoint
from ambientd.model.execution import ExecutionResult
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import StateRefused, TargetsTraced
from ambientd.runtime.pausing_workers import PausingRun
from ambientd.wasm.state import ZERO_PAGE, State, decode_state, encode_state


@dataclass(frozen=True, slots=True)
class ExecutorLies:
    """What is wrong with this node's answers: each output's last byte, or one step on the way."""

    corrupt_output: bool = False
    wrong_step_gas: int | None = None

    def told(self, outcome: ExecutionResult) -> ExecutionResult:
        """Give an outcome as this node tells it: another last byte, or one where there was none."""
        if not self.corrupt_output:
            return outcome
        output = outcome.output
        changed = output[:-1] + bytes([output[-1] ^ 1]) if output else b"\x01"
        return replace(outcome, output=changed)


TRUTH = ExecutorLies()


def with_one_bit_wrong(state: PausedState) -> PausedState:
    """Flip a bit of the first byte of memory that is not zero, or of the very first one."""
    right = decode_state(state.data)
    pages = list(right.pages)
    number = next((n for n, page in enumerate(pages) if page != ZERO_PAGE), 0)
    if pages:
        page = bytearray(pages[number])
        at = next((n for n, byte in enumerate(page) if byte), 0)
        page[at] ^= 0x80
        pages[number] = bytes(page)
    wrong = State(right.header, right.values, right.host, tuple(pages))
    return PausedState(root=wrong.root(), data=encode_state(wrong))


class StrayRun:
    """A run that is right up to a gas index, wrong there in one bit, and goes on from that."""

    def __init__(self, run: PausingRun, gas_index: int) -> None:
        self._run = run
        self._gas_index = gas_index
        self._stray: PausedState | ExecutionResult | StateRefused | None = None

    async def pause(
        self, gas_index: int, start: PausedState | None
    ) -> PausedState | ExecutionResult | StateRefused:
        """Execute to a gas index, or to the end before it."""
        stray = await self._wrong_state()
        if stray is None or _index(start) >= _index(stray):
            return await self._run.pause(gas_index, start)
        if gas_index > _index(stray):
            return await self._run.pause(gas_index, stray)
        found = await self._run.pause(gas_index, start)
        is_there = isinstance(found, PausedState) and _index(found) >= _index(stray)
        return stray if is_there else found

    async def trace(
        self, targets: tuple[int, ...], start: PausedState | None
    ) -> TargetsTraced | StateRefused:
        """Give the root at the first checkpoint not before each target, or the end."""
        found = await self._run.trace(targets, start)
        stray = await self._wrong_state()
        if isinstance(found, StateRefused) or stray is None or _index(start) >= _index(stray):
            return found
        right = [point for point in found.points if point.gas_index < _index(stray)]
        rest = targets[len(right) :]
        here = [target for target in rest if target <= _index(stray)]
        right += [TracePoint(gas_index=_index(stray), root=stray.root)] * len(here)
        rest = rest[len(here) :]
        if not rest:
            return replace(found, points=tuple(right), result=None)
        wrong = await self._run.trace(rest, stray)
        if isinstance(wrong, StateRefused):
            return wrong
        return replace(wrong, points=(*right, *wrong.points))

    async def _wrong_state(self) -> PausedState | None:
        """Give where the wrong step leads; None when the execution has ended before it."""
        if self._stray is None:
            found = await self._run.pause(self._gas_index, None)
            self._stray = with_one_bit_wrong(found) if isinstance(found, PausedState) else found
        return self._stray if isinstance(self._stray, PausedState) else None


def _index(state: PausedState | None) -> int:
    return -1 if state is None else state.header.limits.gas_max - state.header.gas_left
