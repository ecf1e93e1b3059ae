"""Put a node together from what it was told and what it had on disk."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ambientd.codec.digest import tagged
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint
from ambientd.consensus import beacon
from ambientd.consensus.catch_up import EpochSource
from ambientd.consensus.log import Log
from ambientd.consensus.options import Random, TrustedEpoch
from ambientd.consensus.restored import Restored
from ambientd.errors import RemoteProtocolError
from ambientd.ledger.admission import may_propose
from ambientd.ledger.apply import decode_record, is_admissible
from ambientd.ledger.founders import first_epoch
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId, TaskId
from ambientd.model.genesis import Genesis
from ambientd.model.mark import Mark
from ambientd.model.record import Admit
from ambientd.node.applying import Applier
from ambientd.node.compaction import Compactor, LogKept, LogOptions
from ambientd.node.core import Node
from ambientd.node.cores import Cores
from ambientd.node.learning import Learning
from ambientd.node.past import FoundersPast
from ambientd.node.proving import Proving
from ambientd.node.roots import RecentRoots
from ambientd.node.stops import LedgerStops, beacon_secrets, fraud_judge, options_of
from ambientd.roles.anchor_watch import AnchorWatch
from ambientd.roles.anchorer import Anchorer, AnchorerOptions
from ambientd.roles.announcer import Announcer
from ambientd.roles.asked import Asked
from ambientd.roles.checkpointer import Checkpointer
from ambientd.roles.coordinator import Coordinator
from ambientd.roles.courier import Courier
from ambientd.roles.disputer import Disputer
from ambientd.roles.header_bringer import HeaderBringer
from ambientd.roles.keeper import Keeper
from ambientd.roles.offerer import Offerer
from ambientd.roles.referee import Referee
from ambientd.roles.reporter import Reporter
from ambientd.roles.step_prover import NO_STEPS, StepTerms
from ambientd.roles.submitter import Submitter
from ambientd.roles.worker import Worker
from ambientd.telemetry.core import Telemetry, TelemetryOptions


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """One node's identity and what its owner chose."""

    genesis: Genesis
    seed: bytes
    anchors: AnchorerOptions = field(default_factory=AnchorerOptions)
    may_vote: bool = True
    is_first_start: bool = False
    """Whether nothing here tells if this key has voted: the log finds it out before it votes."""

    telemetry: TelemetryOptions = field(default_factory=TelemetryOptions)
    log: LogOptions = field(default_factory=LogOptions)
    trusted: TrustedEpoch | None = None
    proves_cycles_max: int = 0
    """How many padded cycles this node proves for a task; 0 for none."""

    proves_steps: StepTerms = NO_STEPS
    says_next_version: bool = False
    """Whether it says in the log that its program knows the next state version."""


def signer_of(seed: bytes, genesis: Genesis) -> Signer:
    """Give a key's signer in this cluster."""
    return Signer(seed, fingerprint(genesis))


def beacon_secret(seed: bytes, asked_ms: int = 0) -> bytes:
    """Derive the start of a beacon chain from a key's seed: a founder's, or a later request's."""
    request = (asked_ms.to_bytes(8, "big"),) if asked_ms else ()
    return tagged("ambient/beacon-secret/1", seed, *request)


def beacon_tip(seed: bytes, asked_ms: int = 0) -> bytes:
    """Give what the ledger shows of a beacon chain before its owner has revealed anything."""
    return beacon.tip(beacon_secret(seed, asked_ms))


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
    blocks: EpochSource,
    rng: Random,
    kept: LogKept,
    marks: tuple[Mark, ...] = (),
    asked: Mapping[TaskId, Admit] | None = None,
) -> Node:
    """Give the node in the state that it had on disk."""
    genesis = options.genesis
    signer = signer_of(options.seed, genesis)
    own_id = NodeId(signer.public_key)
    roots = RecentRoots(ledger.applied_index, ledger.root, ledger.epoch_due)

    def secret(asked_ms: int) -> bytes:
        return beacon_secret(options.seed, asked_ms)

    first = options_of(
        first_epoch(genesis), signer.cluster, own_id, secret(0), may_vote=options.may_vote
    )
    newest = ledger.versions.newest
    log = Log(
        replace(
            first,
            t0_ms=genesis.rules.t0_ms,
            trusted=options.trusted,
            known_version=newest,
            is_whole=options.log.is_whole,
        ),
        signer,
        restored,
        rng,
        is_valid=lambda record, version: is_admissible(record, signer.cluster, version),
        may_enter=record_gate(ledger),
        state_root=roots.get,
        blocks=blocks,
        stops=LedgerStops(signer, roots),
        secret_of=beacon_secrets(ledger, own_id, secret),
        past=FoundersPast(ledger, own_id) if options.is_first_start else None,
    )
    cores = Cores(
        log=log,
        ledger=ledger,
        worker=Worker(signer, tagged("ambient/nonce-secret/1", options.seed), marks),
        coordinator=Coordinator(own_id),
        disputer=Disputer(signer),
        referee=Referee(signer),
        proving=Proving(signer, options.proves_cycles_max, options.proves_steps),
        learning=Learning(signer),
        reporter=Reporter(own_id, is_silent=options.is_first_start),
        checkpointer=Checkpointer(signer, genesis.rules.batch_ms),
        anchorer=Anchorer(options.anchors, own_id),
        anchor_watch=AnchorWatch(own_id, is_enabled=options.anchors.enabled),
        headers=HeaderBringer(),
        offerer=Offerer(own_id),
        announcer=Announcer(own_id, may_speak=options.says_next_version),
        submitter=Submitter(own_id),
        asked=Asked(own_id, asked),
        courier=Courier(own_id),
        keeper=Keeper(own_id),
        telemetry=Telemetry(signer, options.telemetry, telemetry_epoch),
    )
    applier = Applier(ledger, roots, fraud_judge(ledger), Compactor(options.log, kept))
    return Node(signer, cores, applier)
