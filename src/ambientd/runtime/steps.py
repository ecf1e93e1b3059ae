"""Prove where a disputed stretch leads, and check what others have proven of one (18 §11)."""

import structlog
import trio

from ambientd.errors import RemoteProtocolError
from ambientd.model.bundle import Bundle
from ambientd.model.dispute import TracePoint
from ambientd.model.effect import CheckStep, ProveStep
from ambientd.model.execution import AbortCause, Aborted
from ambientd.model.proof import NO_PROOF, STEP_SEGMENTS_MAX, Finding
from ambientd.node.event import ExecutionEnded, StepChecked, StepMade
from ambientd.ports.paused_state import PausedState
from ambientd.ports.proving import NotProven, ProofTools
from ambientd.ports.worker_protocol import PageLeftOut, StateRefused
from ambientd.rules.proofs import STEP_PROOF_BYTES_MAX
from ambientd.rules.steps import STEP_IMAGE, ProvenStep, read_step
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.pausing_workers import PausingRun, PausingStoppedError, PausingWorkers
from ambientd.runtime.preparing import Rewriter, prepared_of
from ambientd.runtime.stretches import Stretches, stopped
from ambientd.wasm.prepare import REWRITER_VERSION, Refused
from ambientd.wasm.provable import not_interpreted
from ambientd.wasm.state import State, decode_state, encode_state
from ambientd.wasm.step import is_steppable, step_words
from ambientd.wasm.touched import TouchedPages

log = structlog.get_logger("ambientd.steps")

CHECKED_AT_ONCE = 2
MEMORY_BYTES_MAX = 512 << 20
OUTPUT_BYTES_MAX = 64 << 20
READ_BYTES_MAX = 256 << 10
"""Reading an instruction takes some 160 cycles, of which four segments have 4 million (ADR 69)."""

FETCH_S = 30.0


class Steps:
    """The stretches that are proven and checked on this device; one is proven at a time."""

    def __init__(
        self, rewriter: Rewriter, blobs: Blobs, tools: ProofTools, pausing: PausingWorkers
    ) -> None:
        self._rewriter = rewriter
        self._blobs = blobs
        self._stretches = Stretches(blobs)
        self._pausing = pausing
        self._prover, self._verifier = tools.steps, tools.verifier
        self._turn = trio.Lock()
        self._room = trio.Semaphore(CHECKED_AT_ONCE)

    async def prove(self, effect: ProveStep) -> StepMade | ExecutionEnded:
        """Give the proof of a stretch as a kept blob; why there is none is an abort."""
        start = effect.start
        if start is None:
            return await self._seen(effect)
        if self._prover is None or self._turn.locked():
            return _aborted(effect, "nothing proves stretches here, or it proves another")
        try:
            async with self._turn:
                words = await self._words(effect)
                made = await self._prover.prove_step(words)
        except PausingStoppedError as error:
            return _aborted(effect, str(error), error.aborted.cause)
        if isinstance(made, NotProven):
            return _aborted(effect, f"not proven: {made.reason}", AbortCause.NOT_PROVABLE)
        step = _read(made)
        if isinstance(step, str) or not _is_about(step, start.point, effect.until_gas):
            return _aborted(effect, "what was proven is not that stretch")
        return StepMade(effect.assignment, await self._blobs.put(made))

    async def _seen(self, effect: ProveStep) -> StepMade | ExecutionEnded:
        """See whether an execution of this module can be proven, before anything is promised."""
        spec = effect.spec
        if self._prover is None:
            return _aborted(effect, "nothing proves stretches here")
        if isinstance(spec.input_size_bytes, Bundle):
            return _aborted(effect, "bundles are never proven", AbortCause.NOT_PROVABLE)
        if spec.memory_bytes_max > MEMORY_BYTES_MAX or spec.output_bytes_max > OUTPUT_BYTES_MAX:
            return _aborted(effect, "no image takes such limits", AbortCause.NOT_PROVABLE)
        made = await prepared_of(spec, effect.holders, self._blobs, self._rewriter)
        if isinstance(made, Refused):
            return _aborted(effect, f"the module is refused: {made.reason}")
        if isinstance(made, Aborted):
            return _aborted(effect, made.reason, made.cause)
        if len(made.module) > READ_BYTES_MAX:
            reason = f"the module has {len(made.module)} bytes: reading it takes too many cycles"
            return _aborted(effect, reason, AbortCause.NOT_PROVABLE)
        fault = await trio.to_thread.run_sync(not_interpreted, made.module)
        if fault is not None:
            return _aborted(effect, f"never proven: {fault}", AbortCause.NOT_PROVABLE)
        return StepMade(effect.assignment, NO_PROOF)

    async def _words(self, effect: ProveStep) -> bytes:
        """Give what the image of steps reads: the state with the pages alone that are touched."""
        call = await self._stretches.call(effect)
        async with self._pausing.begin(call) as run:
            if isinstance(run, Refused):
                raise stopped(run.reason, AbortCause.NOT_PAUSABLE)
            start = await self._stretches.start(effect)
            if start is None:
                raise stopped("what begins at the beginning is not proven", AbortCause.NOT_PROVABLE)
            state = await trio.to_thread.run_sync(_decoded, start)
            least = await _least(run, state, effect.until_gas)
            return step_words(await run.module(), least, effect.until_gas)

    async def check(self, effect: CheckStep) -> StepChecked | ExecutionEnded:
        """Judge a proof that another has made; whatever this host could not do is an abort."""
        async with self._room:
            return await self._check(effect)

    async def _check(self, effect: CheckStep) -> StepChecked | ExecutionEnded:
        place = effect.assignment
        if self._verifier is None:
            return _aborted(effect, "nothing verifies proofs here: `make verifier` builds it")
        proof = None
        with trio.move_on_after(FETCH_S):
            proof = await self._blobs.fetch(
                effect.proof, STEP_PROOF_BYTES_MAX, effect.holders, is_synced=False
            )
        if proof is None:
            return StepChecked(place, Finding.MISSING)
        step = _read(proof)
        if isinstance(step, str) or not _is_about(step, effect.start, effect.until_gas):
            why = step if isinstance(step, str) else "it proves another stretch"
            return _wrong(effect, why)
        holds = await self._verifier.holds(proof, STEP_IMAGE)
        if holds is None:
            return _aborted(effect, "the verifier did not work")
        if not holds:
            return _wrong(effect, "its seals do not hold")
        end = step.paused or await self._end(effect, step)
        if isinstance(end, Aborted):
            return _aborted(effect, end.reason, end.cause)
        return StepChecked(place, Finding.HOLDS, step.cycles, end)

    async def _end(self, effect: CheckStep, step: ProvenStep) -> TracePoint | Aborted:
        """Give the result that an execution ended with: it names the module as prepared here."""
        prepared = await prepared_of(effect.spec, effect.holders, self._blobs, self._rewriter)
        if isinstance(prepared, Refused):
            return Aborted(f"the module is refused: {prepared.reason}")
        if isinstance(prepared, Aborted):
            return prepared
        return step.end(prepared.digest, REWRITER_VERSION)


async def _least(run: PausingRun, state: State, until_gas: int) -> State:
    """Give the state with the pages alone that the stretch touches, if that leaves any out."""
    pages, root = TouchedPages(state), state.root()
    while (trial := pages.trial()) is not None:
        found = await run.replay(until_gas, PausedState(root=root, data=encode_state(trial)))
        match found:
            case StateRefused():
                reason = f"the state is not that of its root: {found.reason}"
                raise stopped(reason, AbortCause.NOT_FETCHED)
            case PageLeftOut(page=None):
                return state
            case PageLeftOut(page=int(page)):
                pages.touch(page)
            case _:
                return trial
    return state


def _decoded(start: PausedState) -> State:
    """Read a state that a stranger has shown; raise PausingStoppedError unless it is that one."""
    try:
        state = decode_state(start.data)
    except RemoteProtocolError as error:
        raise stopped(f"the state is none: {error}", AbortCause.NOT_FETCHED) from error
    if state.root() != start.root:
        raise stopped("the state is not that of its root", AbortCause.NOT_FETCHED)
    if not is_steppable(state):
        raise stopped("it begins before the module's `run`", AbortCause.NOT_PROVABLE)
    return state


def _read(data: bytes) -> ProvenStep | str:
    try:
        step = read_step(data)
    except RemoteProtocolError as error:
        return str(error)
    if step.segments > STEP_SEGMENTS_MAX:
        return f"it has {step.segments} segments, at most {STEP_SEGMENTS_MAX} are verified"
    return step


def _is_about(step: ProvenStep, start: TracePoint, until_gas: int) -> bool:
    return (step.start, step.until_gas) == (start, until_gas)


def _wrong(effect: CheckStep, reason: str) -> StepChecked:
    log.warning("proof is wrong", task=effect.assignment.task.hex()[:12], reason=reason)
    return StepChecked(effect.assignment, Finding.WRONG)


def _aborted(
    effect: ProveStep | CheckStep, reason: str, cause: AbortCause = AbortCause.OTHER
) -> ExecutionEnded:
    task = effect.assignment.task.hex()[:12]
    log.warning("stretch not proven or not checked", task=task, reason=reason)
    return ExecutionEnded(effect.assignment, effect.spec, None, reason, cause=cause)
