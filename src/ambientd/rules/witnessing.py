"""What a witness concludes from the heads of a receipt log (protocols/06-receipts.md section 8).

A quorum that shows different logs to different people has to cosign two heads that do not belong to
one tree. Whoever holds both can prove it to everybody: with the heads alone when they are of one
size, else with a proof from the larger head that its first leaves have another root than the
smaller.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from ambientd.codec.merkle import verify_consistency
from ambientd.codec.signing import verify_note
from ambientd.codec.statements import fingerprint
from ambientd.model.base import DIGEST_BYTES, NodeId
from ambientd.model.genesis import MEMBERS_MAX, Genesis
from ambientd.model.witness import LogUpdate, Prefix, SignedHead, SplitView
from ambientd.rules.file_checks import EPOCHS_MAX
from ambientd.rules.notes import note_text
from ambientd.rules.receipt_check import PATH_MAX
from ambientd.rules.receipt_epochs import FollowEpochs
from ambientd.rules.verdicts import quorum

UPDATE_VERSION: Final = 1
SPLIT_VERSION: Final = 1
SIZE_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Followed:
    """The log has grown, and everything seen before is still in it; or this is the first head."""

    head: SignedHead


@dataclass(frozen=True, slots=True)
class NothingNew:
    """The head was seen already, or is an earlier one of the same log."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """Nothing shows yet whether the head belongs to the log that was seen."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The head is not one of this log's, whoever shows it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Split:
    """Two heads of one log contradict each other."""

    evidence: SplitView


Outcome: TypeAlias = Followed | NothingNew | Unproven | Refused | Split


def head_fault(genesis: Genesis, head: SignedHead, follow: FollowEpochs) -> str | None:
    """Give why a head is not one that a quorum of the cluster's committee has cosigned, or None."""
    found = _signers(genesis, head, follow)
    return found if isinstance(found, str) else None


def _signers(genesis: Genesis, head: SignedHead, follow: FollowEpochs) -> frozenset[NodeId] | str:
    """Give who cosigned a head, or what is wrong with it."""
    note = head.note
    if len(head.epochs) > EPOCHS_MAX or len(note.cosignatures) > MEMBERS_MAX:
        return "it has more epochs or cosignatures than are allowed"
    if not 0 < note.size <= SIZE_MAX or len(note.root) != DIGEST_BYTES:
        return "its size or root is out of bounds"
    members = frozenset(member.node for member in genesis.members)
    if not 0 < len(members) <= MEMBERS_MAX:
        return f"the genesis must name 1 to {MEMBERS_MAX} different members"
    if head.epochs:
        epochs = follow(genesis, head.epochs)
        if isinstance(epochs, str):
            return epochs
        members = frozenset(epochs[-1].members)
    text = note_text(fingerprint(genesis), note.size, note.root)
    signers = {
        each.member
        for each in note.cosignatures
        if each.member in members and verify_note(each.member, text, each.signature)
    }
    if not quorum(len(members)) <= len(signers) == len(note.cosignatures):
        return f"{len(signers)} members cosigned it, {quorum(len(members))} are needed"
    return frozenset(signers)


class Witness:
    """Follows one log: remembers the last head, takes only what is consistent with it."""

    def __init__(self, genesis: Genesis, seen: SignedHead | None, follow: FollowEpochs) -> None:
        """Go on from the last head that was seen; the first one is taken on trust."""
        self._genesis = genesis
        self._follow = follow
        self.seen = seen

    def observe(self, update: LogUpdate) -> Outcome:
        """Compare a head with the last one; remember it when the log has grown to it."""
        if update.version != UPDATE_VERSION:
            return Refused(f"version {update.version} is unknown here, only {UPDATE_VERSION} is")
        if update.genesis != self._genesis:
            return Refused("it is of another cluster")
        fault = head_fault(self._genesis, update.head, self._follow)
        if fault is not None:
            return Refused(fault)
        outcome = self.compare(update.head, update.prefix)
        if isinstance(outcome, Followed):
            self.seen = outcome.head
        return outcome

    def compare(self, head: SignedHead, prefix: Prefix | None) -> Outcome:
        """Compare a cosigned head with the last one; the prefix is of the larger of the two."""
        if self.seen is None:
            return Followed(head)
        seen, given = self.seen.note, head.note
        if seen.size == given.size:
            return NothingNew() if seen.root == given.root else self._split(head, None)
        small, large = sorted((seen, given), key=lambda note: note.size)
        if prefix is None or prefix.size != small.size:
            return Unproven(f"there is no proof that leads from {small.size} to {large.size}")
        if not proves(prefix, large.size, large.root):
            return Unproven(f"the proof from {small.size} to {large.size} does not hold")
        if prefix.root != small.root:
            return self._split(head, prefix)
        return Followed(head) if large is given else NothingNew()

    def _split(self, head: SignedHead, prefix: Prefix | None) -> Split:
        assert self.seen is not None
        return Split(
            SplitView(
                version=SPLIT_VERSION,
                genesis=self._genesis,
                first=self.seen,
                second=head,
                prefix=prefix,
            )
        )


def proves(prefix: Prefix, size: int, root: bytes) -> bool:
    """Tell whether a head's first leaves have the root that a prefix says."""
    if len(prefix.path) > PATH_MAX or not 0 < prefix.size < size:
        return False
    if any(len(step) != DIGEST_BYTES for step in (prefix.root, *prefix.path)):
        return False
    return verify_consistency(prefix.size, prefix.root, size, root, prefix.path)


@dataclass(frozen=True, slots=True)
class SplitProven:
    """A split view holds; these members signed both heads, as far as one can tell by name."""

    evidence: SplitView
    signers: tuple[tuple[NodeId, ...], tuple[NodeId, ...]]
    """Who signed the first head, and the second."""

    @property
    def cluster(self) -> bytes:
        """Give the cluster's fingerprint."""
        return fingerprint(self.evidence.genesis)

    @property
    def both(self) -> tuple[NodeId, ...]:
        """Give who signed both."""
        first, second = self.signers
        return tuple(sorted(set(first) & set(second)))


def check_split(evidence: SplitView, follow: FollowEpochs) -> SplitProven | str:
    """Check evidence of a split view as a stranger does; give the finding, or what is wrong."""
    if evidence.version != SPLIT_VERSION:
        return f"version {evidence.version} is unknown here, only {SPLIT_VERSION} is"
    signers = []
    for name, head in (("first", evidence.first), ("second", evidence.second)):
        found = _signers(evidence.genesis, head, follow)
        if isinstance(found, str):
            return f"the {name} head does not count: {found}"
        signers.append(found)
    witness = Witness(evidence.genesis, evidence.first, follow)
    outcome = witness.compare(evidence.second, evidence.prefix)
    if not isinstance(outcome, Split):
        return "the two heads do not contradict each other, as far as this file shows"
    first, second = (tuple(sorted(each)) for each in signers)
    return SplitProven(evidence, (first, second))
