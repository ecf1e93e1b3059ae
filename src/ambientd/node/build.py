"""Put a node together from what it was told and what it had on disk."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ambientd.codec.canonical import decode
from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.consensus.catch_up import BlockSource
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.core import Consensus
from ambientd.consensus.messages import Evidence
from ambientd.consensus.options import ConsensusOptions, Random
from ambientd.consensus.restored import Restored
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import may_propose
from ambientd.ledger.apply import ProveFraud, decode_record, is_admissible
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.genesis import Genesis
from ambientd.model.record import Fraud
from ambientd.node.core import LOG_EVIDENCE, Cores, Node
from ambientd.node.roots import RecentRoots
from ambientd.roles.anchorer import Anchorer
from ambientd.roles.checkpointer import Checkpointer
from ambientd.roles.coordinator import Coordinator
from ambientd.roles.referee import Referee
from ambientd.roles.reporter import Reporter
from ambientd.roles.submitter import Submitter
from ambientd.roles.worker import Worker
from ambientd.rules.verdicts import quorum
from ambientd.telemetry.batch import decode_batch, is_evidence
from ambientd.telemetry.core import EVIDENCE_KIND, Telemetry, TelemetryOptions

LOG_EPOCH = 1


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """One node's identity and what its owner chose."""

    genesis: Genesis
    seed: bytes
    anchors: bool = True
    may_vote: bool = True
    telemetry: TelemetryOptions = field(default_factory=TelemetryOptions)


def signer_of(seed: bytes, genesis: Genesis) -> Signer:
    """Give a key's signer in this cluster."""
    return Signer(seed, fingerprint(genesis))


def beacon_secret(seed: bytes) -> bytes:
    """Derive the start of a member's beacon chain from its key's seed."""
    return tagged("ambient/beacon-secret/1", seed)


def fraud_judge(log: ConsensusOptions) -> ProveFraud:
    """Give what tells whether two statements convict a key, by the rules of their own core."""
    verifier = Verifier(log, Committee(log.members, log.seed))

    def judge(body: Fraud) -> bool:
        try:
            if body.kind == EVIDENCE_KIND:
                accused = decode_batch(body.first).node
                proven = is_evidence(body.first, body.second, log.cluster)
                return proven and accused == body.culprit
            if body.kind == LOG_EVIDENCE and not body.second:
                return verifier.culprit(decode(body.first, Evidence)) == body.culprit
        except RemoteProtocolError:
            return False
        return False

    return judge


def record_gate(ledger: LedgerState) -> Callable[[bytes], bool]:
    """Give what keeps strangers' records out of the pool; unreadable ones are judged elsewhere."""

    def may_enter(data: bytes) -> bool:
        try:
            return may_propose(decode_record(data), ledger)
        except RemoteProtocolError:
            return True

    return may_enter


def build_node(
    options: NodeOptions,
    ledger: LedgerState,
    restored: Restored | None,
    telemetry_epoch: int,
    blocks: BlockSource,
    rng: Random,
) -> Node:
    """Give the node in the state that it had on disk."""
    genesis = options.genesis
    signer = signer_of(options.seed, genesis)
    members = tuple(sorted(member.node for member in genesis.members))
    tips = {member.node: member.beacon_tip for member in genesis.members}
    roots = RecentRoots(ledger.applied_index, ledger.root)
    log = ConsensusOptions(
        cluster=signer.cluster,
        epoch=LOG_EPOCH,
        members=members,
        seed=signer.cluster,
        self_id=signer.public_key,
        beacon_tips=tuple(tips[member] for member in members),
        beacon_secret=beacon_secret(options.seed),
        may_vote=options.may_vote,
        t0_ms=genesis.rules.t0_ms,
    )
    consensus = Consensus(
        log,
        signer,
        restored,
        rng,
        is_valid=lambda record: is_admissible(record, signer.cluster),
        may_enter=record_gate(ledger),
        state_root=roots.get,
        blocks=blocks,
    )
    committee = frozenset(NodeId(member) for member in members)
    own_id = NodeId(signer.public_key)
    cores = Cores(
        consensus=consensus,
        ledger=ledger,
        worker=Worker(signer, tagged("ambient/nonce-secret/1", options.seed)),
        coordinator=Coordinator(own_id),
        referee=Referee(signer, committee),
        reporter=Reporter(own_id, committee),
        checkpointer=Checkpointer(signer, committee, quorum(len(members)), genesis.rules.batch_ms),
        anchorer=Anchorer(enabled=options.anchors),
        submitter=Submitter(own_id),
        telemetry=Telemetry(signer, options.telemetry, telemetry_epoch),
    )
    return Node(signer, committee, cores, roots, fraud_judge(log))
