"""How the log learns from the ledger that an epoch is to end (protocols/05-log.md section 11)."""

from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from ambientd.codec.canonical import decode, encode
from ambientd.codec.signing import Signer
from ambientd.codec.statements import fingerprint, sign_record
from ambientd.consensus.certificates import Committee, Verifier
from ambientd.consensus.epochs import Epoch as LogEpoch
from ambientd.consensus.epochs import verify_epoch_chain
from ambientd.consensus.messages import EpochEnd, Evidence
from ambientd.consensus.options import ConsensusOptions
from ambientd.errors import ConfigError, RemoteProtocolError
from ambientd.ledger.apply import ProveFraud, decode_record
from ambientd.ledger.founders import first_epoch
from ambientd.ledger.state import LedgerState
from ambientd.model.base import NodeId
from ambientd.model.blame import Contradiction
from ambientd.model.genesis import FIRST_EPOCH, Genesis
from ambientd.model.record import Epoch, Fraud
from ambientd.node.roots import RecentRoots
from ambientd.rules.receipt_epochs import FollowedEpoch
from ambientd.telemetry.batch import decode_batch, is_evidence
from ambientd.telemetry.core import EVIDENCE_KIND

LOG_EVIDENCE = "log"


class LogEvidence(Struct, frozen=True, array_like=True):
    """What convicts a member of the log, and in which epoch it was one."""

    epoch: int
    evidence: Evidence


def read_stop(record: bytes) -> LogEpoch | None:
    """Give the epoch that a record begins; None for every other record."""
    try:
        body = decode_record(record).body
    except RemoteProtocolError:
        return None
    if not isinstance(body, Epoch):
        return None
    seats = body.members, body.seed, body.beacon_tips
    return LogEpoch(body.number, *seats, body.state_version)


class LedgerStops:
    """The ledger's word on when epochs end, in the log's form (a `Stops`)."""

    def __init__(self, signer: Signer, recent: RecentRoots) -> None:
        self._signer = signer
        self._recent = recent

    def read(self, record: bytes) -> LogEpoch | None:
        """Give the epoch that a record begins."""
        return read_stop(record)

    def due(self, index: int) -> bytes | None:
        """Give the stop that the state after a recent block wants, signed by this node."""
        epoch = self._recent.due(index)
        return None if epoch is None else encode(sign_record(self._signer, epoch))


def options_of(
    epoch: Epoch, cluster: bytes, self_id: bytes, secret: bytes = b"", *, may_vote: bool = False
) -> ConsensusOptions:
    """Give the log's options in an epoch, with the limits that are the same everywhere."""
    return ConsensusOptions(
        cluster=cluster,
        epoch=epoch.number,
        members=epoch.members,
        seed=epoch.seed,
        self_id=self_id,
        beacon_tips=epoch.beacon_tips,
        beacon_secret=secret,
        may_vote=may_vote,
        state_version=epoch.state_version,
    )


@lru_cache(maxsize=16)
def _verifier(epoch: Epoch, cluster: bytes) -> Verifier:
    options = options_of(epoch, cluster, epoch.members[0])
    return Verifier(options, Committee(options.members, options.seed))


def fraud_judge(ledger: LedgerState) -> ProveFraud:
    """Give what tells whether two statements convict a key, by the rules of their own core."""

    def judge(body: Fraud) -> bool:
        try:
            if body.kind == EVIDENCE_KIND:
                accused = decode_batch(body.first).node
                proven = is_evidence(body.first, body.second, ledger.cluster)
                return proven and accused == body.culprit
            if body.kind == LOG_EVIDENCE and not body.second:
                return _log_culprit(decode(body.first, LogEvidence), ledger) == body.culprit
        except RemoteProtocolError:
            return False
        return False

    return judge


def _log_culprit(found: LogEvidence, ledger: LedgerState) -> bytes | None:
    """Give whom evidence convicts before the committee of its epoch."""
    entry = ledger.epoch_entry(found.epoch)
    if entry is None:
        return None
    return _verifier(entry.epoch, ledger.cluster).culprit(found.evidence)


def culprit_of(genesis: Genesis, ends: tuple[bytes, ...], found: Contradiction) -> bytes | None:
    """Give whom two statements of 05 or 07 convict, before committees that these ends prove."""
    try:
        if found.kind == EVIDENCE_KIND:
            proven = is_evidence(found.first, found.second, fingerprint(genesis))
            return decode_batch(found.first).node if proven else None
        if found.kind == LOG_EVIDENCE and not found.second:
            said: LogEvidence = decode(found.first, LogEvidence)
            return _culprit_of_log(genesis, ends, said)
    except (RemoteProtocolError, ConfigError):
        return None
    return None


def _culprit_of_log(genesis: Genesis, ends: tuple[bytes, ...], said: LogEvidence) -> bytes | None:
    if not FIRST_EPOCH <= said.epoch <= FIRST_EPOCH + len(ends):
        return None
    first = first_epoch(genesis)
    options = options_of(first, fingerprint(genesis), first.members[0])
    before: list[EpochEnd] = [decode(raw, EpochEnd) for raw in ends[: said.epoch - FIRST_EPOCH]]
    followed = verify_epoch_chain(options, before, read_stop)
    if isinstance(followed, str):
        return None
    return Verifier(followed, Committee(followed.members, followed.seed)).culprit(said.evidence)


def beacon_secrets(
    ledger: LedgerState, self_id: NodeId, derive: Callable[[int], bytes]
) -> Callable[[bytes], bytes]:
    """Give what finds the beginning of this node's beacon chain by its tip."""

    def secret(tip: bytes) -> bytes:
        seat = ledger.seat(self_id)
        return derive(0 if seat is None or seat.beacon_tip != tip else seat.asked_ms)

    return secret


def follow_epochs(genesis: Genesis, ends: tuple[bytes, ...]) -> tuple[FollowedEpoch, ...] | str:
    """Give the epoch that each proof leads to, from the founders on, or what is wrong with one."""
    first = first_epoch(genesis)
    try:
        options = options_of(first, fingerprint(genesis), first.members[0])
    except ConfigError as error:
        return f"the genesis founds no committee: {error}"
    epochs = []
    for raw in ends:
        try:
            end: EpochEnd = decode(raw, EpochEnd)
        except RemoteProtocolError as error:
            return f"the proof of how epoch {options.epoch} ended cannot be read: {error}"
        following = verify_epoch_chain(options, (end,), read_stop)
        if isinstance(following, str):
            return following
        options = following
        members = tuple(map(NodeId, options.members))
        stop_ms = end.links[0][0].time_ms
        rules = options.state_version, stop_ms
        epochs.append(FollowedEpoch(options.epoch, options.epoch_hash, members, *rules))
    return tuple(epochs)
