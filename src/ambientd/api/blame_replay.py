"""Check a blame certificate without a daemon, and do again what the culprit says it did.

What is executed runs in a locked-down process of this machine; the module and the state are
anyone's, so nothing of them is believed before it is held against what was signed.
"""

from dataclasses import dataclass, replace

from ambientd.api.module_pausing import PausingProcess
from ambientd.api.module_process import ModuleProcess
from ambientd.codec.digest import sha256
from ambientd.codec.statements import end_point, task_id
from ambientd.model.base import TaskId
from ambientd.model.blame import BlamedTask, BlameFile, Contradiction, WrongResult, WrongStep
from ambientd.model.dispute import BEGINNING, TracePoint
from ambientd.model.execution import Aborted, ExecutionResult, OutcomeKind
from ambientd.model.task import Result
from ambientd.node.stops import culprit_of, follow_epochs
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import ModulePrepared, ModuleRefused, StateRefused
from ambientd.rules.blame_check import (
    BlameReport,
    check_blame_file,
    claims_of,
    point_text,
)
from ambientd.rules.executions import limits_of, result_of, seed_of
from ambientd.rules.receipt_check import Check
from ambientd.wasm.prepare import REWRITER_VERSION

REPLAY = "replay"
NO_MODULE = bytes(32)  # what a result names as prepared where the module was refused


@dataclass(frozen=True, slots=True)
class Replay:
    """What is at hand to do an execution again, and where."""

    engine: str
    module: bytes | None = None
    input: bytes | None = None
    sandbox_required: bool = True


def check_blame(data: bytes, pinned: bytes | None, replay: Replay) -> BlameReport:
    """Check a certificate; execute what it is about if module and input are there."""
    report = _check(data, pinned)
    file = report.file
    if file is None or isinstance(file.evidence, Contradiction):
        return report
    task = file.evidence.task
    given = [
        _given(name, sha256(blob), digest)
        for name, blob, digest in (
            ("given module", replay.module, task.spec.module),
            ("given input", replay.input, task.spec.input),
        )
        if blob is not None
    ]
    report = replace(report, checks=(*report.checks, *given))
    module = file.module if replay.module is None else replay.module
    data_in = file.input if replay.input is None else replay.input
    if data_in is None and sha256(b"") == task.spec.input:
        data_in = b""
    if module is None or data_in is None or not report.valid:
        return report
    check = _replayed(file, replay, module, data_in)
    trust = _check(data, pinned, replayed=True).trust if check.ok else report.trust
    return replace(report, checks=(*report.checks, check), trust=trust)


def _given(name: str, found: bytes, meant: bytes) -> Check:
    if found == meant:
        return Check(name, True, f"{meant.hex()}, as given")
    text = f"the file given has the hash {found.hex()}, the task is about {meant.hex()}"
    return Check(name, False, text)


def _check(data: bytes, pinned: bytes | None, *, replayed: bool = False) -> BlameReport:
    return check_blame_file(
        data, pinned=pinned, follow=follow_epochs, judge=culprit_of, replayed=replayed
    )


def _replayed(file: BlameFile, replay: Replay, module: bytes, data: bytes) -> Check:
    if isinstance(file.evidence, WrongResult):
        return _whole(file.evidence, replay, module, data)
    assert isinstance(file.evidence, WrongStep), "two statements leave nothing to replay"
    return _stretch(file.evidence, replay, module, data)


def _whole(evidence: WrongResult, replay: Replay, module: bytes, data: bytes) -> Check:
    """Execute the whole task and hold the result against both."""
    claimed, found = evidence.receipt.receipt.result, evidence.verdicts[0].result
    if found.rewriter_version != REWRITER_VERSION:
        return _failed(
            f"the module was prepared by version {found.rewriter_version}, this program has "
            f"{REWRITER_VERSION}; use a program of that version"
        )
    here = _result(evidence, replay, module, data)
    if isinstance(here, str):
        return _failed(here)
    text = f"output {here.output.hex()[:16]}, {here.gas} gas"
    return _compared(text, is_claimed=here == claimed, is_found=here == found)


def _result(evidence: WrongResult, replay: Replay, module: bytes, data: bytes) -> Result | str:
    spec, seed = evidence.task.spec, seed_of(_name(evidence.task))
    with ModuleProcess(replay.engine, sandbox_required=replay.sandbox_required) as process:
        prepared = process.prepare(module)
        match prepared:
            case Aborted():
                return prepared.reason
            case ModuleRefused():
                refused = ExecutionResult(
                    kind=OutcomeKind.REFUSED, reason=prepared.reason, output=b"", gas=0, log=b""
                )
                return result_of(refused, NO_MODULE)
            case ModulePrepared():
                digest = sha256(prepared.module)
                outcome = process.execute(digest, data, limits_of(spec), seed)
                return (
                    outcome.reason if isinstance(outcome, Aborted) else result_of(outcome, digest)
                )


def _stretch(evidence: WrongStep, replay: Replay, module: bytes, data: bytes) -> Check:
    """Execute the stretch from the state in the file and hold its end against both."""
    here = _end(evidence, replay, module, data)
    if isinstance(here, str):
        return _failed(here)
    is_found = here == evidence.verdicts[0].end
    return _compared(point_text(here), is_claimed=here in claims_of(evidence), is_found=is_found)


def _end(evidence: WrongStep, replay: Replay, module: bytes, data: bytes) -> TracePoint | str:
    spec, seed = evidence.task.spec, seed_of(_name(evidence.task))
    start, until_gas = evidence.verdicts[0].start, evidence.verdicts[0].until_gas
    state = None if start == BEGINNING else PausedState(root=start.root, data=evidence.state)
    with PausingProcess(replay.engine, sandbox_required=replay.sandbox_required) as process:
        made = process.prepare(module)
        if not isinstance(made, ModulePrepared):
            return made.reason
        digest = sha256(made.module)
        if state is not None and state.header.module != digest:
            return "the state is of another module, or was made by another version of this program"
        stop = process.execute_until(
            digest, data, limits_of(spec), seed, pause_at=until_gas, state=state
        )
    match stop:
        case PausedState():
            header = stop.header
            return TracePoint(gas_index=header.limits.gas_max - header.gas_left, root=stop.root)
        case ExecutionResult():
            return end_point(result_of(stop, made.beneath))
        case StateRefused() | Aborted():
            return stop.reason


def _name(task: BlamedTask) -> TaskId:
    return task_id(task.submitter, task.nonce, task.spec)


def _failed(reason: str) -> Check:
    return Check(REPLAY, False, f"could not be done here: {reason}")


def _compared(text: str, *, is_claimed: bool, is_found: bool) -> Check:
    """Say what this machine came to; it must be what the members found, and not the claim."""
    if is_claimed:
        return Check(REPLAY, False, f"this machine came to {text}, as the blamed node said")
    if not is_found:
        return Check(REPLAY, False, f"this machine came to {text}: neither said that")
    return Check(REPLAY, True, f"this machine came to {text}, and not to what was claimed")
