"""Executions that stop at a gas index and go on elsewhere, asked of locked-down processes."""

from typing import ClassVar

from ambientd.api.module_process import ModuleProcess
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted, ExecutionLimits, ExecutionResult
from ambientd.ports.paused_state import (
    PausedState,
    checked_state,
    pieces_of,
    requests_for,
)
from ambientd.ports.worker_protocol import (
    PREPARE_CPU_MS_MAX,
    REASON_CHARACTERS_MAX,
    STATE_PIECE_BYTES,
    ExecutePausable,
    ExecutionPaused,
    ExecutionTraced,
    ModulePrepared,
    ModuleRefused,
    PageLeftOut,
    PreparePausable,
    ReplayStretch,
    StatePiece,
    StateRefused,
    StateTaken,
    StretchReplayed,
    TraceExecution,
    is_plausible_trace,
)
from ambientd.wasm.state import STATE_BYTES_MAX

FILE_MARK = b"ambient-state/1\n"
FILE_BYTES_MAX = len(FILE_MARK) + DIGEST_BYTES + STATE_BYTES_MAX
_PIECE_MS_MAX = 20_000


def encode_file(state: PausedState) -> bytes:
    """Give the file of a paused execution: a mark, the root, the state (protocols/08 §4)."""
    return b"".join((FILE_MARK, state.root, state.data))


def decode_file(data: bytes, name: str) -> PausedState:
    """Read such a file; whether the root is true, the process that takes it up finds out."""
    if not data.startswith(FILE_MARK):
        msg = (
            f"{name}: is no state of a paused execution; `ambientctl module run MODULE.wasm "
            "--pause-at GAS --state FILE` writes one"
        )
        raise UsageError(msg)
    start = len(FILE_MARK) + DIGEST_BYTES
    state = PausedState(root=data[len(FILE_MARK) : start], data=data[start:])
    try:
        _ = state.header
    except RemoteProtocolError as error:
        raise damaged(name, str(error)) from error
    return state


def damaged(name: str, reason: str) -> UsageError:
    """Say that a file does not hold what it was written with."""
    return UsageError(f"{name}: is damaged: {reason}; pause the execution again")


class PausingProcess(ModuleProcess):
    """A worker process that can also pause, resume and trace."""

    options: ClassVar[tuple[str, ...]] = ("--pausing",)

    def prepare_pausable(self, module: bytes) -> ModulePrepared | ModuleRefused | Aborted:
        """Make a module pausable and have the engine validate and compile it."""
        return self._prepared(PreparePausable(module=module, cpu_ms_max=PREPARE_CPU_MS_MAX))

    def execute_until(
        self,
        module: bytes,
        data: bytes,
        limits: ExecutionLimits,
        seed: bytes,
        *,
        pause_at: int | None = None,
        state: PausedState | None = None,
    ) -> PausedState | ExecutionResult | StateRefused | Aborted:
        """Execute to a gas index or to the end, from the start or from a state.

        `module` is the digest of a pausable module that this process has ready.
        """
        failed = None if state is None else self._hand_over(state)
        if failed is not None:
            return failed
        request = ExecutePausable(
            prepared=module,
            input=data,
            limits=limits,
            seed=seed,
            pause_at=pause_at,
            root=None if state is None else state.root,
        )
        match reply := self._ask(request, limits.wall_ms_max, "the execution"):
            case ExecutionPaused() if pause_at is not None:
                return self._paused(reply, request)
            case StateRefused() if state is not None:
                return StateRefused(reason=reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                return self._ended(reply, limits)

    def replay(
        self,
        module: bytes,
        data: bytes,
        limits: ExecutionLimits,
        seed: bytes,
        *,
        pause_at: int,
        state: PausedState | None,
    ) -> TracePoint | ExecutionResult | StateRefused | PageLeftOut | Aborted:
        """Execute one stretch, from a state that may have pages left out; tell where it leads."""
        failed = None if state is None else self._hand_over(state)
        if failed is not None:
            return failed
        request = ReplayStretch(
            prepared=module,
            input=data,
            limits=limits,
            seed=seed,
            pause_at=pause_at,
            root=None if state is None else state.root,
        )
        match reply := self._ask(request, limits.wall_ms_max, "the execution"):
            case StretchReplayed(point=point):
                return point
            case PageLeftOut():
                return reply
            case StateRefused():
                return StateRefused(reason=reply.reason[:REASON_CHARACTERS_MAX])
            case _:
                return self._ended(reply, limits)

    def trace(
        self, module: bytes, data: bytes, limits: ExecutionLimits, seed: bytes, gas_step: int
    ) -> ExecutionTraced | Aborted:
        """Execute to the end and give the root of the state once in each stretch of gas."""
        request = TraceExecution(
            prepared=module, input=data, limits=limits, seed=seed, gas_step=gas_step
        )
        reply = self._ask(request, limits.wall_ms_max, "the execution with its trace")
        if isinstance(reply, ExecutionTraced) and is_plausible_trace(reply, limits):
            return reply
        ended = self._ended(reply, limits)
        return ended if isinstance(ended, Aborted) else self._nonsense()

    def _hand_over(self, state: PausedState) -> Aborted | None:
        for piece in pieces_of(state):
            reply = self._ask(piece, _PIECE_MS_MAX, "handing over the state")
            if isinstance(reply, Aborted):
                return reply
            if not isinstance(reply, StateTaken):
                return self._nonsense()
        return None

    def _paused(self, paused: ExecutionPaused, request: ExecutePausable) -> PausedState | Aborted:
        """Take the state out of the process and hold it against what was asked."""
        pieces: list[bytes] = []
        for asked in requests_for(paused):
            reply = self._ask(asked, _PIECE_MS_MAX, "taking the state")
            if isinstance(reply, Aborted):
                return reply
            if not isinstance(reply, StatePiece) or len(reply.data) > STATE_PIECE_BYTES:
                return self._nonsense()
            pieces.append(reply.data)
        data = b"".join(pieces)
        pieces.clear()  # memory for the pages
        return checked_state(data, paused, request) or self._nonsense()
