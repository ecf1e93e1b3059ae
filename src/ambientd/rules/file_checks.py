"""What the checks of all files for strangers share: findings, the cluster, bounds of lists."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ambientd.codec.merkle import root_from_inclusion
from ambientd.codec.signing import verify_note
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_STATE_VERSION, MEMBERS_MAX, Genesis
from ambientd.model.receipt import CheckpointNote
from ambientd.rules.notes import note_text
from ambientd.rules.verdicts import quorum

EPOCHS_MAX = 1024

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Report(Generic[F]):
    """What a check of a file found; `file` is None when the bytes are none."""

    checks: tuple[Check, ...]
    trust: tuple[str, ...]
    file: F | None = None

    @property
    def valid(self) -> bool:
        """Whether every check held."""
        return bool(self.checks) and all(check.ok for check in self.checks)


@dataclass(slots=True)
class Examination(Generic[F]):
    """A decoded file, what is derived from it once, and the findings so far."""

    file: F
    cluster: bytes
    committees: list[frozenset[NodeId]]
    """The founders, then that of each later epoch."""
    checks: list[Check] = field(default_factory=list)

    def note(self, name: str, fault: str | None, found: str) -> None:
        """Write down a finding: the fault, or what was found when there is none."""
        self.checks.append(Check(name, fault is None, found if fault is None else fault))

    def check_cluster(self, genesis: Genesis, pinned: bytes | None) -> None:
        """Compare the cluster with the one that was meant."""
        founded = f"{len(genesis.members)} founding members, state version {genesis.state_version}"
        name = f"{self.cluster.hex()} ({founded})"
        if pinned is None:
            text = f"{name}, as the file says; nothing was given to compare it to"
            self.note("cluster", None, text)
            return
        fault = None
        if pinned != self.cluster:
            fault = f"the file is from cluster {self.cluster.hex()}, not from {pinned.hex()}"
        self.note("cluster", fault, f"{name}, as pinned")


def benches(committees: Sequence[frozenset[NodeId]], referees: AbstractSet[NodeId]) -> list[int]:
    """Give the sizes of the committees that all referees belong to, the first ones first."""
    return [len(seats) for seats in committees if referees <= seats]


def version_fault(version: int, known: int) -> str | None:
    """Say that a file is of another version than this program reads."""
    if version == known:
        return None
    return f"version {version} is unknown here, only {known} is; update the program"


def founders_fault(genesis: Genesis) -> str | None:
    """Say why nobody can have founded a cluster like this."""
    if genesis.state_version < FIRST_STATE_VERSION:
        return f"the genesis names state version {genesis.state_version}; the first is 1"
    members = [member.node for member in genesis.members]
    if 0 < len(members) <= MEMBERS_MAX and len(set(members)) == len(members):
        return None
    return f"the genesis must name 1 to {MEMBERS_MAX} different members"


def counts_fault(counts: Iterable[tuple[str, int, int]]) -> str | None:
    """Say which list is longer than it may be: each by its name, its length and the most."""
    for name, count, most in counts:
        if count > most:
            return f"{count} {name} are more than the {most} allowed"
    return None


def inclusion_fault(
    leaf: Digest, leaf_index: int, path: Sequence[Digest], note: CheckpointNote
) -> str | None:
    """Say why a leaf is not in the tree that a note is of; None when it is."""
    if not 0 <= leaf_index < note.size:
        return f"leaf {leaf_index} is outside the checkpoint's {note.size} leaves"
    if root_from_inclusion(leaf, leaf_index, note.size, path) != note.root:
        return f"the path does not lead from leaf {leaf_index} to the checkpoint's root"
    return None


def note_fault(
    note: CheckpointNote, cluster: bytes, members: frozenset[NodeId]
) -> tuple[str | None, str]:
    """Say why a committee has not cosigned a note, or None, and who has."""
    text, needed = note_text(cluster, note.size, note.root), quorum(len(members))
    fault = None
    for cosignature in note.cosignatures:
        name = cosignature.member.hex()[:16]
        if cosignature.member not in members:
            fault = f"{name} cosigned and is no member"
        elif not verify_note(cosignature.member, text, cosignature.signature):
            fault = f"the cosignature of member {name} does not fit"
    signers = {cosignature.member for cosignature in note.cosignatures}
    if fault is None and not needed <= len(signers) == len(note.cosignatures):
        fault = f"{len(signers)} members cosigned, {needed} different ones are needed"
    return fault, f"{len(signers)} of {len(members)} members cosigned, {needed} needed"
