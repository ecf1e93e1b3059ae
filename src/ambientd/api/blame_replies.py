"""What `blame.list` and `blame.export` answer."""

from ambientd.api.replies import Reply


class BlameInfo(Reply, frozen=True):
    """What convicted a node; a certificate needs the task, unless it is two statements alone."""

    node: str
    name: str
    kind: str
    task: str | None
    exportable: bool


class Blames(Reply, frozen=True):
    """The evidence in the ledger; `next` is where the list goes on."""

    blames: tuple[BlameInfo, ...]
    next: str | None = None


class BlameFileReply(Reply, frozen=True):
    """A blame certificate in canonical bytes."""

    node: str
    name: str
    kind: str
    task: str | None
    data: bytes
