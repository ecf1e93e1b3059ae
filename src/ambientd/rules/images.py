"""Images of modules, offline: by which translation they are, and whose word one is (18 §12)."""

from dataclasses import dataclass

from ambientd.codec.canonical import decode
from ambientd.codec.statements import fingerprint, verify_image_claim
from ambientd.errors import RemoteProtocolError
from ambientd.model.base import Digest, NodeId
from ambientd.model.image import NO_IMAGE, ImageFile
from ambientd.rules.founding import genesis_fault
from ambientd.rules.receipt_epochs import FollowEpochs
from ambientd.rules.verdicts import liars_max

TRANSLATION = Digest(
    bytes.fromhex("009b84654a6767a357ad4fce0b74a932739d6bbcf13aceacb359d37999fe5c81")
)
"""What names this program's translation: `python -m scripts.proof_image --translation`."""

FILE_VERSION = 1
FILE_BYTES_MAX = 4 << 20


@dataclass(frozen=True, slots=True)
class Vouched:
    """An image that so many members of a cluster found that one of them is honest."""

    image: Digest
    cluster: Digest
    words: tuple[NodeId, ...]
    members: int

    @property
    def trust_text(self) -> str:
        """Say whose word it is that the module's image is this one."""
        names = ", ".join(each.hex()[:12] for each in self.words)
        return (
            f"that the module becomes this image is the word of {names}: {len(self.words)} of the "
            f"{self.members} members of the cluster {self.cluster.hex()}, of whom "
            f"{liars_max(self.members)} may lie; nobody translated it here"
        )


def read_image_file(data: bytes, module: Digest, follow: FollowEpochs) -> Vouched:
    """Give the image that members vouch for; raise RemoteProtocolError where none do for it."""
    file: ImageFile = decode(data, ImageFile, FILE_BYTES_MAX)
    if file.version != FILE_VERSION:
        raise RemoteProtocolError(f"it is of version {file.version}, not {FILE_VERSION}")
    fault = genesis_fault(file.genesis)
    if fault is not None:
        raise RemoteProtocolError(fault)
    epochs = follow(file.genesis, file.epochs)
    if isinstance(epochs, str):
        raise RemoteProtocolError(epochs)
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
    needed = liars_max(len(seated)) + 1
    found = [(image, words) for image, words in said.items() if len(words) >= needed]
    if len(found) != 1:
        most = max((len(words) for words in said.values()), default=0)
        raise RemoteProtocolError(f"no {needed} of {len(seated)} members say the same: {most} do")
    [(image, words)] = found
    return Vouched(image, cluster, tuple(sorted(words)), len(seated))
