"""How each signed or hashed statement is formed (protocols/01 section 3, 03 and 06)."""

from collections.abc import Sequence

from msgspec.structs import replace

from ambientd.codec.canonical import encode
from ambientd.codec.digest import sha256, tagged
from ambientd.codec.merkle import leaf_hash
from ambientd.codec.signing import Signer, verify
from ambientd.model.base import Digest, NodeId, TaskId
from ambientd.model.dispute import SegmentVerdict, Trace, TracePoint
from ambientd.model.genesis import Genesis
from ambientd.model.image import ImageClaim
from ambientd.model.learning import Plan, RoundReceipt, StudyId
from ambientd.model.learning_record import FlStudy
from ambientd.model.mark import Mark
from ambientd.model.module import Manifest, SignedManifest
from ambientd.model.proof import Finding, ProofWord
from ambientd.model.receipt import (
    Receipt,
    ReceiptFile,
    RefereeVerdict,
    Revocation,
    Settlement,
    SignedReceipt,
)
from ambientd.model.record import Body, Join, Record
from ambientd.model.task import Commit, Result, TaskSpec


def fingerprint(genesis: Genesis) -> Digest:
    """Name a cluster: the tagged hash of its genesis."""
    return Digest(tagged("ambient/genesis/1", encode(genesis)))


def spec_hash(spec: TaskSpec) -> Digest:
    """Name a specification."""
    return Digest(tagged("ambient/spec/1", encode(spec)))


def task_id(submitter: NodeId, nonce: bytes, spec: TaskSpec) -> TaskId:
    """Name a task: the same submitter, nonce and specification are the same task."""
    return TaskId(tagged("ambient/task/1", submitter, nonce, encode(spec)))


def result_root(result: Result) -> Digest:
    """Hash what replicas must agree on."""
    return Digest(tagged("ambient/result/1", encode(result)))


def commitment(receipt: Receipt) -> Digest:
    """Seal an answer: nobody can copy what cannot be read."""
    place = encode((receipt.slot, receipt.attempt))
    root = result_root(receipt.result)
    return Digest(
        tagged("ambient/commit/1", receipt.task, place, receipt.worker, root, receipt.nonce)
    )


def settlement_leaf(settlement: Settlement) -> Digest:
    """Give the receipt log's leaf hash of a settlement."""
    return Digest(leaf_hash(encode(settlement)))


def revocation_leaf(revocation: Revocation) -> Digest:
    """Give the receipt log's leaf hash of a revocation; a settlement has more fields."""
    return Digest(leaf_hash(encode(revocation)))


def study_id(author: NodeId, body: FlStudy) -> StudyId:
    """Name a study: the same author, nonce, plan, terms and first model are the same study."""
    what = encode((body.plan, body.terms, body.initial, body.model_size_bytes))
    return StudyId(tagged("ambient/study/1", author, body.nonce, what))


def plan_hash(plan: Plan) -> Digest:
    """Name what a study does."""
    return Digest(tagged("ambient/plan/1", encode(plan)))


def round_leaf(receipt: RoundReceipt) -> Digest:
    """Give the receipt log's leaf hash of a round; no other leaf has as many fields."""
    return Digest(leaf_hash(encode(receipt)))


def audit_id(task: TaskId, number: int) -> TaskId:
    """Name a task's audit of this number; the first is 0."""
    return TaskId(tagged("ambient/audit-task/1", task, number.to_bytes(4, "big")))


def epoch_hash(
    number: int,
    members: Sequence[bytes],
    seed: bytes,
    beacon_tips: Sequence[bytes],
    state_version: int,
    root_index: int,
    root_hash: bytes,
) -> Digest:
    """Name an epoch: who keeps the log, by which rules, on which block, hence all before it."""
    committee = (number, tuple(members), seed, tuple(beacon_tips))
    fields = (*committee, state_version, root_index, root_hash)
    return Digest(tagged("ambient/epoch/1", encode(fields)))


def epoch_leaf(epoch: bytes) -> Digest:
    """Give the receipt log's leaf hash of an epoch; no settlement is as short as its name."""
    return Digest(leaf_hash(epoch))


def receipt_hash(receipt: SignedReceipt) -> Digest:
    """Name a signed receipt."""
    return Digest(sha256(encode(receipt)))


def verdict_hash(verdict: RefereeVerdict) -> Digest:
    """Name a signed verdict."""
    return Digest(sha256(encode(verdict)))


def sign_record(signer: Signer, body: Body) -> Record:
    """Sign a body as this node."""
    return sign_records(signer, [body])[0]


def sign_records(signer: Signer, bodies: Sequence[Body]) -> list[Record]:
    """Sign bodies as this node, with one signature over them all."""
    author = NodeId(signer.public_key)
    signatures = signer.sign_batch("record", [encode(body) for body in bodies])
    return [
        Record(author=author, body=body, signature=signature)
        for body, signature in zip(bodies, signatures, strict=True)
    ]


def verify_record(record: Record, cluster: bytes) -> bool:
    """Tell whether the author signed the body."""
    return verify(record.author, "record", cluster, encode(record.body), record.signature)


def sign_receipt(signer: Signer, receipt: Receipt) -> SignedReceipt:
    """Sign a receipt as its worker."""
    return SignedReceipt(receipt=receipt, signature=signer.sign("receipt", encode(receipt)))


def verify_receipt(signed: SignedReceipt, cluster: bytes) -> bool:
    """Tell whether the named worker signed the receipt."""
    worker = signed.receipt.worker
    return verify(worker, "receipt", cluster, encode(signed.receipt), signed.signature)


def _commit_payload(task: TaskId, slot: int, attempt: int, sealed: Digest) -> bytes:
    return encode((task, slot, attempt, sealed))


def _payload_of(commit: Commit) -> bytes:
    return _commit_payload(commit.task, commit.slot, commit.attempt, commit.commitment)


def _unsigned_commit(receipt: Receipt) -> Commit:
    return Commit(
        task=receipt.task,
        slot=receipt.slot,
        attempt=receipt.attempt,
        worker=receipt.worker,
        commitment=commitment(receipt),
        signature=b"",
    )


def _with_signature(commit: Commit, signature: bytes) -> Commit:
    return replace(commit, signature=signature)


def sign_commit(signer: Signer, receipt: Receipt) -> Commit:
    """Seal and sign a receipt's answer."""
    unsigned = _unsigned_commit(receipt)
    return _with_signature(unsigned, signer.sign("commit", _payload_of(unsigned)))


def sign_answers(signer: Signer, receipts: Sequence[Receipt]) -> list[tuple[SignedReceipt, Commit]]:
    """Sign receipts and their sealed answers, all with one signature.

    What a path shows of a receipt is a hash over its secret nonce: it tells nothing of the answer.
    """
    unsigned = [_unsigned_commit(receipt) for receipt in receipts]
    said = [("receipt", encode(receipt)) for receipt in receipts]
    said += [("commit", _payload_of(commit)) for commit in unsigned]
    signatures = signer.sign_together(said)
    count = len(receipts)
    signed = map(SignedReceipt, receipts, signatures[:count])
    commits = map(_with_signature, unsigned, signatures[count:])
    return list(zip(signed, commits, strict=True))


def verify_commit(commit: Commit, cluster: bytes) -> bool:
    """Tell whether the named worker sealed this answer."""
    return verify(commit.worker, "commit", cluster, _payload_of(commit), commit.signature)


def sign_verdict(signer: Signer, task: TaskId, result: Result) -> RefereeVerdict:
    """Sign a referee's own finding."""
    return RefereeVerdict(
        task=task,
        referee=NodeId(signer.public_key),
        result=result,
        signature=signer.sign("verdict", encode((task, result))),
    )


def verify_verdict(verdict: RefereeVerdict, cluster: bytes) -> bool:
    """Tell whether the named referee signed the finding."""
    payload = encode((verdict.task, verdict.result))
    return verify(verdict.referee, "verdict", cluster, payload, verdict.signature)


def _trace_payload(trace: Trace) -> bytes:
    stretch = (trace.task, trace.game, trace.round, trace.low, trace.until_gas)
    return encode((*stretch, trace.points, trace.state, trace.state_size_bytes))


def sign_trace(signer: Signer, unsigned: Trace) -> Trace:
    """Sign a party's word on one round of a game."""
    trace = replace(unsigned, party=NodeId(signer.public_key))
    return replace(trace, signature=signer.sign("trace", _trace_payload(trace)))


def verify_trace(trace: Trace, cluster: bytes) -> bool:
    """Tell whether the named party signed the trace."""
    return verify(trace.party, "trace", cluster, _trace_payload(trace), trace.signature)


def _segment_payload(verdict: SegmentVerdict) -> bytes:
    return encode((verdict.task, verdict.game, verdict.start, verdict.until_gas, verdict.end))


def sign_segment(
    signer: Signer, task: TaskId, game: int, start: TracePoint, until_gas: int, end: TracePoint
) -> SegmentVerdict:
    """Sign where a referee's own execution of the disputed stretch led."""
    unsigned = SegmentVerdict(
        task=task,
        game=game,
        referee=NodeId(signer.public_key),
        start=start,
        until_gas=until_gas,
        end=end,
        signature=b"",
    )
    return replace(unsigned, signature=signer.sign("segment", _segment_payload(unsigned)))


def verify_segment(verdict: SegmentVerdict, cluster: bytes) -> bool:
    """Tell whether the named referee signed the finding."""
    payload = _segment_payload(verdict)
    return verify(verdict.referee, "segment", cluster, payload, verdict.signature)


def _proof_payload(word: ProofWord) -> bytes:
    return encode((word.task, word.attempt, word.proof, word.finding, word.cycles))


def sign_proof_word(
    signer: Signer, task: TaskId, attempt: int, proof: Digest, finding: Finding, cycles: int
) -> ProofWord:
    """Sign what a member finds of a proof."""
    unsigned = ProofWord(
        task=task,
        attempt=attempt,
        referee=NodeId(signer.public_key),
        proof=proof,
        finding=finding,
        cycles=cycles,
        signature=b"",
    )
    return replace(unsigned, signature=signer.sign("proof", _proof_payload(unsigned)))


def verify_proof_word(word: ProofWord, cluster: bytes) -> bool:
    """Tell whether the named member signed the word."""
    return verify(word.referee, "proof", cluster, _proof_payload(word), word.signature)


def _image_payload(claim: ImageClaim) -> bytes:
    return encode((claim.module, claim.translation, claim.image))


def sign_image_claim(
    signer: Signer, module: Digest, translation: Digest, image: Digest
) -> ImageClaim:
    """Sign what this node says that a module's own image is."""
    unsigned = ImageClaim(
        module=module,
        translation=translation,
        image=image,
        author=NodeId(signer.public_key),
        signature=b"",
    )
    return replace(unsigned, signature=signer.sign("image", _image_payload(unsigned)))


def verify_image_claim(claim: ImageClaim, cluster: bytes) -> bool:
    """Tell whether the named node signed the claim."""
    return verify(claim.author, "image", cluster, _image_payload(claim), claim.signature)


def mark_hash(mark: Mark) -> Digest:
    """Name a signed mark."""
    return Digest(tagged("ambient/mark/1", encode(mark)))


def _mark_payload(mark: Mark) -> bytes:
    place = (mark.task, mark.slot, mark.attempt, mark.point)
    return encode((*place, mark.state, mark.state_size_bytes, mark.follows))


def sign_mark(signer: Signer, unsigned: Mark) -> Mark:
    """Sign where this node's execution stood."""
    mark = replace(unsigned, worker=NodeId(signer.public_key))
    return replace(mark, signature=signer.sign("mark", _mark_payload(mark)))


def verify_mark(mark: Mark, cluster: bytes) -> bool:
    """Tell whether the named worker signed the mark."""
    return verify(mark.worker, "mark", cluster, _mark_payload(mark), mark.signature)


def sign_manifest(signer: Signer, manifest: Manifest) -> SignedManifest:
    """Sign what this node says of a module that it publishes."""
    return SignedManifest(manifest=manifest, signature=signer.sign("manifest", encode(manifest)))


def verify_manifest(signed: SignedManifest, cluster: bytes) -> bool:
    """Tell whether the named publisher signed the manifest."""
    manifest = signed.manifest
    return verify(manifest.publisher, "manifest", cluster, encode(manifest), signed.signature)


def manifest_hash(signed: SignedManifest) -> Digest:
    """Name a signed manifest."""
    return Digest(sha256(encode(signed)))


def end_point(result: Result) -> TracePoint:
    """Give where a trace ends: the result's gas and root, whatever gas a trap left over."""
    return TracePoint(gas_index=result.gas, root=result_root(result))


def grant_payload(invite_key: bytes, expires_ms: int) -> bytes:
    """What an inviter signs (domain `invite`)."""
    return encode((invite_key, expires_ms))


def join_payload(join: Join) -> bytes:
    """What the invite key signs about the node that joins (domain `join`)."""
    return encode((join.node, join.profile))


def file_payload(file: ReceiptFile) -> bytes:
    """What the issuer of a receipt file signs (domain `receipt-file`): all before it."""
    fields = tuple(getattr(file, name) for name in file.__struct_fields__[:-1])
    return encode(fields)
