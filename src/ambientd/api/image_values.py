"""What is asked about modules' own images, and what is answered (protocols/18 §12)."""

from ambientd.api.replies import Reply
from ambientd.api.requests import Request, Sha256


class NameImage(Request, frozen=True):
    """Say as this node what a module's own image is; the first word on a module costs a fee.

    Whoever says it has translated the module: who names another image than the members find
    names none any more.
    """

    module_sha256: Sha256
    image: Sha256


class ShowImage(Request, frozen=True):
    """What is a module's own image, and who says so? With a file for strangers where asked."""

    module_sha256: Sha256
    with_file: bool = False


class ImageWord(Reply, frozen=True):
    """One node's word; `denied` where it has named another image than members found, of any."""

    node: str
    name: str
    image: str
    is_member: bool
    denied: bool


class ImageInfo(Reply, frozen=True):
    """A module's own image by the present translation; empty while not enough members say so.

    `needed` is how many must say the same; `fee_msat` what this word has cost.
    """

    module_sha256: str
    translation: str
    image: str
    needed: int
    words: tuple[ImageWord, ...]
    fee_msat: int = 0
    file: bytes | None = None
    decided_ms: int | None = None
    """Block time of when so many had said the same; None until then."""
    decided_epoch: int | None = None
    """The epoch whose members they were."""
