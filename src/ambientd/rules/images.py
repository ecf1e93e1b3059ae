"""Images of modules, offline: by which translation they are, and whose word one is (18 §12)."""

from dataclasses import dataclass

from ambientd.codec.canonical import decode
from ambientd.codec.statements import fingerprint, verify_image_claim
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.genesis import FIRST_EPOCH, MEMBERS_MAX
from ambientd.model.image import NO_IMAGE, ImageFile
from ambientd.rules.file_checks import EPOCHS_MAX, counts_fault
from ambientd.rules.founding import genesis_fault
from ambientd.rules.receipt_epochs import FollowEpochs
from ambientd.rules.verdicts import liars_max, vouching

TRANSLATION = Digest(
    bytes.fromhex("009b84654a6767a357ad4fce0b74a932739d6bbcf13aceacb359d37999fe5c81")
)
"""What names this program's translation: `python -m scripts.proof_image --translation`."""

FILE_VERSION = 1
FILE_BYTES_MAX = 4 << 20
CLAIMS_MAX = MEMBERS_MAX + 1


@dataclass(frozen=True, slots=True)
class Vouched:
    """An image that so many members of a cluster found that one of them is honest.

    They were its members in this epoch; `trusted` is the epoch that the file had to lead through.
    """

    image: Digest
    cluster: Digest
    words: tuple[NodeId, ...]
    members: int
    epoch: int
    trusted: int | None = None

    @property
    def sentence(self) -> str:
        """Say the same as a sentence of its own."""
        return f"{self.trust_text[:1].upper()}{self.trust_text[1:]}."

    @property
    def trust_text(self) -> str:
        """Say whose word it is that the module's image is this one."""
        names = ", ".join(each.hex()[:12] for each in self.words)
        keys = (
            "who has left since can still sign: --epoch takes a recent epoch's hash"
            if self.trusted is None
            else f"keys of committees before epoch {self.trusted} no longer matter"
        )
        return (
            f"that the module becomes this image is the word of {names}: {len(self.words)} of the "
            f"{self.members} members in epoch {self.epoch} of the cluster {self.cluster.hex()}, of "
            f"whom {liars_max(self.members)} may lie; nobody translated it here, and {keys}"
        )


def read_image_file(
    data: bytes, module: Digest, follow: FollowEpochs, trusted_epoch: bytes | None = None
) -> Vouched:
    """Give the image that members vouch for; raise RemoteProtocolError where none do for it.

    Where the hash of an epoch is known from elsewhere, the committees must have passed it: no
    certificate helps against the keys of one that is gone.
    """
    file: ImageFile = decode(data, ImageFile, FILE_BYTES_MAX)
    if file.version != FILE_VERSION:
        raise RemoteProtocolError(f"it is of version {file.version}, not {FILE_VERSION}")
    lists = (("epochs", len(file.epochs), EPOCHS_MAX), ("claims", len(file.claims), CLAIMS_MAX))
    fault = counts_fault(lists) or genesis_fault(file.genesis)
    if fault is not None:
        raise RemoteProtocolError(fault)
    epochs = follow(file.genesis, file.epochs)
    if isinstance(epochs, str):
        raise RemoteProtocolError(epochs)
    trusted = next((each.number for each in epochs if each.hash == trusted_epoch), None)
    if trusted_epoch is not None and trusted is None:
        msg = f"no epoch on the way from the founders has the hash {trusted_epoch.hex()}"
        raise RemoteProtocolError(msg)
    founders = tuple(each.node for each in file.genesis.members)
    seated = epochs[-1].members if epochs else founders
    cluster = fingerprint(file.genesis)
    said: dict[Digest, set[NodeId]] = {}
    for claim in file.claims:
        if (claim.module, claim.translation) != (module, TRANSLATION):
            raise RemoteProtocolError("it tells of another module, or of another translation")
        if claim.image == NO_IMAGE or not verify_image_claim(claim, cluster):
            raise RemoteProtocolError(f"{claim.author.hex()[:12]} has not signed its word")
        if claim.author in seated:
            said.setdefault(claim.image, set()).add(claim.author)
    needed = vouching(len(seated))
    found = [(image, words) for image, words in said.items() if len(words) >= needed]
    if len(found) != 1:
        most = max((len(words) for words in said.values()), default=0)
        raise RemoteProtocolError(f"no {needed} of {len(seated)} members say the same: {most} do")
    [(image, words)] = found
    epoch = epochs[-1].number if epochs else FIRST_EPOCH
    return Vouched(image, cluster, tuple(sorted(words)), len(seated), epoch, trusted)
