"""What a node's log is told once: who its members are, and its limits."""

from dataclasses import dataclass
from typing import Protocol

from ambientd.codec.statements import epoch_hash
from ambientd.consensus import beacon
from ambientd.consensus.messages import (
    FETCHED_BLOCKS_MAX,
    Position,
    QuorumCertificate,
    genesis_qc,
)
from ambientd.errors import ConfigError
from ambientd.model.genesis import FIRST_STATE_VERSION, MEMBERS_MAX

BLOCK_BYTES_HARD_MAX = 8_000_000


class Random(Protocol):
    """The part of random.Random that the log draws from."""

    def randrange(self, stop: int, /) -> int:
        """Draw an integer in 0..stop - 1."""
        ...


class LogSigner(Protocol):
    """Whoever holds this node's key."""

    @property
    def public_key(self) -> bytes:
        """Give the node's id."""
        ...

    def sign(self, domain: str, payload: bytes) -> bytes:
        """Sign for one domain; 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class TrustedEpoch:
    """An epoch that this node's owner knows from elsewhere: every chain of epochs must pass it."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class ConsensusOptions:
    """One epoch's committee and this node's limits; times in ms."""

    cluster: bytes
    epoch: int
    members: tuple[bytes, ...]
    seed: bytes
    self_id: bytes
    beacon_tips: tuple[bytes, ...]
    beacon_secret: bytes = b""
    may_vote: bool = True  # False when this key's safety file is lost: it never votes again
    root_index: int = 0
    root_hash: bytes = b""  # the stop block of the epoch before; empty in the first epoch
    t0_ms: int = 400
    batch_ms: int = 5
    block_bytes_max: int = 256 * 1024  # a block closes at this size; only one record may exceed it
    records_max: int = 512  # as many signatures as a member verifies well within T0
    record_bytes_max: int = 1024 * 1024
    pending_records_max: int = 16_384
    pending_bytes_max: int = 16 * 1024 * 1024
    pending_per_peer_max: int = 4096
    held_blocks_max: int = 64
    tree_blocks_max: int = 4096
    fetch_blocks_max: int = 128
    fetch_bytes_max: int = 1024 * 1024
    include_ms: int = 4_000
    tenure_ms: int = 600_000
    trusted: TrustedEpoch | None = None
    state_version: int = FIRST_STATE_VERSION
    known_version: int = FIRST_STATE_VERSION  # the newest whose blocks this node can apply
    is_whole: bool = False  # True when this node wants every block, from the first on

    @property
    def is_known(self) -> bool:
        """Tell whether this node can apply the epoch's blocks: its program knows their version."""
        return self.state_version <= self.known_version

    @property
    def unknown_text(self) -> str:
        """Say, of an epoch whose blocks this node cannot apply, why so and what to do."""
        return (
            f"the log is of state version {self.state_version} since block {self.root_index + 1}, "
            f"this program knows {self.known_version}: update it"
        )

    @property
    def root(self) -> QuorumCertificate:
        """Give the certificate that needs no votes: the epoch's beginning."""
        if not self.root_hash:
            return genesis_qc(self.cluster, self.epoch)
        return QuorumCertificate(Position(0, self.root_index), 0, self.root_hash, ())

    @property
    def epoch_hash(self) -> bytes:
        """Name this epoch, its committee, and by the root's block all before it."""
        tips, root = self.beacon_tips, self.root
        place = self.state_version, root.position.index, root.hash
        return epoch_hash(self.epoch, self.members, self.seed, tips, *place)

    @property
    def is_trusted(self) -> bool:
        """Tell whether this epoch is not before the one that the owner trusts."""
        return self.trusted is None or self.epoch >= self.trusted.number

    def require_beacon_secret(self) -> None:
        """Refuse a member's secret that does not lead to the tip that the committee knows."""
        tip = dict(zip(self.members, self.beacon_tips, strict=True)).get(self.self_id)
        if tip is not None and tip != beacon.tip(self.beacon_secret):
            _refuse("beacon_secret does not lead to this member's beacon tip")

    def __post_init__(self) -> None:
        self._validate_committee()
        positive = {
            name: getattr(self, name)
            for name in self.__slots__
            if name.endswith(("_ms", "_max")) and name != "batch_ms"
        }
        for name, value in positive.items():
            if value < 1:
                _refuse(f"{name} is {value}; it must be at least 1")
        if self.t0_ms < 40:
            _refuse(f"t0_ms is {self.t0_ms}; below 40 ms every term would time out")
        if not 0 <= self.batch_ms < self.t0_ms:
            _refuse(f"batch_ms is {self.batch_ms}; it must lie in 0..t0_ms - 1")
        for name in ("block_bytes_max", "record_bytes_max", "fetch_bytes_max"):
            if positive[name] > BLOCK_BYTES_HARD_MAX:
                _refuse(f"{name} is {positive[name]}; at most {BLOCK_BYTES_HARD_MAX} travel")
        if self.fetch_blocks_max > FETCHED_BLOCKS_MAX:
            _refuse(f"fetch_blocks_max is above {FETCHED_BLOCKS_MAX}")

    def _validate_committee(self) -> None:
        members = self.members
        if not 1 <= len(members) <= MEMBERS_MAX:
            _refuse(f"the committee has {len(members)} members; 1 to {MEMBERS_MAX} are possible")
        if list(members) != sorted(set(members)):
            _refuse("the committee's keys must be sorted and differ")
        if any(len(key) != 32 for key in (*members, self.cluster, self.self_id)):
            _refuse("keys and the cluster fingerprint have 32 bytes each")
        if len(self.beacon_tips) != len(members) or any(len(t) != 32 for t in self.beacon_tips):
            _refuse("beacon_tips must hold one 32-byte tip for each member, in the same order")
        if self.epoch < 0:
            _refuse(f"the epoch is {self.epoch}; it starts at 0")


def _refuse(reason: str) -> None:
    msg = f"consensus options: {reason}"
    raise ConfigError(msg)
