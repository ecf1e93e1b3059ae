"""The table of operations: what can be asked of a node, and what it answers.

Values travel as maps with these field names and are printed as they are by `--json`. Identifiers
are hex, times milliseconds since 1970, amounts millisatoshi. Requests refuse unknown fields;
replies ignore them, so an older ambientctl understands a newer daemon.
"""

from collections.abc import Mapping
from typing import Any

from ambientd.api import (
    account_values,
    anchor_replies,
    doctor_values,
    owner_values,
    peg_values,
    registry_values,
    replies,
    requests,
)
from ambientd.api.backup_values import CopiesUnderWay, LookAtBackups
from ambientd.api.blame_replies import BlameFileReply, Blames
from ambientd.api.blob_values import BlobKept, BlobReply, GetBlob, PutBlob
from ambientd.api.census_replies import Cluster
from ambientd.api.image_operations import IMAGES
from ambientd.api.learning_operations import LEARNING
from ambientd.api.looking_operations import EVENTS, LINKS, NODE_SHOW, NODES, READY, STATUS
from ambientd.api.material_values import GetMaterial, GetTaskLog, Material, TaskLog
from ambientd.api.operation import DEADLINE_MS, Failure, Operation, OperationError
from ambientd.api.quotes import Quote
from ambientd.api.routes import Scope, get, post, put
from ambientd.api.telemetry_values import NodeTelemetry, ShowTelemetry
from ambientd.api.verify_values import (
    Verified,
    VerifyBlame,
    VerifyHeaders,
    VerifyProof,
    VerifyReceipt,
    VerifySplit,
)
from ambientd.api.webhook_values import TestWebhook, WebhookTested
from ambientd.api.why_replies import Why

__all__ = [
    "DEADLINE_MS",
    "EVENTS",
    "LINKS",
    "NODES",
    "NODE_SHOW",
    "READY",
    "STATUS",
    "Failure",
    "Operation",
    "OperationError",
]

WAIT_MS_MAX = 3_600_000


PING = Operation(
    "ping", requests.Ping, replies.Pong, get("/health", "whether somebody is there", Scope.OPEN)
)
TELEMETRY_SHOW = Operation(
    "telemetry.show",
    ShowTelemetry,
    NodeTelemetry,
    get("/telemetry/{node}", "what a node said of itself over the last hour or day"),
)
CLUSTER_SHOW = Operation(
    "cluster.show", requests.ShowCluster, Cluster, get("/cluster", "the cluster in figures")
)
TASK_SUBMIT = Operation(
    "task.submit",
    requests.SubmitTask,
    replies.Submitted,
    post("/tasks", Scope.SUBMIT, "execute a module on an input", status=201, names="nonce"),
)
TASK_QUOTE = Operation(
    "task.quote", requests.QuoteTask, Quote, post("/quotes", Scope.READ, "what a task would cost")
)
TASK_LIST = Operation(
    "task.list", requests.ListTasks, replies.Tasks, get("/tasks", "tasks, the newest first")
)
TASK_SHOW = Operation(
    "task.show", requests.ShowTask, replies.Task, get("/tasks/{task}", "everything about a task")
)
TASK_WHY = Operation(
    "task.why", requests.ExplainTask, Why, get("/tasks/{task}/why", "why a task is where it is")
)
TASK_WAIT = Operation(
    "task.wait",
    requests.WaitForTask,
    replies.Task,
    get("/tasks/{task}/wait", "a task, once it is final or anchored"),
    deadline_ms=WAIT_MS_MAX + DEADLINE_MS,
)
TASK_CANCEL = Operation(
    "task.cancel",
    requests.CancelTask,
    replies.Task,
    post(
        "/tasks/{task}/cancel",
        Scope.SUBMIT,
        "take a task back before its answers are sealed, or while it waits for the log",
    ),
)
TASK_OUTPUT = Operation(
    "task.output",
    requests.GetOutput,
    replies.Output,
    get("/tasks/{task}/output", "the output of a task, or of one item of a bundle", raw="data"),
)
TASK_LOGS = Operation(
    "task.logs",
    GetTaskLog,
    TaskLog,
    post(
        "/tasks/{task}/logs",
        Scope.ADMIN,
        "execute a task again here, for what its module writes to its standard error",
        looks=True,
    ),
    deadline_ms=WAIT_MS_MAX + DEADLINE_MS,
)
TASK_MATERIAL = Operation(
    "task.material",
    GetMaterial,
    Material,
    post("/tasks/{task}/material", Scope.ADMIN, "what a task was executed with", looks=True),
)
RECEIPT_GET = Operation(
    "receipt.get",
    requests.GetReceipt,
    replies.ReceiptFileReply,
    get(
        "/tasks/{task}/receipt",
        "the receipt file of a task, or of one item of a bundle",
        raw="data",
    ),
)
RECEIPT_VERIFY = Operation(
    "receipt.verify",
    VerifyReceipt,
    Verified,
    post("/receipts/verify", Scope.READ, "whether a receipt file holds"),
)
HEADERS_VERIFY = Operation(
    "headers.verify",
    VerifyHeaders,
    Verified,
    post("/headers/verify", Scope.READ, "whether a file of Bitcoin headers holds"),
)
SPLIT_VERIFY = Operation(
    "split.verify",
    VerifySplit,
    Verified,
    post("/splits/verify", Scope.READ, "whether evidence shows two receipt logs of one cluster"),
)
BLAME_VERIFY = Operation(
    "blame.verify",
    VerifyBlame,
    Verified,
    post("/blames/verify", Scope.READ, "whether the statements in a blame certificate hold"),
)
PROOF_VERIFY = Operation(
    "proof.verify",
    VerifyProof,
    Verified,
    post("/proofs/verify", Scope.READ, "whether a validity proof of an execution holds"),
)
BLAME_LIST = Operation(
    "blame.list", requests.ListBlames, Blames, get("/blames", "who was convicted, and by what")
)
BLAME_EXPORT = Operation(
    "blame.export",
    requests.ExportBlame,
    BlameFileReply,
    get("/blames/{about}", "the certificate against a node", raw="data"),
)
CLUSTER_INVITE = Operation(
    "cluster.invite",
    requests.Invite,
    replies.Invitation,
    post("/invitations", Scope.ADMIN, "a token that brings one more node in", status=201),
)
MEMBER_LIST = Operation(
    "member.list",
    requests.ListMembers,
    replies.Members,
    get("/members", "the committee, and who asks for a seat"),
)
MEMBER_ASK = Operation(
    "member.ask",
    requests.AskForSeat,
    replies.SeatSaid,
    post("/members/ask", Scope.ADMIN, "ask for a seat for this node; a quorum decides"),
)
MEMBER_VOTE = Operation(
    "member.vote",
    requests.VoteOnSeat,
    replies.SeatSaid,
    post("/members/vote", Scope.ADMIN, "say whether a node shall sit"),
)
ACCOUNT_SHOW = Operation(
    "account.show",
    requests.ShowAccount,
    replies.Account,
    get("/account", "balance, bond, and what is under way"),
)
ACCOUNT_LIST = Operation(
    "account.list",
    account_values.ListAccounts,
    account_values.Accounts,
    get("/accounts", "what everybody has"),
)
ACCOUNT_HISTORY = Operation(
    "account.history",
    account_values.ShowHistory,
    account_values.History,
    get("/account/history", "what tasks moved of a node's credits, the newest first"),
)
ACCOUNT_TRANSFER = Operation(
    "account.transfer",
    requests.TransferCredits,
    replies.AccountMoved,
    post("/account/transfer", Scope.ADMIN, "send credits of this node to another"),
)
ACCOUNT_BOND = Operation(
    "account.bond",
    requests.RaiseBond,
    replies.AccountMoved,
    post("/account/bond", Scope.ADMIN, "put credits of this node at risk"),
)
ACCOUNT_UNBOND = Operation(
    "account.unbond",
    requests.AskBondBack,
    replies.AccountMoved,
    post(
        "/account/unbond",
        Scope.ADMIN,
        "ask for bond of this node back, which stays at risk for a while",
    ),
)
BACKUP_CREATE = Operation(
    "backup.create",
    requests.CreateBackup,
    replies.BackupMade,
    post("/backups", Scope.ADMIN, "write the log to a file; the node goes on", status=201),
    deadline_ms=WAIT_MS_MAX,
)
BACKUP_LOOK = Operation(
    "backup.look",
    LookAtBackups,
    CopiesUnderWay,
    get("/backups", "how far the copies are that are being written"),
)
ANCHOR_STATUS = Operation(
    "anchor.status",
    requests.GetAnchors,
    anchor_replies.Anchors,
    get("/anchors", "chain and latest anchors"),
)
LOG_UPDATE = Operation(
    "log.update",
    requests.GetLogUpdate,
    replies.LogUpdateReply,
    get("/log/update", "the receipt log's newest head, for witnesses"),
)
ANCHOR_RETRY = Operation(
    "anchor.retry",
    requests.RetryAnchors,
    anchor_replies.AnchorsRetried,
    post("/anchors/retry", Scope.ADMIN, "look at the chain and send again, now"),
)
ANCHOR_PLAN = Operation(
    "anchor.plan",
    requests.PlanAnchors,
    anchor_replies.AnchorPlan,
    get("/anchors/plan", "what anchors cost, before anything is spent"),
)
PEG_ADDRESS = Operation(
    "peg.address",
    peg_values.GetPegAddress,
    peg_values.PegAddressReply,
    post("/peg/address", Scope.ADMIN, "where this node pegs in"),
)
PEG_LIST = Operation(
    "peg.list",
    peg_values.ListPeg,
    peg_values.PegList,
    get("/peg", "what came in for this node, and what goes out"),
)
PEG_QUOTE = Operation(
    "peg.quote",
    peg_values.QuoteWithdrawal,
    peg_values.WithdrawalQuote,
    post("/peg/quotes", Scope.READ, "what a withdrawal would cost"),
)
PEG_WITHDRAW = Operation(
    "peg.withdraw",
    peg_values.Withdraw,
    peg_values.PaymentInfo,
    post("/peg/withdraw", Scope.ADMIN, "send credits of this node to a Bitcoin address"),
)
PEG_RAISE = Operation(
    "peg.raise",
    peg_values.RaiseFee,
    peg_values.PaymentInfo,
    post("/peg/raise", Scope.ADMIN, "pay more for a payment that waits"),
)
PEG_RETURN_QUOTE = Operation(
    "peg.return.quote",
    peg_values.QuoteReturn,
    peg_values.ReturnInfo,
    post("/peg/return-quotes", Scope.READ, "what it would cost to send back what is not credited"),
)
PEG_RETURN = Operation(
    "peg.return",
    peg_values.ReturnPegIn,
    peg_values.ReturnInfo,
    post("/peg/returns", Scope.ADMIN, "send back what came in and is never credited"),
)
PEG_AUDIT = Operation(
    "peg.audit",
    peg_values.AuditPeg,
    peg_values.PegAudit,
    get("/peg/audit", "whether the coins cover what the ledger owes"),
)
OWNER_SHOW = Operation(
    "owner.show",
    owner_values.ShowOwner,
    owner_values.OwnerReply,
    get("/owner", "the rules, and what they mean now"),
)
OWNER_SET = Operation(
    "owner.set",
    owner_values.SetOwner,
    owner_values.OwnerReply,
    post("/owner", Scope.ADMIN, "change rules at once; what is not named stays"),
)
PAUSE = Operation(
    "pause",
    owner_values.Pause,
    owner_values.OwnerReply,
    post("/owner/pause", Scope.ADMIN, "take no more work on this device"),
)
RESUME = Operation(
    "resume",
    owner_values.Resume,
    owner_values.OwnerReply,
    post("/owner/resume", Scope.ADMIN, "take work again after a pause"),
)
DOCTOR_LOOK = Operation(
    "doctor.look",
    doctor_values.LookRound,
    doctor_values.Looks,
    get("/doctor/look", "how peers see this node: reached or not, clocks, versions"),
)
MODULE_LIST = Operation(
    "module.list",
    registry_values.ListModules,
    registry_values.Modules,
    get("/modules", "published modules, by name"),
)
MODULE_SHOW = Operation(
    "module.show",
    registry_values.ShowModule,
    registry_values.ModuleInfo,
    get("/modules/{publisher}/{name}", "everything about a published module"),
)
MODULE_PUBLISH = Operation(
    "module.publish",
    registry_values.PublishModule,
    registry_values.ModulePublished,
    post("/modules", Scope.ADMIN, "publish a version as this node, for a fee", status=201),
)
MODULE_YANK = Operation(
    "module.yank",
    registry_values.YankModule,
    registry_values.ModuleInfo,
    post(
        "/modules/{publisher}/{name}/yank",
        Scope.ADMIN,
        "advise against a version of this node's own",
    ),
)
MODULE_BRING = Operation(
    "module.bring",
    registry_values.BringModule,
    registry_values.ModuleInfo,
    post("/modules/{publisher}/{name}/bring", Scope.SUBMIT, "have a version's bytes on this node"),
)
MODULE_PIN = Operation(
    "module.pin",
    registry_values.PinModule,
    registry_values.ModuleInfo,
    post(
        "/modules/{publisher}/{name}/pin",
        Scope.ADMIN,
        "keep a version here, and what its name means",
    ),
)
MODULE_UNPIN = Operation(
    "module.unpin",
    registry_values.UnpinModule,
    registry_values.Unpinned,
    post("/modules/{publisher}/{name}/unpin", Scope.ADMIN, "let a pinned version go"),
)
WEBHOOK_TEST = Operation(
    "webhook.test",
    TestWebhook,
    WebhookTested,
    post("/webhook/test", Scope.ADMIN, "post an event of kind `test` to the node's webhook"),
)
BLOB_PUT = Operation(
    "blob.put",
    PutBlob,
    BlobKept,
    put("/blobs/{sha256}", Scope.SUBMIT, "keep bytes for a task, under their SHA-256"),
    deadline_ms=WAIT_MS_MAX,
)
BLOB_GET = Operation(
    "blob.get", GetBlob, BlobReply, get("/blobs/{sha256}", "the bytes of a SHA-256", raw="data")
)

OPERATIONS: Mapping[str, Operation[Any, Any]] = {
    operation.name: operation
    for operation in (
        PING,
        READY,
        STATUS,
        NODES,
        NODE_SHOW,
        LINKS,
        TELEMETRY_SHOW,
        CLUSTER_SHOW,
        TASK_SUBMIT,
        TASK_QUOTE,
        TASK_LIST,
        TASK_SHOW,
        TASK_WHY,
        TASK_WAIT,
        TASK_CANCEL,
        TASK_OUTPUT,
        TASK_LOGS,
        TASK_MATERIAL,
        RECEIPT_GET,
        RECEIPT_VERIFY,
        HEADERS_VERIFY,
        SPLIT_VERIFY,
        BLAME_VERIFY,
        PROOF_VERIFY,
        BLAME_LIST,
        BLAME_EXPORT,
        CLUSTER_INVITE,
        MEMBER_LIST,
        MEMBER_ASK,
        MEMBER_VOTE,
        ACCOUNT_SHOW,
        ACCOUNT_LIST,
        ACCOUNT_HISTORY,
        ACCOUNT_TRANSFER,
        ACCOUNT_BOND,
        ACCOUNT_UNBOND,
        BACKUP_CREATE,
        BACKUP_LOOK,
        ANCHOR_STATUS,
        LOG_UPDATE,
        ANCHOR_RETRY,
        ANCHOR_PLAN,
        PEG_ADDRESS,
        PEG_LIST,
        PEG_QUOTE,
        PEG_WITHDRAW,
        PEG_RAISE,
        PEG_RETURN_QUOTE,
        PEG_RETURN,
        PEG_AUDIT,
        OWNER_SHOW,
        OWNER_SET,
        PAUSE,
        RESUME,
        DOCTOR_LOOK,
        MODULE_LIST,
        MODULE_SHOW,
        MODULE_PUBLISH,
        MODULE_YANK,
        MODULE_BRING,
        MODULE_PIN,
        MODULE_UNPIN,
        WEBHOOK_TEST,
        *LEARNING,
        *IMAGES,
        BLOB_PUT,
        BLOB_GET,
        EVENTS,
    )
}
