"""Records about nodes and about the receipt log itself."""

from typing import cast

from msgspec.structs import replace

from ambientd.codec.digest import tagged
from ambientd.codec.signing import verify, verify_note
from ambientd.codec.statements import grant_payload, join_payload
from ambientd.ledger.draft import Draft
from ambientd.ledger.entries import (
    CheckpointEntry,
    EvidenceEntry,
    Invite,
    NodeEntry,
    Table,
    tip_key,
)
from ambientd.ledger.events import BatchAnchored, CheckpointClosed, NodeJoined
from ambientd.ledger.seat_entries import UsedTip
from ambientd.model.base import Digest
from ambientd.model.record import Anchor, Checkpoint, Fraud, Join, Record
from ambientd.rules.anchor_proofs import supersedes
from ambientd.rules.bitcoin import HEIGHT_MAX, NETWORKS, Branch, check_anchor
from ambientd.rules.labels import profile_fault
from ambientd.rules.notes import note_text
from ambientd.rules.verdicts import contradicts, quorum

NODES_MAX = 10_000


def revealed(draft: Draft) -> None:
    """Note how far the block's proposer is in its beacon chain."""
    epoch, context = draft.state.epoch, draft.context
    if context.proposer in epoch.members:
        key = tip_key(epoch.beacon_tips[epoch.members.index(context.proposer)])
        before = cast("UsedTip", draft.get(key))
        draft.put(key, replace(before, value=context.beacon[-32:], count=before.count + 1))


def join(draft: Draft, record: Record, body: Join) -> str | None:
    """Put a node on the allow-list that a member has invited."""
    if draft.node(body.node) is not None:
        return None
    cluster = draft.state.cluster
    grant = grant_payload(body.invite_key, body.expires_ms)
    if record.author != body.node:
        return "a node joins for itself"
    if body.inviter not in draft.state.members:
        return "the inviter is not a committee member"
    if draft.context.time_ms > body.expires_ms:
        return "the invitation has expired"
    if draft.get((Table.INVITE, body.invite_key)) is not None:
        return "the invitation has been used"
    if len(draft.state.nodes()) >= NODES_MAX:
        return f"the cluster has {NODES_MAX} nodes already"
    fault = profile_fault(body.profile)
    if fault is not None:
        return fault
    if not verify(body.inviter, "invite", cluster, grant, body.grant_signature):
        return "the inviter did not sign this invitation"
    if not verify(body.invite_key, "join", cluster, join_payload(body), body.invite_signature):
        return "the invitation was not made out to this node"
    draft.put((Table.INVITE, body.invite_key), Invite(node=body.node))
    draft.put_node(body.node, NodeEntry(profile=body.profile, is_member=False))
    draft.tell(NodeJoined(body.node, body.profile.name))
    return None


def checkpoint(draft: Draft, body: Checkpoint) -> str | None:
    """Close a batch whose head a quorum has cosigned and this ledger has too."""
    note, meta = body.note, draft.meta
    if note.size <= meta.checkpoint_size:
        return "a batch of this size, or a larger one, is closed already"
    # Receipts of this very block are in no head that anybody could have cosigned.
    if note.size > draft.state.receipt_log_size():
        return "the head is of more receipts than were settled before this block"
    if draft.state.receipt_log_root(note.size) != note.root:
        return "the head differs from this ledger's receipt log"
    text = note_text(draft.state.cluster, note.size, note.root)
    signers = {
        each.member
        for each in note.cosignatures
        if each.member in draft.state.members and verify_note(each.member, text, each.signature)
    }
    needed = quorum(len(draft.state.members))
    if len(signers) < needed or len(note.cosignatures) != len(signers):
        return f"{len(signers)} valid cosignatures, a quorum is {needed}"
    key = (Table.CHECKPOINT, note.size.to_bytes(8, "big"))
    draft.put(key, CheckpointEntry(note=note, epoch=draft.state.epoch.number))
    draft.put_meta(replace(meta, checkpoint_size=note.size))
    draft.tell(CheckpointClosed(note.size, note.root))
    return None


def anchor(draft: Draft, record: Record, body: Anchor) -> str | None:
    """Keep the first good proof that a batch's head is in a Bitcoin block, or a heavier one.

    A proof from another block, under more work, shows that the one before may have left the chain.
    """
    # Where work costs nothing a proof can be made up.
    if record.author not in draft.state.members:
        return "only committee members anchor"
    key = (Table.CHECKPOINT, body.size.to_bytes(8, "big"))
    closed = cast("CheckpointEntry | None", draft.get(key))
    if closed is None or closed.note.root != body.root:
        return "an anchor of no closed batch"
    if closed.anchor == body.proof:
        return None
    network = NETWORKS.get(draft.state.genesis.bitcoin_network)
    if network is None:
        return "this cluster does not anchor"
    proof = body.proof
    if not 0 <= proof.height <= HEIGHT_MAX:
        return f"the anchor's height is {proof.height}; heights are 0 to {HEIGHT_MAX}"
    check = check_anchor(
        body.root,
        proof.raw_tx,
        Branch(proof.index, proof.siblings),
        proof.header,
        list(proof.following_headers),
        network,
    )
    if not check.passed:
        faults = (f"{step.name} ({step.detail})" for step in check.faults)
        return f"the anchor's proof fails: {', '.join(faults)}"
    if closed.anchor is not None and not supersedes(proof, closed.anchor):
        return None
    draft.put(key, replace(closed, anchor=proof))
    meta = draft.meta
    draft.put_meta(replace(meta, anchored_size=max(meta.anchored_size, body.size)))
    draft.tell(BatchAnchored(body.size, body.root, proof))
    return None


def fraud(draft: Draft, body: Fraud, *, is_proven: bool) -> str | None:
    """Convict a key that has contradicted itself."""
    if not is_proven and not contradicts(body, draft.state.cluster):
        return "statements that do not contradict each other"
    entry = draft.node(body.culprit)
    if entry is None:
        return "evidence against no known node"
    if entry.tombstoned:
        return None
    evidence = EvidenceEntry(
        culprit=body.culprit,
        kind=body.kind,
        task=None,
        receipt=None,
        verdicts=(),
        first=body.first,
        second=body.second,
    )
    name = tagged("ambient/evidence/1", body.kind.encode(), body.first, body.second)
    draft.convict(Digest(name), evidence)
    return None
