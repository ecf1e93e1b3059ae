"""A proven step in the place of a replay: for whoever has no module, no input, or no engine.

The proof lies beside the certificate and is nobody's word: what it proves says what it is about.
"""

from contextlib import closing
from dataclasses import replace

from ambientd.api.blame_replay import REPLAY, Replay, Stretch, begun, check_words
from ambientd.api.blame_slim import least
from ambientd.api.proof_checks import ask_of
from ambientd.errors import RemoteProtocolError, UsageError
from ambientd.model.blame import BlameFile, WrongStep
from ambientd.rules.blame_check import BlameReport, claims_of, point_text
from ambientd.rules.file_checks import Check
from ambientd.rules.steps import STEP_IMAGE, read_step
from ambientd.wasm.step import is_steppable, step_words

# No state names it, so a node that lies of it alone is neither convicted nor cleared by a proof.
OF_ITS_PREPARED = (
    "; but that the module prepared is the one its receipt names, no proof of a step tells: "
    "check the certificate with --module and --input"
)


def check_blame_by_proof(
    data: bytes, pinned: bytes | None, proof: bytes, verifier: str
) -> BlameReport:
    """Check a certificate, and a proof of its step instead of executing it.

    Raises UsageError where it is about no step, or the verifier does not work.
    """
    report = check_words(data, pinned)
    if report.file is None or not report.valid:
        return report
    evidence = report.file.evidence
    if not isinstance(evidence, WrongStep):
        raise UsageError("the certificate is about no step: check it without a proof of one")
    check = step_check(evidence, proof, verifier)
    trust = check_words(data, pinned, proven=True).trust if check.ok else report.trust
    return replace(report, checks=(*report.checks, check), trust=trust)


def step_check(evidence: WrongStep, proof: bytes, verifier: str) -> Check:
    """Hold a proof against what the culprit signed and what the members found."""
    verdict, claimed = evidence.verdicts[0], evidence.receipt.receipt.result
    try:
        step = read_step(proof)
    except RemoteProtocolError as error:
        return Check(REPLAY, False, f"the file given is no proof of a step: {error}")
    if (step.start, step.until_gas) != (verdict.start, verdict.until_gas):
        return Check(REPLAY, False, "the proof is of another stretch")
    told = ask_of(proof, STEP_IMAGE, verifier)
    if not told.valid:
        return Check(REPLAY, False, told.text.strip())
    end = step.end(claimed.prepared, claimed.rewriter_version)
    text = f"it is proven that the step leads to {point_text(end)}"
    left = "" if step.paused is not None else OF_ITS_PREPARED
    if end in claims_of(evidence):
        return Check(REPLAY, False, f"{text}, as the blamed node said{left}")
    if end != verdict.end:
        return Check(REPLAY, False, f"{text}: neither said that{left}")
    return Check(REPLAY, True, f"{text}, and not to what was claimed")


def words_of(file: BlameFile, replay: Replay) -> bytes:
    """Give what the image of steps reads for the step of a certificate that was checked.

    Raises UsageError where that cannot be proven. Ends the process in any case.
    """
    with closing(replay.process):
        return _words_of(file, replay)


def _words_of(file: BlameFile, replay: Replay) -> bytes:
    step = begun(file, replay, "and only what begins at one can be proven")
    state = step.state
    if not is_steppable(state):
        raise UsageError("its step begins before the module's `run`, which is not proven")
    with replay.process as process:
        stretch = Stretch.opened(step, process)
        if state.left_out is None:
            state = least(state, stretch) or state
        return step_words(stretch.made.module, state, step.evidence.verdicts[0].until_gas)
