"""A module's own image: what somebody says that its translation gives (protocols/18 §12)."""

from ambientd.model.base import DIGEST_BYTES, Digest, NodeId, Value
from ambientd.model.genesis import Genesis

IMAGE_FEE_MSAT = 1_000_000
"""What it costs to be the first to name a module's image; members translate, to check it."""

IMAGES_MAX = 256
"""So many modules' images one node is the first to name, at most."""

NO_IMAGE = Digest(bytes(DIGEST_BYTES))
"""Where nothing is decided yet; nobody can claim it."""


class ImageClaim(Value, frozen=True):
    """A node's word that a module's own image is this one, signed (domain `image`).

    `translation` names how it was translated; what another one gives is another matter.
    """

    module: Digest
    translation: Digest
    image: Digest
    author: NodeId
    signature: bytes


class ImageFile(Value, frozen=True):
    """What nodes say of a module's own image, and who the members are (`*.image`)."""

    version: int
    genesis: Genesis
    epochs: tuple[bytes, ...]
    """How each epoch before the last one ended, as the proofs of the log (05 section 11)."""
    claims: tuple[ImageClaim, ...]
