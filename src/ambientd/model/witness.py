"""What passes between a receipt log and those who watch it (protocols/06-receipts.md section 8)."""

from ambientd.model.base import Digest, Value
from ambientd.model.genesis import Genesis
from ambientd.model.receipt import CheckpointNote


class SignedHead(Value, frozen=True):
    """A checkpoint note, and how each epoch before the one that cosigned it ended."""

    epochs: tuple[bytes, ...]
    note: CheckpointNote


class Prefix(Value, frozen=True):
    """The head of a tree's first `size` leaves, and the path by which a later head shows it."""

    size: int
    root: Digest
    path: tuple[Digest, ...]


class LogUpdate(Value, frozen=True):
    """A head of the receipt log, and that it grew from an earlier one (`*.update`)."""

    version: int
    genesis: Genesis
    head: SignedHead
    prefix: Prefix | None


class SplitView(Value, frozen=True):
    """Two heads that one log cannot both have (`*.split`); the prefix is of the larger one."""

    version: int
    genesis: Genesis
    first: SignedHead
    second: SignedHead
    prefix: Prefix | None
