"""What `task.why` answers."""

from ambientd.api.replies import Reply


class StandingCount(Reply, frozen=True):
    """How many nodes stand alike for a task that waits."""

    standing: str
    nodes: int
    text: str


class NodeWhy(Reply, frozen=True):
    """What the scheduler sees in one node for a task that waits."""

    node: str
    name: str
    standing: str
    text: str
    open_slots: int
    capacity: int


class Why(Reply, frozen=True):
    """Why a task is in its state, what it waits for and until when (block time)."""

    task_id: str
    state: str
    text: str
    waits_for: str
    until_ms: int | None
    counts: tuple[StandingCount, ...] = ()
    nodes: tuple[NodeWhy, ...] = ()
