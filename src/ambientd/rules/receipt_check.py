"""Check a receipt file offline: no daemon, no network, no clock (protocols/06-receipts.md).

Every check is named and says what it found; what no arithmetic can show is said as trust.
`check_receipt_file` never raises, whatever bytes it is given.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ambientd.codec.canonical import decode
from ambientd.codec.digest import sha256
from ambientd.codec.signing import verify
from ambientd.codec.statements import (
    file_payload,
    fingerprint,
    receipt_hash,
    result_root,
    settlement_leaf,
    spec_hash,
    task_id,
    verdict_hash,
    verify_receipt,
    verify_record,
    verify_verdict,
)
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.model.bundle import size_of
from ambientd.model.execution import OutcomeKind
from ambientd.model.genesis import MEMBERS_MAX
from ambientd.model.receipt import ReceiptFile, SignedReceipt
from ambientd.model.record import Admit, Record
from ambientd.model.task import Assurance, Verdict
from ambientd.rules.anchor_checks import anchor_fault
from ambientd.rules.bitcoin import (
    CONFIRMATIONS_MIN,
    HEIGHT_MAX,
)
from ambientd.rules.bitcoin_codec import decode_header, display
from ambientd.rules.bundles import extent_fits
from ambientd.rules.file_checks import (
    EPOCHS_MAX,
    Check,
    Examination,
    Report,
    benches,
    counts_fault,
    founders_fault,
    inclusion_fault,
    note_fault,
    version_fault,
)
from ambientd.rules.marks import marks_fault, marks_text
from ambientd.rules.receipt_disputes import bisected_fault, bisected_text, refereed_text
from ambientd.rules.receipt_doubt import doubt_fault
from ambientd.rules.receipt_epochs import (
    FollowedEpoch,
    FollowEpochs,
    leaf_fault,
    only_founders,
    rules_text,
    way_text,
)
from ambientd.rules.receipt_text import file_text_fault, outcome_text, proven_text
from ambientd.rules.receipt_trust import trust_sentences, utc
from ambientd.rules.verdicts import NO_RESULT, decided, quorum

if TYPE_CHECKING:
    from ambientd.rules.header_chain import HeaderChain

FILE_VERSION = 4
FILE_BYTES_MAX = 1024 * 1024
RECEIPTS_MAX = 64
PATH_MAX = 64


@dataclass(frozen=True, slots=True)
class ReceiptReport(Report[ReceiptFile]):
    """What a check of a receipt file found."""


@dataclass(slots=True)
class _Examination(Examination[ReceiptFile]):
    """The examination of a receipt file; the last committee cosigned its note."""

    epochs: tuple[FollowedEpoch, ...] = ()
    trusted: FollowedEpoch | None = None

    @property
    def members(self) -> frozenset[NodeId]:
        """The committee that has cosigned the note."""
        return self.committees[-1]

    @property
    def needed(self) -> int:
        """The quorum of that committee."""
        return quorum(len(self.members))

    def benches(self) -> list[int]:
        """Give the sizes of the committees that all referees belong to, the first ones first."""
        return benches(self.committees, {verdict.referee for verdict in self.file.verdicts})


_EMPTY = "this is no receipt file, it is empty: get it again, with `ambientctl receipt get TASK`"


_FOREIGN = (
    "this is no receipt file, or one that was cut or changed on its way: get it again, with "
    "`ambientctl receipt get TASK`"
)


def check_receipt_file(
    data: bytes,
    *,
    pinned: bytes | None = None,
    output: bytes | None = None,
    headers: "HeaderChain | None" = None,
    follow: FollowEpochs = only_founders,
    trusted_epoch: bytes | None = None,
) -> ReceiptReport:
    """Check a `*.receipt` file against what is given: fingerprint, output, headers, an epoch."""
    if not data:
        return ReceiptReport((Check("format", False, _EMPTY),), ())
    if len(data) > FILE_BYTES_MAX:
        much = f"this is no receipt file: those have at most {FILE_BYTES_MAX} bytes"
        return ReceiptReport((Check("format", False, much),), ())
    try:
        file: ReceiptFile = decode(data, ReceiptFile, FILE_BYTES_MAX)
    except RemoteProtocolError:  # which byte it was helps nobody
        return ReceiptReport((Check("format", False, _FOREIGN),), ())
    fault = _shape_fault(file)
    if fault is not None:
        return ReceiptReport((Check("format", False, fault),), ())
    founders = frozenset(member.node for member in file.genesis.members)
    exam = _Examination(file, fingerprint(file.genesis), [founders])
    exam.note("format", None, f"version {file.version}, {len(data)} bytes in canonical form")
    exam.check_cluster(file.genesis, pinned)
    if file.epochs or trusted_epoch is not None:
        _check_committee(exam, follow, trusted_epoch)
    _check_issuer(exam)
    _check_task(exam)
    _check_receipts(exam)
    _check_settlement(exam)
    _check_agreement(exam)
    _check_inclusion(exam)
    if file.doubt is not None:
        exam.note("standing", doubt_fault(file, file.doubt), "")
    if file.epoch_leaf is not None:
        _check_epoch(exam)
    _check_note(exam)
    anchored_s = _check_anchor(exam)
    if headers is not None:
        _check_chain(exam, headers)
    if output is not None:
        _check_output(exam, output)
    trust = trust_sentences(
        file,
        exam.committees,
        pinned=pinned is not None,
        anchored_s=anchored_s,
        headers=headers,
        trusted=exam.trusted,
    )
    return ReceiptReport(tuple(exam.checks), trust, file)


def _shape_fault(file: ReceiptFile) -> str | None:
    """Bound all lists before anything is computed over them."""
    cosignatures = () if file.note is None else file.note.cosignatures
    epoch_path = () if file.epoch_leaf is None else file.epoch_leaf.path
    counts = (
        ("receipts", len(file.receipts), RECEIPTS_MAX),
        ("verdicts", len(file.verdicts), MEMBERS_MAX),
        ("path", len(file.path), PATH_MAX),
        ("epoch's path", len(epoch_path), PATH_MAX),
        ("epochs", len(file.epochs), EPOCHS_MAX),
        ("cosignatures", len(cosignatures), MEMBERS_MAX),
    )
    fault = (
        version_fault(file.version, FILE_VERSION)
        or founders_fault(file.genesis)
        or counts_fault(counts)
    )
    if fault is not None:
        return fault
    if file.anchor is not None and not 0 <= file.anchor.height <= HEIGHT_MAX:
        return f"the anchor claims height {file.anchor.height}; heights are 0 to {HEIGHT_MAX}"
    if any(len(step) != DIGEST_BYTES for step in (*file.path, *epoch_path)):
        return f"a step of the path is not {DIGEST_BYTES} bytes long"
    return file_text_fault(file)


def _check_committee(exam: _Examination, follow: FollowEpochs, trusted_epoch: bytes | None) -> None:
    """Follow the committees from the founders to the one that has cosigned the note."""
    found = follow(exam.file.genesis, exam.file.epochs)
    if isinstance(found, str):
        exam.note("committee", found, "")
        return
    exam.epochs = found
    exam.committees += [frozenset(epoch.members) for epoch in found]
    exam.trusted = next((epoch for epoch in found if epoch.hash == trusted_epoch), None)
    fault = None
    if trusted_epoch is not None and exam.trusted is None:
        fault = f"no epoch on the way from the founders has the hash {trusted_epoch.hex()}"
    way = way_text(len(exam.members), len(found), exam.trusted)
    exam.note("committee", fault, f"{way}; {rules_text(exam.file, found)}")


def _check_issuer(exam: _Examination) -> None:
    file, fault = exam.file, None
    is_member = any(file.issuer in members for members in exam.committees)
    # Under a cosigned note the issuer adds nothing but a seal over the bytes.
    if not is_member and (file.note is None or file.issuer != file.submitter):
        name = _short(file.issuer)
        fault = f"{name} issued the file and is neither a member nor the submitter"
    elif not verify(file.issuer, "receipt-file", exam.cluster, file_payload(file), file.signature):
        fault = f"the signature of {_short(file.issuer)} does not fit the file: bytes were changed"
    who = "member" if is_member else "submitter"
    exam.note("issuer", fault, f"{who} {_short(file.issuer)} signed the file as it is")


def _check_task(exam: _Examination) -> None:
    file, fault = exam.file, None
    body = Admit(nonce=file.nonce, spec=file.spec, until_ms=file.until_ms)
    record = Record(author=file.submitter, body=body, signature=file.admit_signature)
    task = task_id(file.submitter, file.nonce, file.spec)
    if not verify_record(record, exam.cluster):
        fault = f"submitter {_short(file.submitter)} did not sign this specification"
    elif file.settlement.task != task or file.settlement.submitter != file.submitter:
        fault = "the settlement belongs to another task"
    elif file.settlement.spec != spec_hash(file.spec):
        fault = "the settlement belongs to another specification"
    exam.note("task", fault, f"{task.hex()}, signed by submitter {_short(file.submitter)}")


def _check_receipts(exam: _Examination) -> None:
    for signed in exam.file.receipts:
        receipt = signed.receipt
        detail = (
            f"worker {_short(receipt.worker)} on {receipt.engine} {receipt.engine_version}: "
            f"{outcome_text(receipt.result.kind)}, {receipt.result.gas} gas{marks_text(receipt)}"
        )
        exam.note(f"receipt {receipt.slot}", _receipt_fault(exam, signed), detail)


def _receipt_fault(exam: _Examination, signed: SignedReceipt) -> str | None:
    receipt, spec = signed.receipt, exam.file.spec
    if not verify_receipt(signed, exam.cluster):
        return f"worker {_short(receipt.worker)} did not sign this receipt"
    if receipt.task != exam.file.settlement.task or receipt.spec != exam.file.settlement.spec:
        return "the receipt answers another task"
    if receipt.module != spec.module or receipt.input != spec.input:
        return "the receipt is about another module or input"
    if not 0 <= receipt.slot < spec.replicas_max:
        return f"the task has no slot {receipt.slot}"
    if not 0 <= receipt.result.gas <= spec.gas_max:
        return f"{receipt.result.gas} gas is outside the task's limit of {spec.gas_max}"
    if not extent_fits(receipt.result, spec):
        return "the output is larger than the task allows, or not of its items"
    if not OutcomeKind.COMPLETED <= receipt.result.kind <= OutcomeKind.REFUSED:
        return f"{receipt.result.kind} is no outcome"
    return marks_fault(receipt, spec, exam.cluster)


def _check_settlement(exam: _Examination) -> None:
    """Compare the hashes that the leaf binds with the statements that the file carries."""
    file, fault = exam.file, None
    receipts = [signed.receipt for signed in file.receipts]
    if file.settlement.receipts != tuple(receipt_hash(signed) for signed in file.receipts):
        fault = "the settlement names other receipts than the file carries"
    elif file.settlement.referees != tuple(verdict_hash(verdict) for verdict in file.verdicts):
        fault = "the settlement names other verdicts than the file carries"
    elif len({receipt.worker for receipt in receipts}) != len(receipts):
        fault = "one worker answered twice"
    elif len({receipt.slot for receipt in receipts}) != len(receipts):
        fault = "one slot was answered twice"
    found = f"names {len(file.receipts)} receipts and {len(file.verdicts)} verdicts, all here"
    exam.note("settlement", fault, found)


def _check_agreement(exam: _Examination) -> None:
    file, benches = exam.file, exam.benches()
    for verdict in file.verdicts:
        if not benches or verdict.task != file.settlement.task:
            exam.note("agreement", "a verdict is not a member's on this task", "")
            return
        if not verify_verdict(verdict, exam.cluster):
            fault = f"referee {_short(verdict.referee)} did not sign the verdict"
            exam.note("agreement", fault, "")
            return
    match file.settlement.verdict:
        case Verdict.NONE:
            exam.note("agreement", _single_fault(exam), "one worker's answer, not compared")
        case Verdict.AGREED:
            found = f"{len(file.receipts)} workers gave the same answer independently"
            if file.verdicts:
                found = (
                    f"{_needed(exam)} referees or more and all {len(file.receipts)} workers that "
                    f"opened their answers, of {file.spec.replicas_max} asked, found the same"
                )
            exam.note("agreement", _agreed_fault(exam), found)
        case Verdict.DIVERGENT:
            exam.note("agreement", _refereed_fault(exam), refereed_text(file))
        case Verdict.BISECTED:
            exam.note("agreement", bisected_fault(file), bisected_text(file))
        case Verdict.PROVEN:
            exam.note("agreement", _proven_fault(exam), proven_text(file))
        case Verdict.INCONCLUSIVE:
            exam.note("agreement", _inconclusive_fault(exam), "the task has no answer")


def _single_fault(exam: _Examination) -> str | None:
    file = exam.file
    if file.spec.replicas != 1 or file.spec.assurance not in {Assurance.NONE, Assurance.AUDITED}:
        return "the task asked for replicas, the settlement for none"
    if len(file.receipts) != 1 or file.verdicts or file.settlement.liars:
        return "an unreplicated task has one receipt and nothing else"
    if file.receipts[0].receipt.result != file.settlement.result:
        return "the settlement says something else than the receipt"
    return None


def _proven_fault(exam: _Examination) -> str | None:
    """What was proven has one receipt; that the proof holds is for whoever has it to see."""
    file = exam.file
    if file.spec.proof is None:
        return "the task asked for no proof"
    if len(file.receipts) != 1 or file.verdicts or file.settlement.liars:
        return "a proven task has one receipt and nothing else"
    if file.receipts[0].receipt.result != file.settlement.result:
        return "the settlement says something else than the receipt"
    return None


def _agreed_fault(exam: _Examination) -> str | None:
    file = exam.file
    if not file.spec.is_disputable or file.settlement.liars:
        return "an agreed settlement is of a replicated task and names no liars"
    if any(signed.receipt.result != file.settlement.result for signed in file.receipts):
        return "the receipts do not all say what the settlement says"
    if file.verdicts:
        return _refereed_fault(exam)
    needed = max(2, file.spec.replicas_max)
    if len(file.receipts) < needed:
        return f"{len(file.receipts)} receipts are here, the task asked for {needed}"
    return None


def _needed(exam: _Examination) -> int:
    """Give how many referees the least committee needs that all of them belong to."""
    return quorum(min(exam.benches()))


def _refereed_fault(exam: _Examination) -> str | None:
    """A quorum of referees must have found the result; exactly who said otherwise lied."""
    settlement = exam.file.settlement
    if not exam.file.spec.is_disputable:
        return "an unreplicated task cannot be disputed"
    needed = _needed(exam)
    if decided(exam.file.verdicts, needed) != settlement.result:
        return f"no {needed} referees found what the settlement says"
    root = result_root(settlement.result)
    others = {
        signed.receipt.worker
        for signed in exam.file.receipts
        if result_root(signed.receipt.result) != root
    }
    if others != set(settlement.liars) or len(others) != len(settlement.liars):
        return "the liars that are named are not those whose receipts differ"
    return None


def _inconclusive_fault(exam: _Examination) -> str | None:
    file = exam.file
    if file.settlement.liars or not file.spec.is_disputable:
        return "a dispute without decision is of a replicated task and names no liars"
    # A larger committee may have been undecided where a smaller one, of the same referees, was not.
    if decided(file.verdicts, quorum(max(exam.benches()))) is not None:
        return "the referees did decide"
    if file.settlement.result != NO_RESULT:
        return "a dispute without decision has no result, and this settlement claims one"
    return None


def _check_inclusion(exam: _Examination) -> None:
    file = exam.file
    if file.note is None:
        exam.note("inclusion", None, "pending: there is no head yet that it could lead to")
        return
    leaf = settlement_leaf(file.settlement)
    fault = inclusion_fault(leaf, file.leaf_index, file.path, file.note)
    exam.note("inclusion", fault, f"leaf {file.leaf_index} of {file.note.size}")


def _check_epoch(exam: _Examination) -> None:
    """Look for the last epoch among the leaves: an anchor is then one of the epoch, too."""
    found = "".join(f"{each.number}, {each.hash.hex()}, is a leaf" for each in exam.epochs[-1:])
    exam.note("epoch", leaf_fault(exam.file, exam.epochs), found)


def _check_note(exam: _Examination) -> None:
    note = exam.file.note
    if note is None:
        # Without a cosigned head, workers and referees are whoever the issuer says they are.
        open_batch = "the receipt's batch is not closed yet: ask again in a few seconds"
        exam.note("checkpoint", open_batch, "")
        return
    fault, found = note_fault(note, exam.cluster, exam.members)
    exam.note("checkpoint", fault, found)


def _check_anchor(exam: _Examination) -> int | None:
    """Check the anchor; give its Bitcoin block's time in seconds when it holds."""
    note, anchor = exam.file.note, exam.file.anchor
    if anchor is not None and note is None:
        exam.note("anchor", "an anchor without a checkpoint", "")
        return None
    root = b"" if note is None else note.root
    fault, found, time_s = anchor_fault(root, anchor, exam.file.genesis.bitcoin_network)
    exam.note("anchor", fault, found)
    return time_s


def _check_chain(exam: _Examination, chain: "HeaderChain") -> None:
    """Find the anchor's block among headers that were checked from their base on."""
    anchor, network = exam.file.anchor, exam.file.genesis.bitcoin_network
    if anchor is None:
        exam.note("chain", None, "pending: not in a Bitcoin block yet")
        return
    tip = decode_header(chain.header(chain.height))
    confirmations = chain.confirmations(anchor.header, anchor.height)
    fault = None
    if chain.network.name != network:
        fault = f"the headers are of {chain.network.name}, the anchor is on {network}"
    elif not confirmations:
        fault = (
            f"the anchor's block is not at height {anchor.height} of the headers, which go from "
            f"{chain.base_height} to {chain.height}, {utc(tip.time_s)}"
        )
    elif confirmations < CONFIRMATIONS_MIN:
        fault = f"{confirmations} confirmations, {CONFIRMATIONS_MIN} are needed"
    found = (
        f"height {anchor.height}, {confirmations} confirmations up to {display(tip.hash)} of "
        f"{utc(tip.time_s)}"
    )
    exam.note("chain", fault, found)


def _check_output(exam: _Examination, output: bytes) -> None:
    result, fault = exam.file.settlement.result, None
    digest = sha256(output)
    if exam.file.settlement.verdict is Verdict.INCONCLUSIVE:
        fault = "the task has no answer to compare the output with"
    elif result.kind == OutcomeKind.REFUSED:
        fault = f"the task was refused ({result.reason}) and has no output"
    elif digest != result.output or len(output) != size_of(result.output_size_bytes):
        fault = (
            f"the output has hash {digest.hex()} and {len(output)} bytes, "
            f"the receipt says {result.output.hex()} and {size_of(result.output_size_bytes)}"
        )
    exam.note("output", fault, f"{digest.hex()}, {len(output)} bytes")


def _short(node: bytes) -> str:
    return node.hex()[:16]
