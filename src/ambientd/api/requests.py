"""What a caller sends with each operation."""

from typing import Annotated

import msgspec
from msgspec import Meta

MARKS_MAX = 16
"""As the model has it, which a command line that only asks for `status` need not import."""

TaskName = Annotated[str, Meta(max_length=64)]
NodeName = Annotated[str, Meta(max_length=64)]
"""Whoever looks a name up refuses an empty one; only a missing one can mean something else."""
Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]
"""A number that a record holds; the log drops one with a larger number without a word."""
Amount = Annotated[int, Meta(ge=1, le=2**53 - 1)]

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]

ITEMS_MAX = 256
"""Of one bundle, as in `model.bundle`, which `ambientctl status` has no time to import."""
Place = Annotated[int, Meta(ge=0, lt=ITEMS_MAX)]
"""Which item of a bundle, from 0."""

PAGE_MAX = 1000
PageSize = Annotated[int, Meta(ge=1, le=PAGE_MAX)]
Cursor = Annotated[str, Meta(max_length=300)]
"""Where a list goes on: the `next` of the page before it."""

LABELS_MAX = 8
LABEL_CHARS_MAX = 128
"""What `run --label` can ask for, and in how many characters each."""

INVITE_MS = 24 * 3_600_000


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A caller's side of an operation."""


class Ping(Request, frozen=True):
    """Are you there?"""


class GetLogUpdate(Request, frozen=True):
    """What is the receipt log's newest head, and did it grow from the first `since` receipts?"""

    since: Count = 0


class GetStatus(Request, frozen=True):
    """How is this node?"""


class GetReadiness(Request, frozen=True):
    """Can this node take part in the log now?"""


class ListNodes(Request, frozen=True):
    """Who is in the cluster?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class ShowNode(Request, frozen=True):
    """Everything about one node: its id, an unambiguous start of it, or its name."""

    node: NodeName


class ShowCluster(Request, frozen=True):
    """The cluster in figures."""


Word = Annotated[str, Meta(max_length=64)]


class Terms(Request, frozen=True, kw_only=True):
    """What a task may use, and who shall work on it. Zero and nothing mean: the node's default.

    A quorum that names no replicas is large enough for `colluders_permille`. Constraints are
    `KEY=VALUE` or `KEY!=VALUE`; `deadline_ms` is a time, 0 for none. Cycles are padded ones, of the
    proof that assurance `proven` asks for.
    """

    assurance: str = "replicated"
    replicas: Annotated[int, Meta(ge=0, le=64)] = 0
    colluders_permille: Annotated[int, Meta(ge=0, le=500)] = 0
    gas_max: Count = 0
    memory_bytes_max: Count = 0
    wall_ms_max: Count = 0
    output_bytes_max: Count = 0
    price_msat_per_mgas: Count = 0
    task_class: Word = ""
    constraints: Annotated[
        tuple[Annotated[str, Meta(max_length=LABEL_CHARS_MAX)], ...], Meta(max_length=LABELS_MAX)
    ] = ()
    distinct: Annotated[tuple[Word, ...], Meta(max_length=4)] | None = None
    priority: Annotated[int, Meta(ge=0, le=9)] = 4
    deadline_ms: Count = 0
    attempts_max: Count = 0
    marks_max: Annotated[int, Meta(ge=0, le=MARKS_MAX)] = 0
    strategy: Word = ""
    cycles_max: Count = 0
    price_msat_per_mcycle: Count = 0


class SubmitTask(Terms, frozen=True, kw_only=True):
    """Execute a module on an input.

    The same nonce, module, input and terms are the same task, submitted once however often
    it is asked; an empty nonce always makes a new task. A module or an input that this node
    has already, as a blob, is named by its SHA-256 instead. `items` are many inputs in the place of
    one: the module is executed on each by itself, with the gas, memory and time that are asked for.
    The output of the task is the bundle of their outcomes (protocols/19), `output_bytes_max` at
    most: that is for all together.
    """

    module: bytes = b""
    module_sha256: Sha256 | None = None
    input: bytes = b""
    input_sha256: Sha256 | None = None
    nonce: Annotated[bytes, Meta(max_length=64)] = b""
    items: Annotated[tuple[bytes, ...], Meta(max_length=ITEMS_MAX)] = ()


class QuoteTask(Terms, frozen=True):
    """What would a task of these terms cost?"""

    module_size_bytes: Count = 1
    input_size_bytes: Count = 0
    items: Annotated[int, Meta(ge=0, le=ITEMS_MAX)] = 0


class ListTasks(Request, frozen=True):
    """Which tasks does the ledger hold? The newest first; `open` are all that have not ended."""

    limit: PageSize = 50
    state: str = ""
    after: Cursor = ""


class ShowTask(Request, frozen=True):
    """Everything about one task; an unambiguous start of its id is enough."""

    task: TaskName


class ExplainTask(Request, frozen=True):
    """Why a task is where it is; an unambiguous start of its id is enough."""

    task: TaskName


class WaitForTask(Request, frozen=True):
    """Answer when the task is final (or anchored), or as it stands when the time is over.

    A caller that names what it has `seen`, a state of the task (or of its receipt, when it waits
    for that), is answered as soon as there is another.
    """

    task: TaskName
    until: str = "final"
    seen: Annotated[str, Meta(max_length=64)] = ""
    timeout_ms: Annotated[int, Meta(ge=0, le=3_600_000)] = 60_000


class CancelTask(Request, frozen=True):
    """Take a task back; only its submitter can, and only before all answers are sealed."""

    task: TaskName


class GetOutput(Request, frozen=True):
    """The output bytes of a task, or those of one item of a bundle; the first item is 0.

    With `proof` the proof of a proven task in their place.
    """

    task: TaskName
    item: Place | None = None
    proof: bool = False


class GetReceipt(Request, frozen=True):
    """The receipt file of a task, or of one item of a bundle, as complete as it is now."""

    task: TaskName
    item: Place | None = None


class ListBlames(Request, frozen=True):
    """Who was convicted, and by what?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class ExportBlame(Request, frozen=True):
    """The certificate against a node, or the one from a task, each named by the start of its id."""

    about: TaskName
    with_module: bool = False


class Invite(Request, frozen=True):
    """Make a token that lets one more node join."""

    expires_in_ms: Annotated[int, Meta(ge=1_000, le=365 * 24 * 3_600_000)] = INVITE_MS


class ListMembers(Request, frozen=True):
    """Who keeps the log, and what was said about seats?"""

    limit: PageSize = PAGE_MAX
    after: Cursor = ""


class AskForSeat(Request, frozen=True):
    """Ask for a seat in the committee for this node; what it adds to its bond is at risk."""

    bond_msat: Annotated[int, Meta(ge=0, le=2**53 - 1)] = 0


class VoteOnSeat(Request, frozen=True):
    """Say whether a node shall sit in the committee; no name means this node."""

    wish: Annotated[str, Meta(pattern="^(in|out|instead)$")]
    node: NodeName | None = None


class ShowAccount(Request, frozen=True):
    """What does a node have? No name means this node."""

    node: NodeName | None = None


class TransferCredits(Request, frozen=True):
    """Pass credits of this node on to another."""

    to: NodeName
    amount_msat: Amount


class RaiseBond(Request, frozen=True):
    """Put credits of this node at risk."""

    amount_msat: Amount


class AskBondBack(Request, frozen=True):
    """Let some of this node's bond come back; it stays at risk for a while."""

    amount_msat: Amount


class CreateBackup(Request, frozen=True):
    """Write the node's log to a new file on its machine, or into a bucket."""

    path: Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^(/|s3://[^/]+/)")]
    """Whole path, or s3://BUCKET/FOLDER/NAME with the keys of the daemon's environment."""
    recipients: Annotated[
        tuple[Annotated[str, Meta(max_length=128)], ...], Meta(max_length=16)
    ] = ()
    """Public keys of age that it is sealed to; none: it lies in the clear."""


class GetAnchors(Request, frozen=True):
    """How far have receipts come on the way into Bitcoin blocks?"""

    limit: PageSize = 20
    after: Cursor = ""


class RetryAnchors(Request, frozen=True):
    """Look at the chain now, and send again whatever waits."""


class PlanAnchors(Request, frozen=True):
    """What do anchors cost? Rates in millisatoshi a virtual byte; none: the estimate and a few.

    A period of 0 is the configured one.
    """

    rates_msat_vb: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=100_000_000)], ...], Meta(max_length=32)
    ] = ()
    period_ms: Annotated[int, Meta(ge=0, le=31_622_400_000)] = 0
    receipts_a_day: Annotated[int, Meta(ge=1, le=2**40)] = 10_000


class FollowEvents(Request, frozen=True):
    """Tell what happens from now on; an empty list of tasks means everything."""

    tasks: Annotated[tuple[TaskName, ...], Meta(max_length=256)] = ()
