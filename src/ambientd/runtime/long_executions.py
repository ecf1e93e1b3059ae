"""Long executions in stretches: where they stand is kept, and gone on from after a stop.

A daemon that was killed, or a device that was paused or too hot, goes on with a slot that it has
again from its own last state, not from the beginning. From another's state one goes on only
where the submitter wants it, and the receipt says so (ADR 65, 85). Whatever keeps an execution
from going in stretches only costs time: it is then executed whole.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import structlog
import trio

from ambientd.errors import StoreError
from ambientd.model.base import TaskId
from ambientd.model.execution import AbortCause, Aborted, ExecutionResult
from ambientd.model.mark import STATE_GAS_A_BYTE, Mark
from ambientd.model.task import TaskSpec
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import StateRefused
from ambientd.rules.bundles import is_bundle
from ambientd.runtime.cpu_share import CpuSpent
from ambientd.runtime.pausing_workers import (
    WALL_TIMES_MAX,
    PausableCall,
    PausingRun,
    PausingStoppedError,
    PausingWorkers,
)
from ambientd.wasm.prepare import Refused

log = structlog.get_logger("ambientd.long_executions")

GAS_A_BYTE = STATE_GAS_A_BYTE
"""A state is taken out once in so much gas for each of its bytes: whoever submits a module chooses
how much memory it fills, and would else choose that taking states out is all that is done."""


class KeptStates(Protocol):
    """Where the last state of each task lies."""

    def find(self, task: TaskId) -> PausedState | None:
        """Give a task's state, if one was kept."""
        ...

    def keep(self, task: TaskId, state: PausedState) -> None:
        """Keep a task's state in the place of the one before; raise StoreError."""
        ...

    def forget(self, task: TaskId) -> None:
        """Drop a task's state, if there is one."""
        ...


LOOKS_A_MARK = 4
"""States taken out for each that is marked: so much nearer is the last one to a sudden end."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where an execution goes on, and the mark that says so."""

    mark: Mark
    state: PausedState


async def _nowhere() -> None:
    """Know of nothing else to go on from."""


@dataclass(slots=True)
class Marking:
    """An execution of which states are handed on: where it begins, and where it has come to."""

    every_gas: int
    tell: Callable[[PausedState], Awaitable[None]]
    start: Start | None = None
    another: Callable[[], Awaitable[Start | None]] = _nowhere
    """Gives where else to go on, where a start proves to be no state of this execution."""

    in_vain: set[Mark] = field(default_factory=set)
    """Marks whose states were refused, or were not to be had."""

    last: PausedState | None = None
    """A state since the last mark."""

    @property
    def mark(self) -> Mark | None:
        """Give the mark that it went on from, if it did from one."""
        return None if self.start is None else self.start.mark


class LongExecutions:
    """Executes one long task at a time in stretches of so much gas."""

    def __init__(self, pausing: PausingWorkers, states: KeptStates, every_gas: int) -> None:
        self._pausing = pausing
        self._states = states
        self._every_gas = every_gas
        self._is_busy = False
        self._at: TaskId | None = None
        """The task in hand, while it has not ended."""

    def takes(self, spec: TaskSpec) -> bool:
        """Tell whether a task is long enough, and nothing else is at it."""
        is_long = 0 < self._every_gas < spec.gas_max or spec.marks_max > 0
        return is_long and not is_bundle(spec) and not self._is_busy

    def forget(self, task: TaskId) -> None:
        """Drop what was kept of a task that has ended."""
        if task == self._at:
            self._at = None  # its state may be on the way to disk just now
        self._states.forget(task)

    async def execute(
        self,
        task: TaskId,
        call: PausableCall,
        prepared: bytes,
        spent: CpuSpent,
        marking: Marking | None = None,
    ) -> ExecutionResult | Aborted | None:
        """Execute in stretches; None where that cannot be, so that the whole is to be executed."""
        self._is_busy, self._at = True, task
        limit_ms = WALL_TIMES_MAX * call.limits.wall_ms_max
        try:
            async with self._pausing.begin(call) as run:
                if isinstance(run, Refused) or run.prepared != prepared:
                    return None
                with spent.by(run.pid), trio.fail_after(limit_ms / 1000) as limit:
                    if marking is not None:
                        return await _mark(task, run, marking, limit)
                    return await self._advance(task, run)
        except trio.TooSlowError:
            reason = f"the execution in stretches took longer than {limit_ms} ms of wall time"
            return Aborted(reason=reason, cause=AbortCause.WALL_TIME)
        except PausingStoppedError as error:
            log.warning("not in stretches", task=task.hex()[:12], reason=str(error))
            return None
        finally:
            if self._at is None:
                self._states.forget(task)
            self._is_busy, self._at = False, None

    async def _advance(self, task: TaskId, run: PausingRun) -> ExecutionResult:
        state = await trio.to_thread.run_sync(self._states.find, task)
        index = None if state is None else state.gas_index
        if index is None:
            state, index = None, 0
        else:
            log.info("execution goes on", task=task.hex()[:12], gas=index)
        while True:
            size_bytes = 0 if state is None else len(state.data)
            every = max(self._every_gas, GAS_A_BYTE * size_bytes)
            found = await run.pause(index + every, state)
            match found:
                case ExecutionResult():
                    return found
                case StateRefused():
                    log.warning("state not usable", task=task.hex()[:12], reason=found.reason)
                    state, index = None, 0
                case PausedState():
                    state, index = found, found.gas_index or 0
                    await self._keep(task, found)

    async def _keep(self, task: TaskId, state: PausedState) -> None:
        try:
            await trio.to_thread.run_sync(self._states.keep, task, state)
        except StoreError as error:
            log.warning("state not kept", task=task.hex()[:12], reason=str(error))


async def _mark(
    task: TaskId, run: PausingRun, marking: Marking, limit: trio.CancelScope
) -> ExecutionResult:
    """Execute on from what was marked, and have one's own states marked on the way."""
    state, index = _begun(task, marking)
    due = index + marking.every_gas
    while True:
        size_bytes = 0 if state is None else len(state.data)
        every = max(1, marking.every_gas // LOOKS_A_MARK, GAS_A_BYTE * size_bytes)
        found = await run.pause(index + every, state)
        match found:
            case ExecutionResult():
                return found
            case StateRefused():
                log.warning("marked state not usable", task=task.hex()[:12], reason=found.reason)
                marking.start = await _outside(limit, marking.another)
                state, index = _begun(task, marking)
                due = index + marking.every_gas
            case PausedState():
                state = marking.last = found
                index = found.gas_index or 0
                if index >= due:
                    await marking.tell(found)
                    marking.last, due = None, index + marking.every_gas


async def _outside(
    limit: trio.CancelScope, fetch: Callable[[], Awaitable[Start | None]]
) -> Start | None:
    """Wait for others with the limit at rest: their silence uses up no time of an execution."""
    left_s, limit.deadline = limit.deadline - trio.current_time(), inf
    found = await fetch()
    limit.deadline = trio.current_time() + left_s
    return found


def _begun(task: TaskId, marking: Marking) -> tuple[PausedState | None, int]:
    """Give the state that an execution goes on from, and where that stands."""
    if marking.start is None:
        return None, 0
    state = marking.start.state
    index = state.gas_index or 0
    log.info("execution goes on from a marked state", task=task.hex()[:12], gas=index)
    return state, index
