"""How far the copies of the log are that a node is writing."""

from ambientd.api.replies import Reply
from ambientd.api.requests import Request


class LookAtBackups(Request, frozen=True):
    """Which copies of the log are being written now?"""


class CopyUnderWay(Reply, frozen=True):
    """A copy that is being written: how many rows of it, of how many; 0 before that is known."""

    name: str
    rows: int
    rows_total: int


class CopiesUnderWay(Reply, frozen=True):
    """The copies that are being written now."""

    copies: tuple[CopyUnderWay, ...]
