"""Check a blame certificate without a daemon, and do again what the culprit says it did.

What is executed runs in a locked-down process of this machine; the module and the state are
anyone's, so nothing of them is believed before it is held against what was signed.
"""

from contextlib import closing
from dataclasses import dataclass, replace

from ambientd.api.module_pausing import PausingProcess
from ambientd.api.proof_checks import why_wrong
from ambientd.codec.digest import sha256
from ambientd.codec.statements import end_point, fingerprint, task_id
from ambientd.errors import UsageError
from ambientd.model.base import TaskId
from ambientd.model.blame import (
    BlamedTask,
    BlameFile,
    Contradiction,
    WrongProof,
    WrongResult,
    WrongStep,
)
from ambientd.model.dispute import TracePoint
from ambientd.model.execution import Aborted, ExecutionResult, OutcomeKind
from ambientd.model.genesis import Genesis
from ambientd.model.task import Result, TaskSpec
from ambientd.ports.paused_state import PausedState
from ambientd.ports.worker_protocol import (
    ModulePrepared,
    ModuleRefused,
    PageLeftOut,
    StateRefused,
)
from ambientd.rules.blame_check import (
    BlameReport,
    check_blame_file,
    claims_of,
    point_text,
    state_of,
)
from ambientd.rules.bundles import (
    bundle_result,
    is_bundle,
    item_limits_of,
    items_of,
    not_bundled,
)
from ambientd.rules.executions import limits_of, result_of, seed_of
from ambientd.rules.file_checks import Check
from ambientd.rules.lessons import input_of
from ambientd.rules.receipt_epochs import FollowedEpoch
from ambientd.wasm.state import State, decode_header

REPLAY = "replay"
NO_MODULE = bytes(32)  # what a result names as prepared where the module was refused


@dataclass(frozen=True, slots=True)
class Replay:
    """What is at hand to do an execution again, and where: in a process that may still start."""

    process: PausingProcess
    module: bytes | None = None
    input: bytes | None = None
    images: bytes | None = None
    """What members say of the module's own image (protocols/18 §12)."""
    epoch: bytes | None = None
    """The hash of a recent epoch, through which their committees must lead."""


def check_blame(data: bytes, pinned: bytes | None, replay: Replay) -> BlameReport:
    """Check a certificate; execute what it is about if module and input are there.

    Ends the process in any case.
    """
    with closing(replay.process):
        return _checked(data, pinned, replay)


def _checked(data: bytes, pinned: bytes | None, replay: Replay) -> BlameReport:
    report = check_words(data, pinned)
    file = report.file
    if file is None or isinstance(file.evidence, Contradiction):
        return report
    task = file.evidence.task
    given = [
        _given(name, found, digest)
        for name, found, digest in (
            ("given module", _hash(replay.module), task.spec.module),
            ("given input", _hash(replay.input, task.spec), task.spec.input),
        )
        if found is not None
    ]
    report = replace(report, checks=(*report.checks, *given))
    module, data_in = blobs_of(file, replay)
    if isinstance(file.evidence, WrongProof):
        return _with_proof_judged(report, file, file.evidence, module, replay)
    if module is None or data_in is None or not report.valid:
        return report
    check = _replayed(file, replay, module, input_of(task.spec, data_in)[1])
    trust = check_words(data, pinned, replayed=True).trust if check.ok else report.trust
    return replace(report, checks=(*report.checks, check), trust=trust)


def _with_proof_judged(
    report: BlameReport,
    file: BlameFile,
    evidence: WrongProof,
    module: bytes | None,
    replay: Replay,
) -> BlameReport:
    """Add whether the proof is wrong in truth, as far as what is at hand shows it."""
    if not evidence.proof or not report.valid:
        return report
    own_image = None
    if replay.images is not None:
        from ambientd.api.image_files import read_images  # its price is for those who need it

        # Of the certificate's own cluster: any other's members may say what they like.
        cluster = fingerprint(file.genesis)
        vouched = read_images(replay.images, evidence.task.spec.module, cluster, replay.epoch)
        own_image = vouched.image
        report = replace(report, trust=(*report.trust, vouched.sentence))
    wrong = why_wrong(evidence, module, own_image)
    if wrong is None:
        return report
    check = Check(REPLAY, bool(wrong), wrong or "the proof holds: the members are wrong")
    return replace(report, checks=(*report.checks, check))


def blobs_of(file: BlameFile, replay: Replay) -> tuple[bytes | None, bytes | None]:
    """Give module and input, as they are at hand; an empty input always is."""
    module = file.module if replay.module is None else replay.module
    data = file.input if replay.input is None else replay.input
    is_empty = not isinstance(file.evidence, Contradiction) and (
        file.evidence.task.spec.input == sha256(b"")
    )
    return module, b"" if data is None and is_empty else data


def _hash(blob: bytes | None, spec: TaskSpec | None = None) -> bytes | None:
    """Give the hash by which a task knows its module, or its input."""
    if blob is None:
        return None
    return sha256(blob) if spec is None else input_of(spec, blob)[0]


def _given(name: str, found: bytes, meant: bytes) -> Check:
    if found == meant:
        return Check(name, True, f"{meant.hex()}, as given")
    text = f"the file given has the hash {found.hex()}, the task is about {meant.hex()}"
    return Check(name, False, text)


def check_words(
    data: bytes, pinned: bytes | None, *, replayed: bool = False, proven: bool = False
) -> BlameReport:
    """Check all of a certificate but what executing tells."""
    return check_blame_file(
        data, pinned=pinned, follow=_follow, judge=_judge, replayed=replayed, proven=proven
    )


# Few certificates need the log's rules, and importing them takes longer than checking the others.
def _follow(genesis: Genesis, ends: tuple[bytes, ...]) -> tuple[FollowedEpoch, ...] | str:
    from ambientd.node.stops import follow_epochs

    return follow_epochs(genesis, ends)


def _judge(genesis: Genesis, ends: tuple[bytes, ...], found: Contradiction) -> bytes | None:
    from ambientd.node.stops import culprit_of

    return culprit_of(genesis, ends, found)


def _replayed(file: BlameFile, replay: Replay, module: bytes, data: bytes) -> Check:
    if isinstance(file.evidence, WrongResult):
        return _whole(file.evidence, replay, module, data)
    assert isinstance(file.evidence, WrongStep), "two statements leave nothing to replay"
    return _stretch(file.evidence, replay, module, data)


def _whole(evidence: WrongResult, replay: Replay, module: bytes, data: bytes) -> Check:
    """Execute the whole task and hold the result against both."""
    claimed, found = evidence.receipt.receipt.result, evidence.verdicts[0].result
    here = _result(evidence, replay, module, data)
    if isinstance(here, str):
        return _failed(here)
    text = f"output {here.output.hex()[:16]}, {here.gas} gas"
    return _compared(text, is_claimed=here == claimed, is_found=here == found)


def _result(evidence: WrongResult, replay: Replay, module: bytes, data: bytes) -> Result | str:
    spec, seed = evidence.task.spec, seed_of(_name(evidence.task))
    version = evidence.verdicts[0].result.rewriter_version
    with replay.process as process:
        if process.hello.rewriter_version != version:
            return (
                f"the module was prepared by version {version}, this program has "
                f"{process.hello.rewriter_version}; use a program of that version"
            )
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
                if is_bundle(spec):
                    return _bundled(process, digest, spec, data, seed)
                outcome = process.execute(digest, data, limits_of(spec), seed)
                return (
                    outcome.reason if isinstance(outcome, Aborted) else result_of(outcome, digest)
                )


def _bundled(
    process: PausingProcess, prepared: bytes, spec: TaskSpec, data: bytes, seed: bytes
) -> Result | str:
    items = items_of(spec, data)
    if items is None:
        return result_of(not_bundled(), prepared)
    results = process.execute_items(prepared, items, item_limits_of(spec), seed)
    if isinstance(results, Aborted):
        return results.reason
    return bundle_result(results, spec, prepared)[0]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The stretch of a wrong step, in a process that has the module ready."""

    evidence: WrongStep
    process: PausingProcess
    made: ModulePrepared
    data: bytes

    @classmethod
    def prepared(
        cls, evidence: WrongStep, process: PausingProcess, module: bytes, data: bytes
    ) -> "Stretch | str":
        """Make the module pausable there, or say why it is not the state's."""
        made = process.prepare_pausable(module)
        if not isinstance(made, ModulePrepared):
            return made.reason
        if evidence.state and decode_header(evidence.state).module != sha256(made.module):
            return "the state is of another module, or was made by another version of this program"
        return cls(evidence, process, made, data)

    @classmethod
    def opened(cls, begun: "Begun", process: PausingProcess) -> "Stretch":
        """Make the module of a step pausable there; raise UsageError if it is not the state's."""
        made = cls.prepared(begun.evidence, process, begun.module, begun.data)
        if isinstance(made, str):
            raise UsageError(made)
        return made

    def replayed(self, state: bytes) -> TracePoint | StateRefused | PageLeftOut | Aborted:
        """Execute it from a state, or from the beginning without one, and tell where it leads."""
        verdict, spec = self.evidence.verdicts[0], self.evidence.task.spec
        stop = self.process.replay(
            sha256(self.made.module),
            self.data,
            limits_of(spec),
            seed_of(_name(self.evidence.task)),
            pause_at=verdict.until_gas,
            state=PausedState(root=verdict.start.root, data=state) if state else None,
        )
        if isinstance(stop, ExecutionResult):
            return end_point(result_of(stop, self.made.beneath))
        return stop

    def fault(self, stop: TracePoint | StateRefused | PageLeftOut | Aborted) -> str:
        """Say why the stretch led nowhere, or to a wrong end."""
        match stop:
            case TracePoint():
                return f"it leads to {point_text(stop)}"
            case PageLeftOut():
                page = "memory" if stop.page is None else f"page {stop.page} of the memory"
                return f"it touches {page}, which is left out"
            case _:
                return stop.reason


@dataclass(frozen=True, slots=True)
class Begun:
    """A wrong step with the state it begins at, and what its stretch executes."""

    evidence: WrongStep
    state: State
    module: bytes
    data: bytes


def begun(file: BlameFile, replay: Replay, if_stateless: str) -> Begun:
    """Give where the step of a certificate that was checked begins.

    Raises UsageError where it holds no state, with what that means, or where a blob is not at hand.
    """
    evidence, (module, data) = file.evidence, blobs_of(file, replay)
    if not isinstance(evidence, WrongStep) or not evidence.state:
        msg = f"it holds no state, {if_stateless}"
        raise UsageError(msg)
    if module is None or data is None:
        msg = "module and input are needed; give them with --module and --input"
        raise UsageError(msg)
    state = state_of(evidence)
    assert isinstance(state, State), "a certificate is checked before"
    return Begun(evidence, state, module, data)


def _stretch(evidence: WrongStep, replay: Replay, module: bytes, data: bytes) -> Check:
    """Execute the stretch from the state in the file and hold its end against both."""
    with replay.process as process:
        stretch = Stretch.prepared(evidence, process, module, data)
        if isinstance(stretch, str):
            return _failed(stretch)
        here = stretch.replayed(evidence.state)
    if not isinstance(here, TracePoint):
        return _failed(stretch.fault(here))
    is_found = here == evidence.verdicts[0].end
    return _compared(point_text(here), is_claimed=here in claims_of(evidence), is_found=is_found)


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
