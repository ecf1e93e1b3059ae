"""Job messages: what nodes tell each other over direct streams, outside the log."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from ambientd.model.base import Digest, TaskId, Value
from ambientd.model.receipt import Cosignature, SignedReceipt
from ambientd.model.task import Commit

ANCHOR_BYTES_MAX = 4_000

PARCEL_BYTES_MAX = 16 * 1024
"""What travels with the word of a task; larger blobs have streams of their own."""


class CommitSent(Value, frozen=True, tag=1):
    """A worker hands its sealed answer to the coordinator."""

    commit: Commit


class RevealSent(Value, frozen=True, tag=2):
    """A worker opens its answer to the coordinator."""

    receipt: SignedReceipt


class CosignRequested(Value, frozen=True, tag=3):
    """The coordinator asks the committee to cosign a tree head."""

    size: Annotated[int, Meta(ge=1, le=2**53)]
    root: Digest


class CosignatureSent(Value, frozen=True, tag=4):
    """A committee member's answer."""

    size: Annotated[int, Meta(ge=1, le=2**53)]
    root: Digest
    cosignature: Cosignature


class AbortSent(Value, frozen=True, tag=5):
    """A worker tells a task's submitter that it could not execute it, and why by a code.

    It binds nobody: the log knows only that no answer came. `cause` is an AbortCause; one that is
    not known here is no breach of the protocol.
    """

    task: TaskId
    slot: Annotated[int, Meta(ge=0, le=2**31)]
    attempt: Annotated[int, Meta(ge=0, le=2**31)]
    cause: Annotated[int, Meta(ge=0, le=255)]


class AnchorShown(Value, frozen=True, tag=6):
    """A member tells the others which transaction it has sent to anchor a batch."""

    size: Annotated[int, Meta(ge=1, le=2**53)]
    root: Digest
    raw_tx: Annotated[bytes, Meta(max_length=ANCHOR_BYTES_MAX)]


class ParcelSent(Value, frozen=True, tag=7):
    """A task's small blob: its input with the assignment, or its output with the opened answer."""

    task: TaskId
    digest: Digest
    data: Annotated[bytes, Meta(min_length=1, max_length=PARCEL_BYTES_MAX)]


JobMessage: TypeAlias = (
    CommitSent
    | RevealSent
    | CosignRequested
    | CosignatureSent
    | AbortSent
    | AnchorShown
    | ParcelSent
)
