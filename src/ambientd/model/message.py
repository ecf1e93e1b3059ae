"""Job messages: what nodes tell each other over direct streams, outside the log."""

from typing import Annotated, TypeAlias

from msgspec import Meta

from ambientd.model.base import Digest, Value
from ambientd.model.receipt import Cosignature, SignedReceipt
from ambientd.model.task import Commit


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


JobMessage: TypeAlias = CommitSent | RevealSent | CosignRequested | CosignatureSent
