"""Check a blame certificate offline: who says what of whom, and that it excludes each other.

Implements protocols/13-blame.md section 3, all but the replay, which takes an engine.
`check_blame_file` never raises, whatever bytes it is given.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import (
    audit_id,
    end_point,
    fingerprint,
    result_root,
    spec_hash,
    task_id,
    verify_proof_word,
    verify_receipt,
    verify_segment,
    verify_trace,
    verify_verdict,
)
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import NodeId, TaskId
from ambientd.model.blame import (
    BlamedTask,
    BlameFile,
    Contradiction,
    WrongProof,
    WrongResult,
    WrongStep,
)
from ambientd.model.dispute import BEGINNING, TracePoint
from ambientd.model.genesis import MEMBERS_MAX, Genesis
from ambientd.model.proof import Finding
from ambientd.model.receipt import SignedReceipt
from ambientd.model.record import Fraud
from ambientd.rules.auditing import audit_spec
from ambientd.rules.bisection import cuts
from ambientd.rules.blame_text import blame_text_fault, trust_in_blame
from ambientd.rules.executions import limits_of
from ambientd.rules.file_checks import (
    EPOCHS_MAX,
    Check,
    Examination,
    Report,
    benches,
    counts_fault,
    founders_fault,
    version_fault,
)
from ambientd.rules.lessons import input_of
from ambientd.rules.receipt_epochs import FollowEpochs, only_founders, way_text
from ambientd.rules.verdicts import contradicts, quorum
from ambientd.wasm.state import State, decode_partial, decode_state, is_partial

FILE_VERSION = 1
FILE_BYTES_MAX = 256 << 20
TRACES_MAX = 2
NONCE_BYTES_MAX = 64
AUDITS_MAX = 16

JudgeContradiction = Callable[[Genesis, tuple[bytes, ...], Contradiction], bytes | None]
"""Gives the key that two statements of 05 or 07 convict, or None."""


def judge_none(_: Genesis, __: tuple[bytes, ...], ___: Contradiction) -> bytes | None:
    """Judge no statements but receipts and verdicts."""
    return None


@dataclass(frozen=True, slots=True)
class BlameReport(Report[BlameFile]):
    """What a check of a certificate found."""


@dataclass(slots=True)
class _Examination(Examination[BlameFile]):
    """The examination of a blame certificate."""

    def bench_fault(self, referees: Sequence[NodeId]) -> str | None:
        """Say why these are not a quorum of one committee, each once; None when they are."""
        if len(set(referees)) != len(referees):
            return "one referee is counted twice"
        sizes = benches(self.committees, set(referees))
        if not sizes:
            return "the referees are not all members of one committee"
        needed = quorum(min(sizes))
        if len(referees) < needed:
            return f"{len(referees)} referees said so, {needed} are needed"
        return None


def check_blame_file(
    data: bytes,
    *,
    pinned: bytes | None = None,
    follow: FollowEpochs = only_founders,
    judge: JudgeContradiction = judge_none,
    replayed: bool = False,
    proven: bool = False,
) -> BlameReport:
    """Check a `*.blame` file; what is to be trusted depends on what else was looked at."""
    try:
        file: BlameFile = decode(data, BlameFile, FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        text = f"this is no blame certificate: {error}"
        return BlameReport((Check("format", False, text),), ())
    fault = _shape_fault(file)
    if fault is not None:
        return BlameReport((Check("format", False, fault),), ())
    founders = frozenset(member.node for member in file.genesis.members)
    exam = _Examination(file, fingerprint(file.genesis), [founders])
    exam.note("format", None, f"version {file.version}, {len(data)} bytes in canonical form")
    exam.check_cluster(file.genesis, pinned)
    if file.epochs:
        _check_committee(exam, follow)
    match file.evidence:
        case WrongResult():
            _check_wrong_result(exam, file.evidence)
        case WrongStep():
            _check_wrong_step(exam, file.evidence)
        case WrongProof():
            _check_wrong_proof(exam, file.evidence)
        case Contradiction():
            _check_contradiction(exam, file.evidence, judge)
    if not isinstance(file.evidence, Contradiction):
        _check_blobs(exam, file.evidence.task)
    is_pinned = pinned is not None
    trust = trust_in_blame(
        file, exam.committees, pinned=is_pinned, replayed=replayed, proven=proven
    )
    return BlameReport(tuple(exam.checks), trust, file)


def _shape_fault(file: BlameFile) -> str | None:
    """Bound all lists before anything is computed over them."""
    fault = version_fault(file.version, FILE_VERSION) or founders_fault(file.genesis)
    if fault is not None:
        return fault
    counts = [("epochs", len(file.epochs), EPOCHS_MAX)]
    if isinstance(file.evidence, Contradiction):
        if (file.module, file.input) != (None, None):
            return "two statements need no module and no input, and these would be anybody's"
    else:
        counts.append(("verdicts", len(file.evidence.verdicts), MEMBERS_MAX))
        counts.append(("bytes of nonce", len(file.evidence.task.nonce), NONCE_BYTES_MAX))
    if isinstance(file.evidence, WrongStep):
        counts.append(("traces", len(file.evidence.traces), TRACES_MAX))
    return counts_fault(counts) or blame_text_fault(file)


def _check_committee(exam: _Examination, follow: FollowEpochs) -> None:
    found = follow(exam.file.genesis, exam.file.epochs)
    if isinstance(found, str):
        exam.note("committee", found, "")
        return
    exam.committees += [frozenset(epoch.members) for epoch in found]
    exam.note("committee", None, way_text(len(exam.committees[-1]), len(found), None))


def _check_task(exam: _Examination, task: BlamedTask) -> TaskId:
    name, fault = task_id(task.submitter, task.nonce, task.spec), None
    try:
        limits_of(task.spec)
    except ValueError as error:
        fault = f"nobody executes such a task: {error}"
    exam.note("task", fault, f"{name.hex()}, of submitter {_short(task.submitter)}")
    return name


def _check_receipt(exam: _Examination, task: BlamedTask, signed: SignedReceipt) -> None:
    receipt, fault = signed.receipt, None
    name = task_id(task.submitter, task.nonce, task.spec)
    is_audit = receipt.task in {audit_id(name, number) for number in range(AUDITS_MAX)}
    if receipt.worker != exam.file.culprit or not verify_receipt(signed, exam.cluster):
        fault = f"{_short(exam.file.culprit)} did not sign this receipt"
    elif receipt.task != name and not is_audit:
        fault = "the receipt answers another task"
    elif receipt.spec != spec_hash(audit_spec(task.spec) if is_audit else task.spec):
        fault = "the receipt answers another specification"
    elif not isinstance(receipt.started_ms, int):
        fault = "the answer stands on others' states: it does not show whose word was false"
    found = f"{_short(receipt.worker)} signed {_claim(receipt.result.output)}"
    exam.note("receipt", fault, f"{found}, {receipt.result.gas} gas")


def _check_wrong_result(exam: _Examination, evidence: WrongResult) -> None:
    name = _check_task(exam, evidence.task)
    _check_receipt(exam, evidence.task, evidence.receipt)
    roots = {result_root(verdict.result) for verdict in evidence.verdicts}
    fault = exam.bench_fault([verdict.referee for verdict in evidence.verdicts])
    about = {verdict.task for verdict in evidence.verdicts}
    same = {name, *(audit_id(name, number) for number in range(AUDITS_MAX))}
    if len(about) > 1 or not about <= same:
        fault = "a verdict is on another task"
    elif len(roots) != 1:
        fault = "the referees do not all say the same"
    elif not all(verify_verdict(verdict, exam.cluster) for verdict in evidence.verdicts):
        fault = "a referee did not sign its verdict"
    elif roots == {result_root(evidence.receipt.receipt.result)}:
        fault = "the referees found what the receipt says"
    found = ""
    if evidence.verdicts:
        found = (
            f"{len(evidence.verdicts)} members found {_claim(evidence.verdicts[0].result.output)}"
        )
    exam.note("referees", fault, found)


def _check_wrong_proof(exam: _Examination, evidence: WrongProof) -> None:
    """See that a quorum found the proof wrong which the receipt names."""
    name = _check_task(exam, evidence.task)
    _check_receipt(exam, evidence.task, evidence.receipt)
    receipt, words = evidence.receipt.receipt, evidence.verdicts
    fault = exam.bench_fault([word.referee for word in words])
    about = {(word.task, word.attempt, word.proof) for word in words}
    if evidence.task.spec.proof is None or receipt.task != name:
        fault = "the task asked for no proof"
    elif about - {(name, receipt.attempt, receipt.nonce)}:
        fault = "a word is on another proof"
    elif any(word.finding is not Finding.WRONG for word in words):
        fault = "a member did not find it wrong"
    elif not all(verify_proof_word(word, exam.cluster) for word in words):
        fault = "a member did not sign its word"
    exam.note("referees", fault, f"{len(words)} members found that the proof is wrong")
    if evidence.proof:
        fault = None if sha256(evidence.proof) == receipt.nonce else "it is another proof"
        exam.note("proof", fault, f"{receipt.nonce.hex()}, {len(evidence.proof)} bytes")


def _check_wrong_step(exam: _Examination, evidence: WrongStep) -> None:
    name = _check_task(exam, evidence.task)
    _check_receipt(exam, evidence.task, evidence.receipt)
    _check_traces(exam, evidence, name)
    _check_segment(exam, evidence, name)
    if evidence.verdicts:
        _check_state(exam, evidence)


def claims_of(evidence: WrongStep) -> tuple[TracePoint, ...]:
    """Give where the culprit said that it was at the end of the stretch; in all honesty, one."""
    until_gas, end = evidence.verdicts[0].until_gas, end_point(evidence.receipt.receipt.result)
    said = [end] if end.gas_index < until_gas else []
    for trace in evidence.traces:
        if not trace.is_pass:
            # How short a stretch had to be was the game's; a trace of a short one has no points.
            points = zip(cuts(trace.low.gas_index, trace.until_gas), trace.points, strict=False)
            said += [point for target, point in points if target == until_gas]
    return tuple(dict.fromkeys(said))


def _check_traces(exam: _Examination, evidence: WrongStep, name: TaskId) -> None:
    """See that both ends of the stretch are the culprit's own word."""
    culprit, fault, found = _short(exam.file.culprit), None, ""
    starts = {BEGINNING, *(trace.low for trace in evidence.traces)}
    if any(trace.party != exam.file.culprit for trace in evidence.traces) or not all(
        verify_trace(trace, exam.cluster) for trace in evidence.traces
    ):
        fault = f"{culprit} did not sign a trace"
    elif any(trace.task != name for trace in evidence.traces):
        fault = "a trace is of another task"
    elif evidence.verdicts:
        verdict = evidence.verdicts[0]
        claims = claims_of(evidence)
        if verdict.until_gas <= verdict.start.gas_index:
            fault = f"a stretch to {verdict.until_gas} does not begin at {verdict.start.gas_index}"
        elif verdict.start not in starts:
            fault = f"{culprit} never said that its execution stood at the start"
        elif not claims:
            fault = f"{culprit} never said where it was at gas index {verdict.until_gas}"
        else:
            found = (
                f"{culprit} signed that from gas index {verdict.start.gas_index} to "
                f"{verdict.until_gas} it came to {point_text(claims[0])}"
            )
    exam.note("traces", fault, found)


def _check_segment(exam: _Examination, evidence: WrongStep, name: TaskId) -> None:
    """See that a quorum of referees came to another end."""
    verdicts = evidence.verdicts
    fault, found = exam.bench_fault([verdict.referee for verdict in verdicts]), ""
    stretches = {(verdict.start, verdict.until_gas, verdict.end) for verdict in verdicts}
    if any(verdict.task != name for verdict in verdicts):
        fault = "a verdict is on another task"
    elif len(stretches) != 1:
        fault = "the referees do not all say the same"
    elif not all(verify_segment(verdict, exam.cluster) for verdict in verdicts):
        fault = "a referee did not sign its verdict"
    elif fault is None:
        end = verdicts[0].end
        found = f"{len(verdicts)} members came to {point_text(end)}"
        if end in claims_of(evidence):
            fault = "the referees came to where the traces came"
    exam.note("referees", fault, found)


def point_text(point: TracePoint) -> str:
    """Write a point for people."""
    return f"{point.root.hex()[:16]} at gas index {point.gas_index}"


def _check_state(exam: _Examination, evidence: WrongStep) -> None:
    """See that the state in the file is the one at the start of the stretch."""
    if evidence.verdicts[0].start == BEGINNING:
        fault = "the stretch begins with the execution, yet here is a state"
        found = "none is needed: the stretch begins with the execution"
        exam.note("state", fault if evidence.state else None, found)
        return
    state = state_of(evidence)
    if isinstance(state, str):
        exam.note("state", state, "")
    else:
        pages = f"{len(state.pages)} pages of memory"
        if state.left_out is not None:
            pages += f", {len(state.left_out.pages)} of them left out"
        exam.note("state", None, f"{pages}, of the root that was signed")


def state_of(evidence: WrongStep) -> State | str:
    """Give the state at the start of the stretch, or what is wrong with it."""
    start = evidence.verdicts[0].start
    try:
        state = (decode_partial if is_partial(evidence.state) else decode_state)(evidence.state)
    except RemoteProtocolError as error:
        return str(error)
    if state.gas_index != start.gas_index or state.root() != start.root:
        return "the state is not the one at the start of the stretch"
    if state.header.input != evidence.task.spec.input:
        return "the state is of another input"
    return state


def _check_contradiction(
    exam: _Examination, evidence: Contradiction, judge: JudgeContradiction
) -> None:
    file = exam.file
    fraud = Fraud(
        culprit=file.culprit, kind=evidence.kind, first=evidence.first, second=evidence.second
    )
    proven = contradicts(fraud, exam.cluster)
    if not proven:
        proven = judge(file.genesis, file.epochs, evidence) == file.culprit
    fault = None if proven else f"the statements do not convict {_short(file.culprit)}"
    found = (
        f"{_short(file.culprit)} signed two statements ({evidence.kind}) that exclude each other"
    )
    exam.note("statements", fault, found)


def _check_blobs(exam: _Examination, task: BlamedTask) -> None:
    for name, data, digest in (
        ("module", exam.file.module, task.spec.module),
        ("input", exam.file.input, task.spec.input),
    ):
        if data is not None:
            found = input_of(task.spec, data)[0] if name == "input" else sha256(data)
            fault = None if found == digest else f"the {name} is not the task's"
            exam.note(name, fault, f"{digest.hex()}, {len(data)} bytes")


def _claim(output: bytes) -> str:
    return f"output {output.hex()[:16]}"


def _short(node: bytes) -> str:
    return node.hex()[:16]
