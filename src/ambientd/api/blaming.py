"""Who was convicted, and the certificates that show it to strangers (protocols/13-blame.md)."""

from collections.abc import Sequence

from ambientd.api import replies, requests
from ambientd.api.operations import OperationError, match_id
from ambientd.api.views import name_of
from ambientd.codec.canonical import decode, encode
from ambientd.consensus.messages import EpochEnd
from ambientd.ledger.entries import EvidenceEntry
from ambientd.ledger.evidence import EVIDENCE_OF_FALSE_STEP, EVIDENCE_OF_LIE
from ambientd.ledger.state import LedgerState
from ambientd.model.base import Digest, NodeId
from ambientd.model.blame import (
    BlamedTask,
    BlameFile,
    Contradiction,
    Evidence,
    WrongResult,
    WrongStep,
)
from ambientd.model.dispute import BEGINNING, SegmentVerdict, Trace
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence
from ambientd.rules.blame_check import FILE_VERSION
from ambientd.runtime.blobs import Blobs
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts

REPLY_BYTES_MAX = 63 << 20
"""What fits a frame of the local socket."""

FalseStep = tuple[Trace | None, Trace | None]
"""How the ledger keeps a party's word: on the stretch's start, and on its end."""


class Blaming:
    """Answers who was convicted, and puts certificates together."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._state = parts.node.ledger

    async def blames(self, _: requests.ListBlames) -> replies.Blames:
        """List the evidence in the ledger, by node."""
        found = sorted(
            (self._info(entry) for entry in _evidence(self._state)),
            key=lambda each: (each.name, each.node, each.kind, each.task or ""),
        )
        return replies.Blames(blames=tuple(found))

    def _info(self, entry: EvidenceEntry) -> replies.BlameInfo:
        task = entry.task
        return replies.BlameInfo(
            node=entry.culprit.hex(),
            name=name_of(self._state, entry.culprit),
            kind=entry.kind,
            task=None if task is None else task.hex(),
            exportable=task is None or entry.receipt is None or self._state.task(task) is not None,
        )

    async def export(self, request: requests.ExportBlame) -> replies.BlameFileReply:
        """Give the certificate against a node, or the one from a task."""
        entry = self._find(request.about)
        ends = await self._parts.pump.writer.call(ends_of)
        evidence = await self._evidence(entry)
        module = data = None
        if request.with_module and not isinstance(evidence, Contradiction):
            module, data = await self._inputs(evidence.task)
        file = BlameFile(
            version=FILE_VERSION,
            genesis=self._state.genesis,
            epochs=tuple(map(encode, ends[: self._epochs_needed(evidence, ends)])),
            culprit=entry.culprit,
            evidence=evidence,
            module=module,
            input=data,
        )
        written = encode(file)
        if len(written) > REPLY_BYTES_MAX:
            msg = f"the certificate has {len(written)} bytes, {REPLY_BYTES_MAX} can be given"
            raise OperationError("too_large", msg, "leave --with-module out")
        return replies.BlameFileReply(
            node=entry.culprit.hex(),
            name=name_of(self._state, entry.culprit),
            kind=entry.kind,
            task=None if entry.task is None else entry.task.hex(),
            data=written,
        )

    def _find(self, name: str) -> EvidenceEntry:
        entries = list(_evidence(self._state))
        names = {entry.culprit.hex() for entry in entries}
        names |= {entry.task.hex() for entry in entries if entry.task is not None}
        hint = "`ambientctl blame list` shows who was convicted"
        try:
            whole = match_id(name, names, "convicted node or of a task that convicted one")
        except OperationError as error:
            raise OperationError(error.code, error.message, error.hint or hint) from None
        ours = [e for e in entries if e.task is not None and e.task.hex() == whole]
        if len({entry.culprit for entry in ours}) > 1:
            msg = f"task {whole[:12]} convicted more than one node"
            raise OperationError("ambiguous", msg, "name one of them; " + hint)
        if ours:
            return ours[0]
        first = self._state.conviction(NodeId(bytes.fromhex(whole)))
        assert first is not None, "its name came from the evidence"
        return first

    async def _evidence(self, entry: EvidenceEntry) -> Evidence:
        """Put the ledger's evidence into the form that needs no ledger."""
        if entry.receipt is None or entry.task is None:
            first, second = entry.first, entry.second
            if entry.verdicts:
                first, second = (encode(verdict) for verdict in entry.verdicts[:2])
            return Contradiction(kind=entry.kind, first=first, second=second)
        task = self._task(entry)
        if entry.kind == EVIDENCE_OF_LIE:
            return WrongResult(task=task, receipt=entry.receipt, verdicts=entry.verdicts)
        assert entry.kind == EVIDENCE_OF_FALSE_STEP, "no other evidence holds a receipt"
        said: FalseStep = decode(entry.first, FalseStep)
        verdicts: tuple[SegmentVerdict, ...] = decode(entry.second, tuple[SegmentVerdict, ...])
        traces = tuple(dict.fromkeys(trace for trace in said if trace is not None))
        return WrongStep(
            task=task,
            receipt=entry.receipt,
            traces=traces,
            verdicts=verdicts,
            state=await self._start(entry, traces, verdicts[0]),
        )

    def _task(self, entry: EvidenceEntry) -> BlamedTask:
        assert entry.task is not None, "it holds a receipt"
        found = self._state.task(entry.task)
        if found is None:
            msg = f"task {entry.task.hex()[:12]} is forgotten here: its specification is gone"
            hint = "whoever exported the certificate or holds the receipt still has it"
            raise OperationError("not_found", msg, hint)
        return BlamedTask(submitter=found.submitter, nonce=found.nonce, spec=found.spec)

    async def _start(
        self, entry: EvidenceEntry, traces: Sequence[Trace], verdict: SegmentVerdict
    ) -> bytes:
        """Bring the state at the stretch's start; the referees have fetched it, too."""
        if verdict.start == BEGINNING:
            return b""
        trace = next((each for each in traces if each.low == verdict.start), None)
        assert trace is not None, "the party has said where its state is"
        holders = (entry.culprit, *self._state.members)
        return await _brought(
            self._parts.blobs, trace.state, trace.state_size_bytes, holders, "the state"
        )

    async def _inputs(self, task: BlamedTask) -> tuple[bytes, bytes]:
        holders, spec, blobs = (task.submitter,), task.spec, self._parts.blobs
        return (
            await _brought(blobs, spec.module, spec.module_size_bytes, holders, "the module"),
            await _brought(blobs, spec.input, spec.input_size_bytes, holders, "the input"),
        )

    def _epochs_needed(self, evidence: Evidence, ends: Sequence[EpochEnd]) -> int:
        """Give how many ends of epochs lead to the committee that all referees belong to."""
        if isinstance(evidence, Contradiction):
            if evidence.kind != LOG_EVIDENCE:
                return 0
            found: LogEvidence = decode(evidence.first, LogEvidence)
            return found.epoch - FIRST_EPOCH
        referees = {verdict.referee for verdict in evidence.verdicts}
        for number in range(len(ends) + 1):
            known = self._state.epoch_entry(FIRST_EPOCH + number)
            if known is not None and referees <= set(known.epoch.members):
                return number
        return len(ends)


def _evidence(state: LedgerState) -> list[EvidenceEntry]:
    return [entry for entry in state.items().values() if isinstance(entry, EvidenceEntry)]


async def _brought(
    blobs: Blobs, digest: Digest, size_bytes: int, holders: Sequence[NodeId], what: str
) -> bytes:
    data = await blobs.fetch(digest, size_bytes, holders)
    if data is None:
        msg = f"nobody who can be reached holds {what}"
        raise OperationError("unavailable", msg, "ask again when other nodes are up")
    return data
