"""Who was convicted, and the certificates that show it to strangers (protocols/13-blame.md)."""

import contextlib
import re
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import cast

import structlog
import trio
from msgspec.structs import replace

from ambientd.adapters.certificate_files import CertificateFiles
from ambientd.api import requests
from ambientd.api.blame_replies import BlameFileReply, BlameInfo, Blames
from ambientd.api.convictions import evidence_in, is_conviction
from ambientd.api.materials import brought
from ambientd.api.naming import match_node
from ambientd.api.operations import OperationError
from ambientd.api.paging import check_place, page
from ambientd.api.views import name_of, names_of
from ambientd.codec.canonical import decode, encode
from ambientd.consensus.messages import EpochEnd
from ambientd.errors import RemoteProtocolError, StoreError
from ambientd.ledger.entries import EvidenceEntry
from ambientd.ledger.evidence import (
    EVIDENCE_OF_FALSE_STEP,
    EVIDENCE_OF_LIE,
    EVIDENCE_OF_WRONG_PROOF,
)
from ambientd.model.base import NodeId, TaskId
from ambientd.model.blame import (
    BlamedTask,
    BlameFile,
    Contradiction,
    Evidence,
    WrongProof,
    WrongResult,
    WrongStep,
)
from ambientd.model.bundle import size_of
from ambientd.model.dispute import BEGINNING, FalseStep, KnownState, SegmentVerdict
from ambientd.model.genesis import FIRST_EPOCH
from ambientd.model.proof import ProofWord
from ambientd.node.stops import LOG_EVIDENCE, LogEvidence, culprit_of, follow_epochs
from ambientd.rules.blame_check import (
    FILE_BYTES_MAX,
    FILE_VERSION,
    check_blame_file,
    state_of,
)
from ambientd.rules.lessons import lesson_parts, whole_input
from ambientd.rules.verdicts import quorum
from ambientd.runtime.persistence import ends_of
from ambientd.runtime.service import Parts

log = structlog.get_logger("ambientd.blame")

RETRY_S = 60.0

REPLY_BYTES_MAX = 63 << 20
"""What fits a frame of the local socket."""


class Blaming:
    """Answers who was convicted, and puts certificates together.

    The first certificate against each node is kept as a file as soon as it is convicted: the task
    is forgotten after a while, and the state at the start of a stretch is any blob.
    """

    def __init__(self, parts: Parts, folder: Path | None) -> None:
        self._parts = parts
        self._state = parts.node.ledger
        self._files = None if folder is None else CertificateFiles(folder)

    async def keep_certificates(self) -> None:
        """Keep what convicts each node, now and as it comes, until cancelled."""
        while True:
            async with self._parts.news.listen(is_conviction) as news:
                with contextlib.suppress(trio.EndOfChannel):
                    while True:
                        wait_s = RETRY_S if await self._keep_missing() else inf
                        with trio.move_on_after(wait_s):
                            await news.receive()

    async def _keep_missing(self) -> bool:
        """Keep what is not there yet; tell whether something could be there a little later."""
        if self._files is None:
            return False
        is_retried = False
        for node in dict.fromkeys(entry.culprit for entry in evidence_in(self._state)):
            entry = self._state.conviction(node)
            if entry is None or await trio.to_thread.run_sync(self._files.has, node):
                continue
            try:
                data = encode(await self._certificate(entry, with_module=False))
                await trio.to_thread.run_sync(self._files.keep, node, data)
            except (OperationError, StoreError) as error:
                log.warning("certificate not kept", node=node.hex()[:12], reason=str(error))
                # Peers that hold the state may come; the disk may have room again.
                is_retried |= isinstance(error, StoreError) or error.code == "unavailable"
        return is_retried

    async def blames(self, request: requests.ListBlames) -> Blames:
        """List the evidence in the ledger, by node."""
        known = (self._info(entry) for entry in evidence_in(self._state))
        check_place(request.after, _PLACE)
        found, following = page(known, _by_name, request.limit, request.after)
        return Blames(blames=tuple(found), next=following)

    def _info(self, entry: EvidenceEntry) -> BlameInfo:
        task = entry.task
        needs_task = task is not None and entry.receipt is not None
        return BlameInfo(
            node=entry.culprit.hex(),
            name=name_of(self._state, entry.culprit),
            kind=entry.kind,
            task=None if task is None else task.hex(),
            exportable=not needs_task
            or self._state.task(cast("TaskId", task)) is not None
            or (self._files is not None and self._files.has(entry.culprit)),
        )

    async def export(self, request: requests.ExportBlame) -> BlameFileReply:
        """Give the certificate against a node, or the one from a task."""
        entry = self._find(request.about)
        try:
            file = await self._certificate(entry, with_module=request.with_module)
        except OperationError:
            kept = await self._kept(entry)
            if kept is None:
                raise
            file = await self._filled(kept) if request.with_module else kept
        written = encode(file)
        if len(written) > REPLY_BYTES_MAX:
            msg = f"the certificate has {len(written)} bytes, {REPLY_BYTES_MAX} can be given"
            raise OperationError("too_large", msg, "leave --with-module out")
        return BlameFileReply(
            node=entry.culprit.hex(),
            name=name_of(self._state, entry.culprit),
            kind=entry.kind,
            task=None if entry.task is None else entry.task.hex(),
            data=written,
        )

    async def _kept(self, entry: EvidenceEntry) -> BlameFile | None:
        """Give the certificate that is kept, if it is about the same receipt or statements."""
        if self._files is None:
            return None
        data = await trio.to_thread.run_sync(self._files.get, entry.culprit)
        if data is None:
            return None
        try:
            file: BlameFile = decode(data, BlameFile, FILE_BYTES_MAX)
        except RemoteProtocolError:
            return None
        is_it = not isinstance(file.evidence, Contradiction) and (
            file.evidence.receipt == entry.receipt
        )
        return file if is_it else None

    async def _certificate(self, entry: EvidenceEntry, *, with_module: bool) -> BlameFile:
        """Put a certificate together; raise OperationError when something of it is gone."""
        ends = await self._parts.pump.writer.call(ends_of)
        evidence = await self._evidence(entry)
        file = BlameFile(
            version=FILE_VERSION,
            genesis=self._state.genesis,
            epochs=tuple(map(encode, ends[: self._epochs_needed(evidence, ends)])),
            culprit=entry.culprit,
            evidence=evidence,
            module=None,
            input=None,
        )
        report = check_blame_file(encode(file), follow=follow_epochs, judge=culprit_of)
        if not report.valid:
            raise _unknown(entry)
        return await self._filled(file) if with_module else file

    async def _filled(self, file: BlameFile) -> BlameFile:
        """Add module and input, where there are any."""
        if isinstance(file.evidence, Contradiction):
            return file
        module, data = await self._inputs(file.evidence.task)
        return replace(file, module=module, input=data)

    def _find(self, name: str) -> EvidenceEntry:
        entries = list(evidence_in(self._state))
        called = names_of(self._state)
        names = {node: called.get(node, "") for node in (each.culprit.hex() for each in entries)}
        names |= {entry.task.hex(): "" for entry in entries if entry.task is not None}
        hint = "`ambientctl blame list` shows who was convicted"
        try:
            whole = match_node(name, names, "convicted node")
        except OperationError as error:
            if error.code != "not_found":
                raise
            msg = f"{name!r} is no convicted node, and no task that convicted one"
            raise OperationError(error.code, msg, hint) from None
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
        if entry.kind == EVIDENCE_OF_WRONG_PROOF:
            words: tuple[ProofWord, ...] = decode(entry.second, tuple[ProofWord, ...])
            proof = await self._parts.blobs.get(entry.receipt.receipt.nonce) or b""
            return WrongProof(task=task, receipt=entry.receipt, verdicts=words, proof=proof)
        if entry.kind != EVIDENCE_OF_FALSE_STEP:
            raise _unknown(entry)
        said: FalseStep = decode(entry.first, FalseStep)
        verdicts: tuple[SegmentVerdict, ...] = decode(entry.second, tuple[SegmentVerdict, ...])
        last, claimed, others = said
        traces = tuple(dict.fromkeys(each for each in (last, claimed) if each is not None))
        step = WrongStep(
            task=task, receipt=entry.receipt, traces=traces, verdicts=verdicts, state=b""
        )
        return await self._with_state(step, entry.culprit, others)

    def _task(self, entry: EvidenceEntry) -> BlamedTask:
        assert entry.task is not None, "it holds a receipt"
        found = self._state.task(entry.task)
        if found is not None and found.audits is not None:
            found = self._state.task(found.audits.task)
        if found is None:
            msg = f"task {entry.task.hex()[:12]} is forgotten here: its specification is gone"
            hint = "whoever exported the certificate or holds the receipt still has it"
            raise OperationError("not_found", msg, hint)
        return BlamedTask(submitter=found.submitter, nonce=found.nonce, spec=found.spec)

    async def _with_state(
        self, step: WrongStep, culprit: NodeId, others: KnownState | None
    ) -> WrongStep:
        """Bring the state at the stretch's start, which the referees have fetched, too.

        The culprit may have shown another one, or none: then it is as the other party showed it.
        """
        start = step.verdicts[0].start
        if start == BEGINNING:
            return step
        shown = [] if others is None else [(others.state, others.state_size_bytes)]
        shown += [(t.state, t.state_size_bytes) for t in step.traces if t.low == start]
        holders = (culprit, *self._state.members)
        for digest, size_bytes in dict.fromkeys(shown):
            data = await self._parts.blobs.fetch(digest, size_bytes, holders)
            found = replace(step, state=data or b"")
            if not isinstance(state_of(found), str):
                return found
        msg = "nobody who can be reached holds the state at the start of the step"
        raise OperationError("unavailable", msg, "ask again when other nodes are up")

    async def _inputs(self, task: BlamedTask) -> tuple[bytes, bytes]:
        holders, spec, blobs = (task.submitter,), task.spec, self._parts.blobs
        module = await brought(blobs, spec.module, spec.module_size_bytes, holders, "the module")
        size_bytes = size_of(spec.input_size_bytes)
        data = await brought(blobs, spec.input, size_bytes, holders, "the input")
        parts = lesson_parts(spec, data)
        if parts is None:
            return module, data
        sizes = (parts.model_size_bytes, parts.data_size_bytes)
        model = await brought(blobs, parts.model, sizes[0], holders, "the model before")
        samples = await brought(blobs, parts.data, sizes[1], holders, "the data")
        return module, whole_input(parts, model, samples)

    def _epochs_needed(self, evidence: Evidence, ends: Sequence[EpochEnd]) -> int:
        """Give how many ends of epochs lead to a committee that the referees are a quorum of."""
        if isinstance(evidence, Contradiction):
            if evidence.kind != LOG_EVIDENCE:
                return 0
            found: LogEvidence = decode(evidence.first, LogEvidence)
            return found.epoch - FIRST_EPOCH
        referees = {verdict.referee for verdict in evidence.verdicts}
        for number in range(len(ends) + 1):
            known = self._state.epoch_entry(FIRST_EPOCH + number)
            seats = set() if known is None else set(known.epoch.members)
            if referees <= seats and len(referees) >= quorum(len(seats)):
                return number
        return len(ends)


def _unknown(entry: EvidenceEntry) -> OperationError:
    """Say that a conviction rests on more than its evidence shows by itself."""
    msg = f"the evidence against {entry.culprit.hex()[:12]} ({entry.kind}) needs the ledger"
    hint = "`ambientctl task show` tells how its task was decided"
    return OperationError("not_found", msg, hint)


_PLACE = re.compile(r".*/[0-9a-f]{64}/[a-z_-]+/([0-9a-f]{64})?")


def _by_name(blame: BlameInfo) -> str:
    return "/".join((blame.name, blame.node, blame.kind, blame.task or ""))
