"""What is asked about blobs, and what is answered."""

from ambientd.api.replies import Reply
from ambientd.api.requests import Request, Sha256


class PutBlob(Request, frozen=True):
    """Keep the body's bytes, whose SHA-256 is their name, until nothing has used them for long."""

    sha256: Sha256


class GetBlob(Request, frozen=True):
    """The bytes of this name, if they are on this node; all, or a range of them."""

    sha256: Sha256


class BlobKept(Reply, frozen=True):
    """A blob that is on this node's disk."""

    sha256: str
    size_bytes: int


class BlobReply(Reply, frozen=True):
    """A blob."""

    sha256: str
    data: bytes
