"""What `task.material` and `task.logs` are asked, and what they answer."""

from ambientd.api.replies import Reply
from ambientd.api.requests import Place, Request, TaskName


class GetMaterial(Request, frozen=True):
    """With what was a task executed, or one item of a bundle?"""

    task: TaskName
    item: Place | None = None


class Material(Reply, frozen=True):
    """All that an execution depends on: whoever executes again comes to the same end."""

    task_id: str
    module: bytes
    input: bytes
    seed: bytes
    gas_max: int
    memory_bytes_max: int
    wall_ms_max: int
    output_bytes_max: int


class GetTaskLog(Request, frozen=True):
    """What did a task's module write to its standard error? This node executes it again to see."""

    task: TaskName
    item: Place | None = None


class TaskLog(Reply, frozen=True):
    """A module's log, and how the execution here ended.

    `agrees` says whether the ledger has the same end; null while it has none, or where the
    execution here was aborted, which `reason` then tells.
    """

    task_id: str
    log: str
    agrees: bool | None
    engine: str
    engine_version: str
    outcome: str
    reason: str
    gas: int | None
    output_sha256: str | None
