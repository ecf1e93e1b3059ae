"""What `task.material` is asked, and what it answers."""

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
