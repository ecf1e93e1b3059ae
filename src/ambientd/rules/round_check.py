"""Check offline what a round of federated learning came to (protocols/16 section 7).

`check_round_file` never raises, whatever bytes it is given. It shows which updates a model was made
of and that f + 1 aggregators said so; with the updates' blobs anybody can aggregate again.
"""

from dataclasses import dataclass

from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.codec.statements import fingerprint, plan_hash, round_leaf
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES
from ambientd.model.genesis import MEMBERS_MAX
from ambientd.model.learning import PARTICIPANTS_MAX, Plan, RoundFile, RoundReceipt, RoundState
from ambientd.rules.anchor_checks import anchor_fault
from ambientd.rules.file_checks import (
    EPOCHS_MAX,
    Check,
    Examination,
    Report,
    counts_fault,
    founders_fault,
    inclusion_fault,
    note_fault,
    version_fault,
)
from ambientd.rules.learning.privacy import DELTA_PPB, Terms, in_thousandths, spent
from ambientd.rules.receipt_epochs import FollowEpochs, only_founders, way_text
from ambientd.rules.receipt_text import plain_fault
from ambientd.rules.studies import NAME_CHARS_MAX

ROUND_FILE_VERSION = 1
FILE_BYTES_MAX = 1024 * 1024
PATH_MAX = 64
DELTA_TEXT = f"{DELTA_PPB / 1e9:g}"
TRUST = (
    "that each update came of training on the data that its participant says it has",
    "the numbers of samples and the scores, which are the participants' own words",
    "that fewer than a third of the committee lied: f + 1 of it said which model came of it",
)
TRUST_IN_NOISE = (
    "that a threshold of each group added its noise and keeps it to itself: no epsilon holds else"
)


@dataclass(frozen=True, slots=True)
class RoundReport(Report[RoundFile]):
    """What a check of a round file found."""


def check_round_file(
    data: bytes,
    *,
    pinned: bytes | None = None,
    model: bytes | None = None,
    follow: FollowEpochs = only_founders,
) -> RoundReport:
    """Check a `*.round` file against what is given: the cluster's fingerprint, the model."""
    try:
        file: RoundFile = decode(data, RoundFile, FILE_BYTES_MAX)
    except RemoteProtocolError as error:
        return RoundReport((Check("format", False, f"this is no round file: {error}"),), ())
    fault = _shape_fault(file)
    if fault is not None:
        return RoundReport((Check("format", False, fault),), ())
    founders = frozenset(member.node for member in file.genesis.members)
    exam = Examination(file, fingerprint(file.genesis), [founders])
    exam.note("format", None, f"version {file.version}, {len(data)} bytes in canonical form")
    exam.check_cluster(file.genesis, pinned)
    if file.epochs:
        _check_committee(exam, follow)
    receipt = file.receipt
    fault = None if plan_hash(file.plan) == receipt.plan else "the round was of another plan"
    plan = file.plan
    exam.note("plan", fault, f"{plan.model}, trained by {plan.trainer}, {plan.aggregation}")
    exam.note("round", _round_fault(receipt), _round_text(receipt))
    if plan.is_private:
        exam.note("privacy", *_privacy(plan, receipt))
    leaf = round_leaf(receipt)
    fault = inclusion_fault(leaf, file.leaf_index, file.path, file.note)
    exam.note("inclusion", fault, f"leaf {file.leaf_index} of {file.note.size}")
    exam.note("checkpoint", *note_fault(file.note, exam.cluster, exam.committees[-1]))
    network = file.genesis.bitcoin_network
    exam.note("anchor", *anchor_fault(file.note.root, file.anchor, network)[:2])
    if model is not None:
        digest = sha256(model)
        fault = None if digest == receipt.after else "this is not the model that the round made"
        exam.note("model", fault, f"{digest.hex()}, {len(model)} bytes")
    trust = (*TRUST, TRUST_IN_NOISE) if plan.is_private else TRUST
    return RoundReport(tuple(exam.checks), trust, file)


def _shape_fault(file: RoundFile) -> str | None:
    """Bound all lists and texts before anything is computed over them."""
    receipt, note = file.receipt, file.note
    counts = (
        ("path", len(file.path), PATH_MAX),
        ("epochs", len(file.epochs), EPOCHS_MAX),
        ("cosignatures", len(note.cosignatures), MEMBERS_MAX),
        ("updates", len(receipt.contributed), PARTICIPANTS_MAX),
        ("survivors", len(receipt.survivors), PARTICIPANTS_MAX),
        ("nodes left out", len(receipt.left_out), PARTICIPANTS_MAX),
        ("aggregators", len(receipt.aggregators), MEMBERS_MAX),
    )
    fault = (
        version_fault(file.version, ROUND_FILE_VERSION)
        or founders_fault(file.genesis)
        or counts_fault(counts)
    )
    if fault is not None:
        return fault
    if any(len(step) != DIGEST_BYTES for step in file.path):
        return f"a step of the path is not {DIGEST_BYTES} bytes long"
    plan = file.plan
    texts = (("model", plan.model), ("trainer", plan.trainer), ("aggregation", plan.aggregation))
    faults = (plain_fault(name, text, NAME_CHARS_MAX) for name, text in texts)
    return next(filter(None, faults), None)


def _check_committee(exam: Examination[RoundFile], follow: FollowEpochs) -> None:
    """Follow the committees from the founders to the one that has cosigned the note."""
    found = follow(exam.file.genesis, exam.file.epochs)
    if isinstance(found, str):
        exam.note("committee", found, "")
        return
    exam.committees += [frozenset(epoch.members) for epoch in found]
    exam.note("committee", None, way_text(len(exam.committees[-1]), len(found), None))


def _round_fault(receipt: RoundReceipt) -> str | None:
    """Say what no ledger would have written."""
    if receipt.round < 1:
        return "rounds are counted from 1"
    held = {said.node for said in receipt.contributed}
    survivors = set(receipt.survivors)
    if not survivors <= held or not set(receipt.left_out) <= survivors:
        return "nodes count, or were left out, that have contributed nothing"
    if receipt.state is RoundState.FAILED:
        return None if receipt.after == receipt.before else "a round that failed made a model"
    if receipt.state is not RoundState.DONE:
        return "the round has not ended"
    return None if survivors and receipt.aggregators else "a model that nobody made of anything"


def _privacy(plan: Plan, receipt: RoundReceipt) -> tuple[str | None, str]:
    """Say what a private round has spent, whatever groups were drawn; or why nobody can tell."""
    try:
        # Of one survivor: rounding its variance up leaves the least noise that any group has.
        terms = Terms(plan.clip_micro, plan.noise_milli, 1)
    except ConfigError as error:
        return f"no update could be shown under such a plan: {error}", ""
    text = (
        f"clip {plan.clip_micro / 1e6:g}, noise {plan.noise_milli / 1e3:g}, groups of "
        f"{plan.group_size} or more, nobody drawn; {len(receipt.contributed)} of its "
        "updates were shown within sums"
    )
    once, all_rounds = spent(terms, 1), spent(terms, receipt.round)
    if once.epsilon_micro is None or all_rounds.epsilon_micro is None:
        return None, f"{text}; no noise, so no epsilon is claimed"
    each = f"each for epsilon {in_thousandths(once.epsilon_micro)}"
    so_far = f"at most {in_thousandths(all_rounds.epsilon_micro)} for whoever showed one in each"
    return None, f"{text}, {each}, {so_far} of rounds 1 to {receipt.round}; delta {DELTA_TEXT}"


def _round_text(receipt: RoundReceipt) -> str:
    place = f"round {receipt.round} of study {receipt.study.hex()[:16]}"
    if receipt.state is RoundState.FAILED:
        return f"{place} failed; {len(receipt.contributed)} updates had been made for it"
    counted = len(receipt.survivors) - len(receipt.left_out)
    said = len(receipt.aggregators)
    model = receipt.after.hex()
    return f"{place}: model {model} of {counted} updates, as {said} aggregators found alike"
