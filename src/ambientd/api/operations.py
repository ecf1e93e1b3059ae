"""The table of operations: what can be asked of a node, and what it answers.

Values travel as maps with these field names and are printed as they are by `--json`. Identifiers
are hex, times milliseconds since 1970, amounts millisatoshi. Requests refuse unknown fields;
replies ignore them, so an older ambientctl understands a newer daemon.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeVar

import msgspec

from ambientd.api import peg_values, replies, requests
from ambientd.api.blame_replies import BlameFileReply, Blames
from ambientd.api.quotes import Quote
from ambientd.api.why_replies import Why
from ambientd.errors import AmbientError

Q = TypeVar("Q", bound=msgspec.Struct)
R = TypeVar("R", bound=msgspec.Struct)

DEADLINE_MS = 60_000
WAIT_MS_MAX = 3_600_000
NAME_CHARS_MIN = 4


class OperationError(AmbientError):
    """A request that a node refuses; `code` is for programs, `hint` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Give message and hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An OperationError on the wire."""

    code: str
    message: str
    hint: str = ""


class Operation(msgspec.Struct, Generic[Q, R], frozen=True):
    """One row: a name, both shapes, and how long an answer may take."""

    name: str
    request: type[Q]
    response: type[R]
    streaming: bool = False
    deadline_ms: int = DEADLINE_MS


PING = Operation("ping", requests.Ping, replies.Pong)
STATUS = Operation("status", requests.GetStatus, replies.Status)
NODES = Operation("nodes", requests.ListNodes, replies.Nodes)
TASK_SUBMIT = Operation("task.submit", requests.SubmitTask, replies.Submitted)
TASK_QUOTE = Operation("task.quote", requests.QuoteTask, Quote)
TASK_LIST = Operation("task.list", requests.ListTasks, replies.Tasks)
TASK_SHOW = Operation("task.show", requests.ShowTask, replies.Task)
TASK_WHY = Operation("task.why", requests.ExplainTask, Why)
TASK_WAIT = Operation(
    "task.wait", requests.WaitForTask, replies.Task, deadline_ms=WAIT_MS_MAX + DEADLINE_MS
)
TASK_CANCEL = Operation("task.cancel", requests.CancelTask, replies.Task)
TASK_OUTPUT = Operation("task.output", requests.GetOutput, replies.Output)
RECEIPT_GET = Operation("receipt.get", requests.GetReceipt, replies.ReceiptFileReply)
BLAME_LIST = Operation("blame.list", requests.ListBlames, Blames)
BLAME_EXPORT = Operation("blame.export", requests.ExportBlame, BlameFileReply)
CLUSTER_INVITE = Operation("cluster.invite", requests.Invite, replies.Invitation)
MEMBER_LIST = Operation("member.list", requests.ListMembers, replies.Members)
MEMBER_ASK = Operation("member.ask", requests.AskForSeat, replies.SeatSaid)
MEMBER_VOTE = Operation("member.vote", requests.VoteOnSeat, replies.SeatSaid)
ACCOUNT_SHOW = Operation("account.show", requests.ShowAccount, replies.Account)
ACCOUNT_TRANSFER = Operation("account.transfer", requests.TransferCredits, replies.AccountMoved)
ACCOUNT_BOND = Operation("account.bond", requests.RaiseBond, replies.AccountMoved)
ACCOUNT_UNBOND = Operation("account.unbond", requests.AskBondBack, replies.AccountMoved)
BACKUP_CREATE = Operation(
    "backup.create", requests.CreateBackup, replies.BackupMade, deadline_ms=WAIT_MS_MAX
)
ANCHOR_STATUS = Operation("anchor.status", requests.GetAnchors, replies.Anchors)
LOG_UPDATE = Operation("log.update", requests.GetLogUpdate, replies.LogUpdateReply)
ANCHOR_RETRY = Operation("anchor.retry", requests.RetryAnchors, replies.AnchorsRetried)
ANCHOR_PLAN = Operation("anchor.plan", requests.PlanAnchors, replies.AnchorPlan)
PEG_ADDRESS = Operation("peg.address", peg_values.GetPegAddress, peg_values.PegAddressReply)
PEG_LIST = Operation("peg.list", peg_values.ListPeg, peg_values.PegList)
PEG_WITHDRAW = Operation("peg.withdraw", peg_values.Withdraw, peg_values.PaymentInfo)
PEG_RAISE = Operation("peg.raise", peg_values.RaiseFee, peg_values.PaymentInfo)
PEG_AUDIT = Operation("peg.audit", peg_values.AuditPeg, peg_values.PegAudit)
EVENTS = Operation("events", requests.FollowEvents, replies.Event, streaming=True)

OPERATIONS: Mapping[str, Operation[Any, Any]] = {
    operation.name: operation
    for operation in (
        PING,
        STATUS,
        NODES,
        TASK_SUBMIT,
        TASK_QUOTE,
        TASK_LIST,
        TASK_SHOW,
        TASK_WHY,
        TASK_WAIT,
        TASK_CANCEL,
        TASK_OUTPUT,
        RECEIPT_GET,
        BLAME_LIST,
        BLAME_EXPORT,
        CLUSTER_INVITE,
        MEMBER_LIST,
        MEMBER_ASK,
        MEMBER_VOTE,
        ACCOUNT_SHOW,
        ACCOUNT_TRANSFER,
        ACCOUNT_BOND,
        ACCOUNT_UNBOND,
        BACKUP_CREATE,
        ANCHOR_STATUS,
        LOG_UPDATE,
        ANCHOR_RETRY,
        ANCHOR_PLAN,
        PEG_ADDRESS,
        PEG_LIST,
        PEG_WITHDRAW,
        PEG_RAISE,
        PEG_AUDIT,
        EVENTS,
    )
}


def match_id(prefix: str, known: Iterable[str], what: str = "task") -> str:
    """Find the one identifier that starts with `prefix`; raise OperationError for none or two."""
    wanted = prefix.lower()
    if len(wanted) < NAME_CHARS_MIN or wanted.strip("0123456789abcdef"):
        hint = f"give the {what}'s id in hex, or at least its first {NAME_CHARS_MIN} digits"
        msg = f"{prefix!r} is not the id of a {what}"
        raise OperationError("invalid", msg, hint)
    first: str | None = None
    for candidate in known:
        if candidate.startswith(wanted):
            if first is not None and candidate != first:
                msg = f"more than one {what} starts with {prefix}"
                raise OperationError("ambiguous", msg, "give more digits of the id")
            first = candidate
    if first is None:
        hint = "`ambientctl task list` shows the ones this node knows" if what == "task" else ""
        msg = f"no {what} {prefix} is known here"
        raise OperationError("not_found", msg, hint)
    return first
